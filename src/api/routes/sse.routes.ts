/** The live event stream. Everything that can be refused is refused before the first byte. */
import { isJobId } from '../../jobs/ids.js';
import type { Metrics } from '../../telemetry/metrics.js';
import type { ApiContext } from '../context.js';
import { within } from '../deadline.js';
import type { EventHub } from '../event-hub.js';
import { EventStream, startOf } from '../event-stream.js';
import { assertJob, noSuchJob } from '../known-jobs.js';
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';
import { createSseWriter } from '../sse-writer.js';

export function sseRoutes(
  context: ApiContext,
  hub: EventHub,
  metrics: Metrics,
  mount: Mount,
): void {
  mount(operations.streamEvents, async ({ query, request, response }) => {
    const jobId = query.job_id;
    if (jobId !== undefined) {
      if (!isJobId(jobId)) throw noSuchJob();
      await assertJob(context, jobId);
    }
    const lastEventId = query.last_event_id ?? request.get('last-event-id');
    // Live first, then the position: what happens in between is seen by the catching up.
    await within(hub.ready(), context.timings.mirrorMs, 'Mirror');
    const start = await startOf(context, jobId, lastEventId);
    if (request.method === 'HEAD' || response.destroyed) {
      response.type('text/event-stream').end();
      return;
    }
    const stream = new EventStream(context, createSseWriter(response, context.timings), jobId);
    const unsubscribe = hub.subscribe(stream);
    metrics.eventClients(1);
    response.once('close', () => {
      unsubscribe();
      metrics.eventClients(-1);
    });
    await stream.begin(start);
  });
}
