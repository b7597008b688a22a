/** How much is written and journalled together, and how much may wait for that: an interruption costs it. Pure. */
import { PAGE_BYTES, WIDE_BYTES } from './slabs.js';

/** In bytes a second. Where bytes come more slowly, or nobody knows yet, fewer wait for each other. */
const FAST_PACE = 256 * 1024 * 1024;
const SOON_BYTES = 1024 * 1024;
const LEAST_UNSAFE_BYTES = 4 * SOON_BYTES;

/**
 * Bytes that may wait for disk and journal before connections wait too: half of what an interruption may cost, and less
 * than a hundredth of a file that is not small.
 * @param fileBytes null = not known
 */
export function mostUnsafeBytes(fileBytes: number | null, blockBytes: number): number {
  const hundredth = Math.max(LEAST_UNSAFE_BYTES, (fileBytes ?? Infinity) / 128);
  return Math.min(hundredth, blockBytes / 2);
}

export interface Writing {
  mostUnsafe: number;
  connections: number;
  /** An interruption may cost the whole file. */
  isExpendable: boolean;
}

/**
 * Of each connection, whole pages: over all of them half of what may wait, at most.
 * @param pace bytes a second over all connections, lately; 0 = not known yet
 */
export function pieceBytes(writing: Writing, pace: number): number {
  const share = writing.mostUnsafe / 2 / writing.connections;
  const pages = Math.floor(share / PAGE_BYTES) * PAGE_BYTES;
  const isSoonOver = writing.isExpendable || pace > FAST_PACE;
  return Math.min(isSoonOver ? WIDE_BYTES : SOON_BYTES, Math.max(PAGE_BYTES, pages));
}
