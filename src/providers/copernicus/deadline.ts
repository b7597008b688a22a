/** Waiting that ends: when the signal says so, and when the time is over. */
import { unlessAborted } from '../../transfer/index.js';

/**
 * What the work settles to, or the signal's reason, or a TimeoutError after `ms`: as soon as it is so, whether the work hears its
 * signal or not. Made of a timer and a listener, for AbortSignal.any loses an AbortSignal.timeout in Node 20 (nodejs/node#57736).
 */
export async function withDeadline<T>(
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal.reason);
  const timer = setTimeout(
    () => stop.abort(new DOMException(`not done after ${ms} ms`, 'TimeoutError')),
    ms,
  );
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await unlessAborted(work(stop.signal), stop.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
