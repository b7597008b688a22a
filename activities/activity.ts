/** What every activity has in common. */
import { ApplicationFailure, Context } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import { isServiceError } from '../src/jobs/error-codes.js';
import { toApplicationFailure } from './failures.js';

const HEARTBEAT_MS = 1_000;

/**
 * Runs an activity's body: it heartbeats, so that a worker that dies is noticed within its lease, and its errors become
 * failures. Cancellation passes as what it is.
 */
export async function activity<T>(body: () => Promise<T>): Promise<T> {
  const heartbeat = setInterval(() => Context.current().heartbeat(), HEARTBEAT_MS);
  try {
    return await body();
  } catch (error) {
    if (error instanceof CancelledFailure || error instanceof ApplicationFailure) throw error;
    if (
      isServiceError(error) &&
      error.code === 'Cancelled' &&
      Context.current().cancellationSignal.aborted
    )
      throw new CancelledFailure('CANCELLED');
    throw toApplicationFailure(error);
  } finally {
    clearInterval(heartbeat);
  }
}
