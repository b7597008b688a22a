/** What a source gives to its own hosts alone, asked before every request. */
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import { cancelledError, errnoOf, retry } from './errors.js';
import type { TransferSource } from './transfer.js';
import { unlessAborted } from './unless-aborted.js';

/**
 * An abort is heard whether the source hears it or not.
 * @throws Retry (SourceUnavailable) where nobody could be asked, Cancelled or the signal's reason, a ServiceError of the source's,
 * Internal for any other error of it
 */
export async function askHeaders(
  source: Pick<TransferSource, 'headers'>,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  try {
    return await unlessAborted(source.headers(signal), signal);
  } catch (error) {
    if (signal.aborted) throw cancelledError(signal);
    if (isServiceError(error)) throw error;
    // No file operation has failed, whatever its errno says; `fetch` hides it in the cause.
    const errno = errnoOf(error) ?? errnoOf(error instanceof Error ? error.cause : null);
    if (errno !== undefined) throw retry('SourceUnavailable', `No token: ${errno}`);
    throw new ServiceError('Internal', 'The source failed to give headers', { cause: error });
  }
}
