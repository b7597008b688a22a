/** The end of a call by its signal. */
import { isServiceError, ServiceError } from '../jobs/error-codes.js';

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}

/** The reason where it is one of ours, as when a worker stops; else Cancelled. */
export function abortedError(signal: AbortSignal): ServiceError {
  const { reason } = signal as { reason: unknown };
  return isServiceError(reason) ? reason : new ServiceError('Cancelled', 'The call was cancelled');
}
