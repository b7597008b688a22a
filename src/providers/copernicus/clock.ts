/**
 * Time as the provider sees it, passed in so that tests need not wait. Lifetimes are measured on the monotonic clock
 * (a wall clock that jumps neither prolongs nor ends a token); the wall clock only reads dates that a server names.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Clock {
  monotonicMs(): number;
  wallMs(): number;
  /** Rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  async sleep(ms, signal) {
    await sleep(ms, undefined, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    });
  },
};
