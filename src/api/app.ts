/** The Express application, not listening: middleware in the order in which it must run, then every operation. */
import express from 'express';
import { createMetrics, type Metrics } from '../telemetry/metrics.js';
import { toContext, type ApiDeps } from './context.js';
import { createEventHub } from './event-hub.js';
import { authenticate } from './middleware/auth.js';
import { handleErrors, notFound } from './middleware/errors.js';
import { observe } from './middleware/observe.js';
import { corsHeaders, refuseForeignChanges } from './middleware/origins.js';
import { requestId } from './middleware/request-id.js';
import { securityHeaders } from './middleware/security-headers.js';
import { createMount } from './mount.js';
import { batchRoutes } from './routes/batch.routes.js';
import { docsRoutes } from './routes/docs.routes.js';
import { eventsRoutes } from './routes/events.routes.js';
import { filesRoutes } from './routes/files.routes.js';
import { healthRoutes } from './routes/health.routes.js';
import { jobsRoutes } from './routes/jobs.routes.js';
import { metricsRoutes } from './routes/metrics.routes.js';
import { providersRoutes } from './routes/providers.routes.js';
import { resultRoutes } from './routes/result.routes.js';
import { searchRoutes } from './routes/search.routes.js';
import { sseRoutes } from './routes/sse.routes.js';
import { ticketRoutes } from './routes/ticket.routes.js';
import { tilesRoutes } from './routes/tiles.routes.js';
import { createTickets } from './tickets.js';

export interface Api {
  app: express.Express;
  /** Ends every event stream, so that the server can drain. */
  endStreams(): void;
}

export function createApp(
  deps: ApiDeps,
  metrics: Metrics = createMetrics({ processFigures: false }),
): Api {
  const context = toContext(deps);
  const { settings, logger, timings, now } = context;
  const tickets = createTickets(timings.ticketMs, now);
  const hub = createEventHub({
    mirror: context.mirror,
    progressMs: timings.progressMs,
    onLag: metrics.observeEventLag,
    now,
  });
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // Query strings are read by src/api/query.ts alone.
  app.set('query parser', false);
  app.use(requestId, observe(metrics, logger), ...securityHeaders());
  if (settings.corsOrigins.length > 0) app.use(corsHeaders(settings.corsOrigins));
  app.use(refuseForeignChanges(settings.corsOrigins), authenticate(settings.key, tickets));

  const router = express.Router();
  const { mount, finish } = createMount(router, settings.maxRequestBytes);
  // `/v1/jobs/batch` before `/v1/jobs/{id}`.
  batchRoutes(context, mount);
  jobsRoutes(context, mount);
  resultRoutes(context, mount);
  eventsRoutes(context, mount);
  filesRoutes(context, mount);
  ticketRoutes(tickets, mount);
  sseRoutes(context, hub, metrics, mount);
  searchRoutes(context, mount);
  providersRoutes(context, mount);
  tilesRoutes(mount);
  healthRoutes(context, mount);
  metricsRoutes(context, metrics, mount);
  docsRoutes(context, mount);
  finish();
  app.use(router, notFound, handleErrors(logger));
  return { app, endStreams: () => hub.close() };
}
