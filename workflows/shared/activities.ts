/** The proxies, one for each retry policy. What each activity does stands in activities/. */
import {
  ActivityCancellationType,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type { Activities } from '../../activities/index.js';

/** A worker that says nothing for `staleSeconds` is gone, whatever it was doing. */
export interface Timing {
  staleSeconds: number;
}

export interface TransferTiming extends Timing {
  taskQueue: string;
}

/**
 * Recordings, the manifest with the last of them: the database or the disk may be away for a while, and the job waits.
 * Permanent failures are marked by the activities themselves (activities/failures.ts).
 */
export function patientSteps({ staleSeconds }: Timing) {
  return proxyActivities<Activities>({
    startToCloseTimeout: '30 minutes',
    heartbeatTimeout: staleSeconds * 1000,
    retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '10s' },
  });
}

/** One try each: shared/patience.ts decides about the next, so that every wait can be seen and told. */
export function singleTries({ staleSeconds }: Timing) {
  return proxyActivities<Activities>({
    startToCloseTimeout: '30 minutes',
    heartbeatTimeout: staleSeconds * 1000,
    retry: { maximumAttempts: 1 },
  });
}

/** One try each, on the provider's own queue, whose workers hold its connections. */
export function bulkTransfer({ staleSeconds, taskQueue }: TransferTiming) {
  return proxyActivities<Activities>({
    taskQueue,
    startToCloseTimeout: '7 days',
    heartbeatTimeout: staleSeconds * 1000,
    retry: { maximumAttempts: 1 },
    // The partial is dropped only after the transfer has let go of it.
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
}

export const { readChunk, discardPartial } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '1 minute',
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '10s' },
});
