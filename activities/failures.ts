/** The one place where an error becomes a Temporal failure: `type` is the code, `details[0]` the problem. */
import { ApplicationFailure } from '@temporalio/activity';
import { ERROR_CODES, ServiceError, isServiceError } from '../src/jobs/error-codes.js';
import { toProblem } from '../src/jobs/problem.js';

const LONGEST_RETRY_AFTER_MS = 3_600_000;

export function toApplicationFailure(error: unknown): ApplicationFailure {
  const known = isServiceError(error)
    ? error
    : new ServiceError('Internal', error instanceof Error ? error.message : 'unknown', {
        cause: error,
      });
  const retryAfterMs =
    known.retryAfterMs === undefined
      ? null
      : Math.min(LONGEST_RETRY_AFTER_MS, Math.max(0, known.retryAfterMs));
  return ApplicationFailure.create({
    message: known.message,
    type: known.code,
    nonRetryable: ERROR_CODES[known.code].kind === 'permanent',
    details: [{ problem: toProblem(known), retryAfterMs }],
    ...(retryAfterMs === null ? {} : { nextRetryDelay: retryAfterMs }),
  });
}
