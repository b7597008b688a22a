/** What a source gives to its own hosts alone, asked before every request. */
import { cancelledError, errnoOf, retry } from './errors.js';
import type { TransferSource } from './transfer.js';

/**
 * An abort is heard whether the source hears it or not.
 * @throws Retry (SourceUnavailable) where nobody could be asked, Cancelled or the signal's reason, else what the source throws
 */
export async function askHeaders(
  { headers }: Pick<TransferSource, 'headers'>,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(cancelledError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([aborted, headers(signal)]);
  } catch (error) {
    if (signal.aborted) throw cancelledError(signal);
    // No file operation has failed, whatever its errno says; `fetch` hides it in the cause.
    const errno = errnoOf(error) ?? errnoOf((error as Error).cause);
    throw errno === undefined ? error : retry('SourceUnavailable', `No token: ${errno}`);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
