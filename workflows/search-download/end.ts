/** How a job ends: succeeded, failed or cancelled, told together with what it leaves. */
import type { JobState } from '../../src/jobs/job.js';
import { manifestPath } from '../../src/jobs/ids.js';
import type { Problem } from '../../src/jobs/problem.js';
import { toWorkflowFailure, type Failure } from '../shared/failure.js';
import type { Job } from './job.js';

/** @throws ApplicationFailure of the first product's, where every product failed */
export async function finish(job: Job): Promise<void> {
  const { products_done, products_failed, bytes_done } = job.snapshot;
  if (products_failed > 0 && products_done === 0) {
    const problem = job.progress.firstProblem!;
    await end(job, 'job.failed', 'failed', problem, true);
    throw toWorkflowFailure({ code: problem.code as Failure['code'], problem });
  }
  await end(job, 'job.succeeded', 'succeeded', null, true, { bytes: bytes_done });
}

/** Does nothing where the end is told already. */
export async function endFailed(job: Job, { problem }: Failure): Promise<void> {
  if (job.snapshot.finished_at !== null) return;
  await end(job, 'job.failed', 'failed', problem, job.snapshot.products_done > 0);
}

export async function endCancelled(job: Job): Promise<void> {
  await end(job, 'job.cancelled', 'cancelled', null, job.snapshot.products_done > 0);
}

/** The last act. */
async function end(
  job: Job,
  type: 'job.succeeded' | 'job.failed' | 'job.cancelled',
  state: JobState,
  error: Problem | null,
  withManifest: boolean,
  facts: Record<string, unknown> = {},
): Promise<void> {
  const { products_done, products_failed, products_total } = job.snapshot;
  const { limitedBy } = job.progress;
  const ended = products_done + products_failed;
  const limit =
    limitedBy === undefined
      ? {}
      : { limited_by: limitedBy, left_out: (products_total ?? ended) - ended };
  const manifest = withManifest ? manifestPath(job.header.job_id) : null;
  await job.recorder.tellLast(
    type,
    {
      manifest,
      products_done,
      products_failed,
      ...facts,
      ...limit,
      ...(error === null ? {} : { error }),
    },
    {
      ...(limitedBy === undefined ? {} : { products_total: ended }),
      state,
      error,
      manifest,
      finished_at: new Date(Date.now()).toISOString(),
      in_flight: [],
      waiting: null,
    },
    withManifest,
  );
  job.showState(state);
}
