/** What a source gives to its own hosts alone, asked before every request. */
import { cancelledError, errnoOf, retry } from './errors.js';
import type { TransferSource } from './transfer.js';
import { unlessAborted } from './unless-aborted.js';

/**
 * An abort is heard whether the source hears it or not.
 * @throws Retry (SourceUnavailable) where nobody could be asked, Cancelled or the signal's reason, else what the source throws
 */
export async function askHeaders(
  source: Pick<TransferSource, 'headers'>,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  try {
    return await unlessAborted(source.headers(signal), signal);
  } catch (error) {
    if (signal.aborted) throw cancelledError(signal);
    // No file operation has failed, whatever its errno says; `fetch` hides it in the cause.
    const errno = errnoOf(error) ?? errnoOf(error instanceof Error ? error.cause : null);
    throw errno === undefined ? error : retry('SourceUnavailable', `No token: ${errno}`);
  }
}
