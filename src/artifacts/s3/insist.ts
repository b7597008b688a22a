/** Asking again: backoff with jitter, bounded in tries, ended by the signal within moments. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import { mayPass, Refusal } from './refusal.js';

export interface Backoff {
  tries: number;
  baseMs: number;
  mostMs: number;
}

/** Calls `work` until it goes well, refuses for good, or has been tried often enough. */
export async function insist<T>(
  work: () => Promise<T>,
  { tries, baseMs, mostMs }: Backoff,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal);
    try {
      return await work();
    } catch (error) {
      throwIfAborted(signal);
      if (!(error instanceof Refusal) || !mayPass(error) || attempt >= tries) throw error;
    }
    await pause(Math.min(mostMs, baseMs * 2 ** (attempt - 1)), signal);
  }
}

/** Between half of the time and all of it. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms * (0.5 + Math.random() / 2), undefined, signal ? { signal } : {}).catch(() =>
    throwIfAborted(signal),
  );
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}

/** The reason where it is one of ours, as when a worker stops; else Cancelled. */
export function abortedError(signal: AbortSignal): ServiceError {
  const { reason } = signal as { reason: unknown };
  return isServiceError(reason) ? reason : new ServiceError('Cancelled', 'The call was cancelled');
}
