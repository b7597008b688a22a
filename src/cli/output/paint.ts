/** Colours, only where they are wanted: on a terminal that has them, and not when NO_COLOR is set. @see https://no-color.org */
import type { NotesStream } from './notes.js';

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export type Paint = Record<keyof typeof codes, (text: string) => string>;

export function wantsColour(stream: NotesStream, env: Record<string, string | undefined>): boolean {
  return stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
}

export function createPaint(enabled: boolean): Paint {
  const paint = (code: number) => (text: string) =>
    enabled ? `\u001b[${code}m${text}\u001b[0m` : text;
  return Object.fromEntries(
    Object.entries(codes).map(([name, code]) => [name, paint(code)]),
  ) as Paint;
}
