/** A bar that grows by eighths of a cell. */
import type { Paint } from './paint.js';

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** @param share of 1; what lies outside is taken as the nearer end */
export function bar(share: number, width: number, paint: Paint): string {
  const cells = Math.min(1, Math.max(0, share)) * width;
  const full = Math.floor(cells);
  const part = eighths[Math.floor((cells - full) * 8)] ?? '';
  return paint.cyan(`${'█'.repeat(full)}${part}`) + ' '.repeat(width - full - part.length) + '▏';
}
