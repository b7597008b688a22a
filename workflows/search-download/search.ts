/** The first phase: asks the catalogue page by page, for as long as it takes, until an activity has written the plan. */
import type { PlannedChunk, PlanSummary, SearchPageResult } from '../../activities/index.js';
import { ServiceError } from '../../src/jobs/error-codes.js';
import type { JobHeader } from '../../src/jobs/job.js';
import { toProblem } from '../../src/jobs/problem.js';
import { singleTries } from '../shared/activities.js';
import type { Failure } from '../shared/failure.js';
import { withPatience } from '../shared/patience.js';
import type { Job } from './job.js';
import { failProduct } from './product-story.js';

/** Leaves the job in the phase `fetch`. Resolves with the plan's first chunk, where it came with the plan. */
export async function search(job: Job): Promise<PlannedChunk | null> {
  const { header, options, progress } = job;
  const { searchPage } = singleTries(options);
  for (;;) {
    const phase = progress.phase;
    if (phase.name !== 'search') return null;
    const { page, cursor } = phase;
    const found = await withPatience(
      options.patience,
      () =>
        searchPage({
          job_id: header.job_id,
          request: header.request,
          page,
          cursor,
          chunkSize: options.chunkSize,
        }),
      async ({ failure, waiting }) => {
        if (waiting === null) return;
        const facts = { step: 'search', page, reason: failure.message, code: failure.code };
        job.tellWaiting('job.waiting', facts, waiting);
      },
    );
    if (found.plan !== null) {
      plan(job, page + 1, found.plan, found);
      return found.plan.first ?? null;
    }
    progress.phase = { name: 'search', page: page + 1, cursor: found.next };
    if ((page + 1) % options.pagesARun === 0) await job.continue();
  }
}

function plan(
  job: Job,
  pages: number,
  summary: PlanSummary,
  { repairs, missing }: SearchPageResult,
): void {
  job.recorder.tell(
    'search.completed',
    {
      total: summary.total,
      products: summary.products,
      left_out: summary.leftOut,
      limited_by: summary.limitedBy ?? null,
      repeats: summary.repeats,
      bytes_total: summary.bytesTotal,
      pages,
      aoi_repairs: repairs,
    },
    {
      products_total: summary.products + missing.length,
      bytes_total: summary.bytesTotal,
      waiting: null,
    },
  );
  for (const name of missing)
    failProduct(job, { product_id: name, name }, unknownProduct(job.header, name));
  job.progress.phase = { name: 'fetch', chunk: 0, chunks: summary.chunks };
}

function unknownProduct({ request }: JobHeader, name: string): Pick<Failure, 'code' | 'problem'> {
  const problem = toProblem(
    new ServiceError('NotFound', `${request.provider} does not know ${name}`),
  );
  return { code: 'NotFound', problem };
}
