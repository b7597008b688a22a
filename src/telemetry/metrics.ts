/**
 * What an API process counts, as one Prometheus registry of its own (no global state, so that tests may run many).
 * Labels are route templates, methods, statuses and states: never an id, a path or anything a caller chose.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { JobState } from '../jobs/job.js';

export interface Metrics {
  observeRequest(request: { method: string; route: string; status: number; seconds: number }): void;
  /** From an event's own time to its arrival at this process. */
  observeEventLag(seconds: number): void;
  eventClients(change: 1 | -1): void;
  /** Asked at each scrape; a rejection leaves the gauge out. */
  setJobCounter(count: () => Promise<Record<JobState, number>>): void;
  readonly contentType: string;
  text(): Promise<string>;
}

const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** @param options.processFigures memory, handles and event loop of this process too */
export function createMetrics(options: { processFigures: boolean }): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (options.processFigures) collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'nimbus_http_requests_total',
    help: 'HTTP requests answered, by route template',
    labelNames: ['method', 'route', 'status'],
    registers,
  });
  const durations = new Histogram({
    name: 'nimbus_http_request_duration_seconds',
    help: 'Time from the request to the end of its answer',
    labelNames: ['method', 'route'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers,
  });
  const lag = new Histogram({
    name: 'nimbus_event_lag_seconds',
    help: 'From an event’s own time to its arrival at this process',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
    registers,
  });
  const clients = new Gauge({
    name: 'nimbus_sse_clients',
    help: 'Event streams that are open now',
    registers,
  });
  let countJobs: (() => Promise<Record<JobState, number>>) | null = null;
  new Gauge({
    name: 'nimbus_jobs',
    help: 'Jobs in the mirror, by state',
    labelNames: ['state'],
    registers,
    async collect() {
      this.reset();
      const counts = await countJobs?.().catch(() => null);
      for (const [state, count] of Object.entries(counts ?? {})) this.set({ state }, count);
    },
  });
  return {
    observeRequest({ method, route, status, seconds }) {
      const known = KNOWN_METHODS.has(method) ? method : 'other';
      requests.inc({ method: known, route, status: String(status) });
      durations.observe({ method: known, route }, seconds);
    },
    observeEventLag: (seconds) => lag.observe(Math.max(0, seconds)),
    eventClients: (change) => clients.inc(change),
    setJobCounter: (count) => {
      countJobs = count;
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}
