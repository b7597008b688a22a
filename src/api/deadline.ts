/** Waiting, but not for ever. */
import { isServiceError, ServiceError } from '../jobs/error-codes.js';

/** The promise's outcome, or StoreUnavailable after `ms`. The promise itself is not stopped. */
export async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new ServiceError('StoreUnavailable', `${what} did not answer within ${ms} ms`)),
      ms,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** For what may go on without the mirror: null when it does not answer, any other error as it is. */
export async function ifUp<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  try {
    return await within(promise, ms, 'Mirror');
  } catch (error) {
    if (isServiceError(error) && error.code === 'StoreUnavailable') return null;
    throw error;
  }
}
