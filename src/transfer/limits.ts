/** Defaults of every limit of a transfer, and the bounds that are not for callers to change. */
import type { TransferLimits } from './transfer.js';

export const DEFAULT_LIMITS: TransferLimits = {
  connectMs: 10_000,
  headersMs: 60_000,
  idleMs: 10_000,
  floorBytesPerSecond: 1_000,
  floorMs: 60_000,
  blockBytes: 16 * 1024 * 1024,
  triesWithoutProgress: 5,
};

/** Waits of up to this long are waited inside the engine; longer ones are the caller's, which may sleep durably. */
export const LONGEST_INNER_WAIT_MS = 5_000;
/** Nobody is believed who asks for more than an hour. */
export const LONGEST_RETRY_AFTER_MS = 3_600_000;
/** A server that is failing does not know so well when it will be there again. */
export const LONGEST_UNAVAILABLE_MS = 300_000;
/** How long a caller should wait when a provider says "too many" and not for how long. */
export const DEFAULT_RETRY_AFTER_MS = 30_000;
export const MAX_REDIRECTS = 10;
export const MAX_HEAD_BYTES = 64 * 1024;
export const MAX_ERROR_BODY_BYTES = 64 * 1024;
/** Full copies fetched again inside one call after a digest did not match. */
export const MAX_REFETCHES = 2;

/**
 * Pause before try `failures + 1`, in milliseconds: at once or nearly so after the first failure, then a doubling one of which
 * half is jitter, so that five tries outlast a server that is started anew.
 */
export interface Backoff {
  baseMs: number;
  maxMs: number;
}
export const DEFAULT_BACKOFF: Backoff = { baseMs: 500, maxMs: 15_000 };

export function backoffMs(failures: number, backoff: Backoff): number {
  if (failures <= 1) return Math.random() * backoff.baseMs;
  const ceilingMs = Math.min(backoff.maxMs, backoff.baseMs * 2 ** failures);
  return ((1 + Math.random()) * ceilingMs) / 2;
}
