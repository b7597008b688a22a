/**
 * Tries again for as long as trying again can help. The wait is a durable timer, holds no slot and no worker, and is
 * told to whoever reads the job. Whether to retry at all is a property of the error (src/jobs/error-codes.ts).
 */
import { isCancellation, sleep } from '@temporalio/workflow';
import type { Waiting } from '../../src/jobs/job.js';
import { readFailure, toWorkflowFailure, type Failure } from './failure.js';

export interface Patience {
  /** First wait; doubles up to `longestMs`. */
  firstMs: number;
  longestMs: number;
  /** Give up when tries did nothing but fail for this long. A full disk is waited for without end. */
  giveUpMs: number;
  /** How often bytes may be dropped and fetched again. */
  restarts: number;
  /** Errors that nobody foresaw: a bug is not cured by patience. */
  surprises: number;
}

export const defaultPatience: Patience = {
  firstMs: 1_000,
  longestMs: 60_000,
  giveUpMs: 86_400_000,
  restarts: 3,
  surprises: 5,
};

/** A try that fails later than this was at work. */
const STEADY_MS = 300_000;

export interface Wait {
  failure: Failure;
  attempt: number;
  waiting: Omit<Waiting, 'since'> | null;
}

/** @throws ApplicationFailure of the last error once patience ends; CancelledFailure passes */
export async function withPatience<T>(
  patience: Patience,
  work: () => Promise<T>,
  onWait: (wait: Wait) => Promise<void>,
): Promise<T> {
  let failingSinceMs: number | null = null;
  let restarts = 0;
  let surprises = 0;
  for (let attempt = 1; ; attempt++) {
    const tryMs = Date.now();
    try {
      return await work();
    } catch (error) {
      if (isCancellation(error)) throw error;
      const failure = readFailure(error);
      // A try that lasted did move bytes: the clock of giving up starts anew.
      if (failingSinceMs === null || Date.now() - tryMs > STEADY_MS) failingSinceMs = Date.now();
      if (failure.kind === 'restart') restarts++;
      if (failure.code === 'Internal') surprises++;
      const hopeless =
        failure.kind === 'permanent' ||
        restarts >= patience.restarts ||
        surprises >= patience.surprises ||
        (failure.code !== 'StorageFull' && Date.now() - failingSinceMs > patience.giveUpMs);
      if (hopeless) throw toWorkflowFailure(failure);
      const delayMs = failure.workerLost ? 0 : delayOf(failure, attempt, patience);
      await onWait({
        failure,
        attempt,
        waiting: delayMs === 0 ? null : toWaiting(failure, delayMs),
      });
      if (delayMs > 0) await sleep(delayMs);
    }
  }
}

function delayOf(failure: Failure, attempt: number, patience: Patience): number {
  if (failure.retryAfterMs !== null) return failure.retryAfterMs;
  const full = Math.min(patience.longestMs, patience.firstMs * 2 ** Math.min(attempt - 1, 20));
  return Math.round(full * (0.5 + Math.random() / 2));
}

function toWaiting(failure: Failure, delayMs: number): Omit<Waiting, 'since'> {
  const reasons: Partial<Record<Failure['code'], Waiting['reason']>> = {
    SourceThrottled: 'quota',
    SourceUnavailable: 'network',
    StorageFull: 'disk',
    StoreUnavailable: 'disk',
  };
  return {
    reason: reasons[failure.code] ?? 'provider',
    until: new Date(Date.now() + delayMs).toISOString(),
    detail: failure.message,
  };
}
