/** Asking again: backoff with jitter, bounded in tries, ended by the signal within moments. */
import { setTimeout as sleep } from 'node:timers/promises';
import { abortedError, throwIfAborted } from '../aborted.js';
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

/** Goes away with the signal from what others wait for too. */
export async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return await work;
  throwIfAborted(signal);
  let leave!: () => void;
  const aborted = new Promise<never>((_resolve, reject) => {
    leave = () => reject(abortedError(signal));
    signal.addEventListener('abort', leave, { once: true });
  });
  return await Promise.race([work, aborted]).finally(() =>
    signal.removeEventListener('abort', leave),
  );
}
