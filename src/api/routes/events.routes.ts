/** The stored events of one job. */
import type { ApiContext } from '../context.js';
import { assertJob } from '../known-jobs.js';
import { jobIdOf, type Mount } from '../mount.js';
import { operations } from '../operations.js';

export function eventsRoutes(context: ApiContext, mount: Mount): void {
  mount(operations.listEvents, async ({ query, request, response }) => {
    const jobId = jobIdOf(request);
    await assertJob(context, jobId);
    response.json({ items: await context.mirror.listEvents(jobId, query.after, query.limit) });
  });
}
