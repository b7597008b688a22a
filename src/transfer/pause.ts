/** Waiting that an abort ends at once. */
import { cancelledError } from './errors.js';

/** Throws the abort's reason, as an error of ours. */
export async function pause(waitMs: number, signal: AbortSignal): Promise<void> {
  if (waitMs > 0 && !signal.aborted)
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      signal.addEventListener('abort', done, { once: true });
    });
  if (signal.aborted) throw cancelledError(signal);
}
