/** Jobs: submit, list, show, cancel, retry. */
import { ServiceError } from '../../jobs/error-codes.js';
import { hasEnded, type JobRecord } from '../../jobs/job.js';
import type { JobFilter } from '../../mirror/mirror.js';
import type { ApiContext } from '../context.js';
import { callerIdentity } from '../middleware/auth.js';
import { readJob } from '../known-jobs.js';
import { jobIdOf, type Call, type Mount } from '../mount.js';
import { operations } from '../operations.js';
import { checkIdempotencyKey, jobIdForKey, submit, type Submitted } from '../submission.js';

/** How deep numbered pages go: beyond it, counting to the page costs more than the page. */
const DEEPEST_OFFSET = 1_000_000;

export function jobsRoutes(context: ApiContext, mount: Mount): void {
  const caller = callerIdentity(context.settings.key);

  mount(operations.submitJob, async ({ body, request, response }) => {
    const key = request.get('idempotency-key');
    const jobId = key === undefined ? undefined : jobIdForKey(checkIdempotencyKey(key), caller);
    answerSubmitted(context, response, await submit(context, body, jobId ? { jobId } : {}));
  });

  mount(operations.listJobs, async ({ query, response }) => {
    const { page: number = 1 } = query;
    if ((number - 1) * query.page_size > DEEPEST_OFFSET)
      throw new ServiceError('BadRequest', `Page ${number} is too deep: go on by cursor`);
    const page = await context.mirror.listJobs({
      filter: toFilter(query),
      sort: query.sort,
      pageSize: query.page_size,
      page: number,
      ...(query.cursor === undefined ? {} : { cursor: query.cursor }),
    });
    response.json({
      items: page.items.map(context.show),
      page: number,
      page_size: query.page_size,
      total: page.total,
      next_cursor: page.nextCursor,
    });
  });

  mount(operations.getJob, async ({ request, response }) => {
    response.json(context.show(await readJob(context, jobIdOf(request))));
  });

  mount(operations.cancelJob, async ({ request, response }) => {
    const { record, cancelling } = await cancel(context, jobIdOf(request));
    response.status(cancelling ? 202 : 200).json(context.show(record));
  });

  mount(operations.retryJob, async ({ request, response }) => {
    const { header, snapshot } = await readJob(context, jobIdOf(request));
    if (!hasEnded(snapshot.state))
      throw new ServiceError(
        'Conflict',
        `The job is ${snapshot.state}: only an ended one is retried`,
      );
    const retried = await submit(context, header.request, { retryOf: header.job_id });
    answerSubmitted(context, response, retried);
  });
}

function answerSubmitted(
  context: ApiContext,
  response: Call<typeof operations.submitJob>['response'],
  { record, repeated }: Submitted,
): void {
  response
    .status(repeated ? 200 : 202)
    .location(`/v1/jobs/${record.header.job_id}`)
    .json(context.show(record));
}

async function cancel(
  context: ApiContext,
  jobId: string,
): Promise<{ record: JobRecord; cancelling: boolean }> {
  const before = await readJob(context, jobId);
  if (hasEnded(before.snapshot.state)) return { record: before, cancelling: false };
  const cancelling = await context.engine.cancel(jobId);
  return { record: (await context.mirror.getJob(jobId)) ?? before, cancelling };
}

function toFilter(query: Call<typeof operations.listJobs>['query']): JobFilter {
  const { state, provider, job_type, collection, q } = query;
  return {
    ...(state && { states: state }),
    ...(provider !== undefined && { provider }),
    ...(job_type !== undefined && { jobType: job_type }),
    ...(collection !== undefined && { collection }),
    ...(q !== undefined && { q }),
  };
}
