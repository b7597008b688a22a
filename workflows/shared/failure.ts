/** What went wrong, read out of the layers that Temporal wraps around it. */
import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  TimeoutFailure,
} from '@temporalio/workflow';
import {
  ERROR_CODES,
  isErrorCode,
  ServiceError,
  type ErrorCode,
  type ErrorKind,
} from '../../src/jobs/error-codes.js';
import { toProblem, type Problem } from '../../src/jobs/problem.js';

export interface Failure {
  code: ErrorCode;
  kind: ErrorKind;
  message: string;
  /** How long the other side asked to wait. */
  retryAfterMs: number | null;
  /** The worker died or lost its lease: nothing is wrong with the work itself. */
  workerLost: boolean;
  problem: Problem;
}

/** What activities put into an ApplicationFailure's details (activities/failures.ts). */
export interface FailureDetails {
  problem: Problem;
  retryAfterMs: number | null;
}

export function readFailure(error: unknown): Failure {
  const cause =
    error instanceof ActivityFailure || error instanceof ChildWorkflowFailure ? error.cause : error;
  if (cause instanceof TimeoutFailure)
    return toFailure('Interrupted', 'The worker stopped answering', null, null, true);
  if (cause instanceof ApplicationFailure && isErrorCode(cause.type)) {
    const details = cause.details?.[0] as FailureDetails | undefined;
    return toFailure(
      cause.type,
      cause.message,
      details?.retryAfterMs ?? null,
      details?.problem ?? null,
      cause.type === 'Interrupted',
    );
  }
  return toFailure(
    'Internal',
    cause instanceof Error ? cause.message : 'unknown',
    null,
    null,
    false,
  );
}

function toFailure(
  code: ErrorCode,
  message: string,
  retryAfterMs: number | null,
  problem: Problem | null,
  workerLost: boolean,
): Failure {
  return {
    code,
    kind: ERROR_CODES[code].kind,
    message,
    retryAfterMs,
    workerLost,
    problem: problem ?? toProblem(new ServiceError(code, message)),
  };
}

/** A failure of the workflow itself, as its callers and the Temporal Web UI see it. */
export function toWorkflowFailure(failure: Pick<Failure, 'code' | 'problem'>): ApplicationFailure {
  const details: FailureDetails = { problem: failure.problem, retryAfterMs: null };
  return ApplicationFailure.create({
    message: failure.problem.detail,
    type: failure.code,
    nonRetryable: true,
    details: [details],
  });
}
