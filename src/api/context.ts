/** What the API is made of: ports and settings, handed in by the composition root or by a test. */
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import type { JobEngine } from '../engine/job-engine.js';
import { toJob, type Job, type JobRecord } from '../jobs/job.js';
import type { Mirror } from '../mirror/mirror.js';
import type { Provider } from '../providers/provider.js';
import type { Logger } from '../telemetry/log.js';

export interface ApiSettings {
  /** null = open. */
  key: string | null;
  /** Browser origins that may call; `*` = any. */
  corsOrigins: readonly string[];
  maxRequestBytes: number;
  metrics: boolean;
}

export interface ApiTimings {
  /** Between two comment lines of an event stream. */
  heartbeatMs: number;
  /** A stream whose reader takes nothing for this long is dropped. */
  stallMs: number;
  /** At most one `job.progress` a job in this time. */
  progressMs: number;
  ticketMs: number;
  /** How long a submit waits for the mirror before it answers without. */
  mirrorMs: number;
  /** Each health check. */
  checkMs: number;
  /** A search preview answers with what it has after this. */
  previewMs: number;
}

export const defaultTimings: ApiTimings = {
  heartbeatMs: 10_000,
  stallMs: 30_000,
  progressMs: 500,
  ticketMs: 30_000,
  mirrorMs: 2_000,
  checkMs: 2_000,
  previewMs: 20_000,
};

export interface ApiDeps {
  mirror: Mirror;
  engine: JobEngine;
  providers: ReadonlyMap<string, Provider>;
  store: Pick<
    ArtifactStore,
    'open' | 'addressOf' | 'pathOf' | 'ping' | 'getHeld' | 'getRecord' | 'freeBytes'
  >;
  logger: Logger;
  version: string;
  settings: ApiSettings;
  timings?: Partial<ApiTimings>;
  now?: () => number;
}

/** The deps with defaults filled in, and the one way to show a job. */
export interface ApiContext extends Omit<ApiDeps, 'timings' | 'now'> {
  timings: ApiTimings;
  now: () => number;
  show: (record: JobRecord) => Job;
}

export function toContext(deps: ApiDeps): ApiContext {
  const now = deps.now ?? Date.now;
  return {
    ...deps,
    now,
    timings: { ...defaultTimings, ...deps.timings },
    show: (record) => toJob(record, deps.engine.workflowUrl(record.header.job_id), now()),
  };
}
