/** Counts and logs each answered request, by route template: no id, address or query ever becomes a label. */
import type { RequestHandler } from 'express';
import type { Logger } from '../../telemetry/log.js';
import type { Metrics } from '../../telemetry/metrics.js';

export function observe(metrics: Metrics, logger: Logger): RequestHandler {
  return (request, response, next) => {
    const startedMs = performance.now();
    response.once('close', () => {
      const route = (response.locals['route'] as string | undefined) ?? 'none';
      const durationMs = performance.now() - startedMs;
      const { method } = request;
      const status = response.statusCode;
      metrics.observeRequest({ method, route, status, seconds: durationMs / 1000 });
      const requestId = response.locals['requestId'] as string;
      logger.debug(
        { requestId, method, route, status, durationMs: Math.round(durationMs) },
        'request answered',
      );
    });
    next();
  };
}
