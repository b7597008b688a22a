/** What a job tells of one product: that it began, and how it ended. */
import type { PlannedProduct } from '../../activities/index.js';
import { isSelective } from '../../src/jobs/asset-patterns.js';
import type { DownloadResult } from '../download.workflow.js';
import { toWorkflowFailure, type Failure } from '../shared/failure.js';
import type { Job } from './job.js';

export interface ProductFacts {
  product_id: string;
  name: string;
}

export function tellStarted(job: Job, facts: ProductFacts, { bytes }: PlannedProduct): void {
  job.recorder.tell(
    'product.started',
    { ...facts, bytes: isSelective(job.header.request.assets) ? null : bytes },
    { in_flight: [...job.snapshot.in_flight, facts.product_id] },
  );
}

export function tellFetched(job: Job, facts: ProductFacts, result: DownloadResult): void {
  job.recorder.tell(
    result.outcome === 'reused' ? 'product.reused' : 'product.completed',
    {
      ...facts,
      bytes: result.bytes,
      artifacts: result.artifacts,
      bytes_fetched: result.bytes_fetched,
      ...(result.damaged_before ? { damaged_before: true } : {}),
      ...(result.selection === undefined ? {} : { selection: result.selection }),
    },
    {
      in_flight: inFlightWithout(job, facts),
      products_done: job.snapshot.products_done + 1,
      bytes_done: job.snapshot.bytes_done + result.bytes,
      waiting: null,
    },
  );
}

/** @throws when the job stops at its first failure */
export function failProduct(
  job: Job,
  facts: ProductFacts,
  failure: Pick<Failure, 'code' | 'problem'>,
): void {
  job.progress.firstProblem ??= failure.problem;
  job.recorder.tell(
    'product.failed',
    { ...facts, error: failure.problem },
    {
      in_flight: inFlightWithout(job, facts),
      products_failed: job.snapshot.products_failed + 1,
      waiting: null,
    },
  );
  if (job.header.request.on_error === 'stop') throw toWorkflowFailure(failure);
}

function inFlightWithout({ snapshot }: Job, { product_id }: ProductFacts): string[] {
  return snapshot.in_flight.filter((id) => id !== product_id);
}
