/** Metrics for Prometheus. */
import { ServiceError } from '../../jobs/error-codes.js';
import type { Metrics } from '../../telemetry/metrics.js';
import type { ApiContext } from '../context.js';
import { within } from '../deadline.js';
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';

export function metricsRoutes(context: ApiContext, metrics: Metrics, mount: Mount): void {
  metrics.setJobCounter(() =>
    within(context.mirror.countByState(), context.timings.mirrorMs, 'Mirror'),
  );
  mount(operations.getMetrics, async ({ response }) => {
    if (!context.settings.metrics) throw new ServiceError('NotFound', 'Metrics are switched off');
    response.set('Content-Type', metrics.contentType).send(await metrics.text());
  });
}
