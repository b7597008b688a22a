/** A job as it is kept (header, snapshot, live progress) and as it is shown (`Job`, the wire form of docs/api.md). */
import { z } from 'zod';
import { problemSchema } from './problem-schema.js';
import { jobRequestSchema } from './request.js';

export const jobStates = [
  'queued',
  'running',
  'paused',
  'succeeded',
  'failed',
  'cancelled',
] as const;
export type JobState = (typeof jobStates)[number];
export const endedStates: readonly JobState[] = ['succeeded', 'failed', 'cancelled'];
export const hasEnded = (state: JobState): boolean => endedStates.includes(state);

export const jobTypes = ['search_download'] as const;

export const waitingSchema = z.object({
  reason: z.enum(['quota', 'provider', 'network', 'disk', 'credentials', 'worker', 'paused']),
  since: z.string(),
  until: z.string().nullable(),
  detail: z.string(),
});
export type Waiting = z.infer<typeof waitingSchema>;

/** Fixed at submission. */
export const jobHeaderSchema = z.object({
  job_id: z.string(),
  job_type: z.enum(jobTypes),
  request: jobRequestSchema,
  /** SHA-256 of the canonical request: tells an idempotent repeat from another body under the same key. */
  request_hash: z.string(),
  created_at: z.string(),
  retry_of: z.string().nullable(),
  recipe_id: z.string().nullable(),
});
export type JobHeader = z.infer<typeof jobHeaderSchema>;

/** The job as its workflow knows it after event `version`. */
export const jobSnapshotSchema = z.object({
  version: z.number().int().nonnegative(),
  state: z.enum(jobStates),
  products_total: z.number().int().nullable(),
  products_done: z.number().int(),
  products_failed: z.number().int(),
  /** Announced sizes of all products where every size is known, else null. */
  bytes_total: z.number().int().nullable(),
  /** Bytes of finished, verified products. */
  bytes_done: z.number().int(),
  /** Ids of the products being fetched now; live progress of any other product is stale. */
  in_flight: z.array(z.string()),
  waiting: waitingSchema.nullable(),
  error: problemSchema.nullable(),
  manifest: z.string().nullable(),
  started_at: z.string().nullable(),
  finished_at: z.string().nullable(),
  updated_at: z.string(),
});
export type JobSnapshot = z.infer<typeof jobSnapshotSchema>;

/** How far one product's transfer is, straight from the activity that runs it. Never through workflow history. */
export const liveProgressSchema = z.object({
  product_id: z.string(),
  bytes: z.number().int().nonnegative(),
  bytes_total: z.number().int().nullable(),
  speed_bytes_per_second: z.number().nonnegative(),
  at: z.string(),
});
export type LiveProgress = z.infer<typeof liveProgressSchema>;

export interface JobRecord {
  header: JobHeader;
  snapshot: JobSnapshot;
  live: LiveProgress[];
}

/** The wire form. */
export const jobSchema = z.object({
  job_id: z.string(),
  job_type: z.enum(jobTypes),
  state: z.enum(jobStates),
  provider: z.string(),
  collection: z.string(),
  product_type: z.string().nullable(),
  request: z.looseObject({}).describe('As accepted, defaults filled in'),
  progress: z.number().int().min(0).max(100),
  bytes_downloaded: z.number().int(),
  bytes_total: z.number().int().nullable(),
  speed_bytes_per_second: z.number(),
  eta_seconds: z.number().nullable(),
  products_total: z.number().int().nullable(),
  products_done: z.number().int(),
  products_failed: z.number().int(),
  waiting: waitingSchema.nullable(),
  error: problemSchema.nullable(),
  labels: z.record(z.string(), z.string()),
  created_at: z.string(),
  started_at: z.string().nullable(),
  finished_at: z.string().nullable(),
  updated_at: z.string(),
  duration_seconds: z.number(),
  retry_of: z.string().nullable(),
  recipe_id: z.string().nullable(),
  workflow_url: z.string(),
});
export type Job = z.infer<typeof jobSchema>;

/** Speeds older than this are not summed: a transfer that says nothing is not moving. */
const LIVE_SPEED_MS = 10_000;

/** The five figures of a job's progress, also the data of a `job.progress` event. */
export type ProgressFigures = Pick<
  Job,
  'progress' | 'bytes_downloaded' | 'bytes_total' | 'speed_bytes_per_second' | 'eta_seconds'
>;

export function progressFigures(
  snapshot: JobSnapshot,
  live: LiveProgress[],
  nowMs: number,
): ProgressFigures {
  const moving = hasEnded(snapshot.state)
    ? []
    : live.filter((entry) => snapshot.in_flight.includes(entry.product_id));
  const bytes = snapshot.bytes_done + moving.reduce((sum, entry) => sum + entry.bytes, 0);
  const speed = moving
    .filter((entry) => nowMs - Date.parse(entry.at) < LIVE_SPEED_MS)
    .reduce((sum, entry) => sum + entry.speed_bytes_per_second, 0);
  const total =
    snapshot.bytes_total === null
      ? transferredTotal(snapshot, moving)
      : Math.max(snapshot.bytes_total, bytes);
  const share =
    snapshot.bytes_total !== null && snapshot.bytes_total > 0
      ? bytes / total!
      : productShare(snapshot, moving);
  return {
    // 100 is said only once everything is verified.
    progress: snapshot.state === 'succeeded' ? 100 : Math.min(99, Math.floor(share * 100)),
    bytes_downloaded: bytes,
    bytes_total: total,
    speed_bytes_per_second: Math.round(speed),
    eta_seconds:
      total !== null && speed > 0 && !hasEnded(snapshot.state)
        ? Math.ceil((total - bytes) / speed)
        : null,
  };
}

/** Once every product has ended or says itself how large it is: what no catalogue had announced. */
function transferredTotal(snapshot: JobSnapshot, moving: LiveProgress[]): number | null {
  const known = moving.filter((entry) => entry.bytes_total !== null);
  const ended = snapshot.products_done + snapshot.products_failed;
  if (ended + known.length !== snapshot.products_total) return null;
  return known.reduce(
    (sum, entry) => sum + Math.max(entry.bytes_total!, entry.bytes),
    snapshot.bytes_done,
  );
}

/** By products, those under way in part: it never goes back when a size becomes known. */
function productShare(snapshot: JobSnapshot, moving: LiveProgress[]): number {
  if (!snapshot.products_total) return 0;
  const parts = moving.map(({ bytes, bytes_total }) =>
    bytes_total ? Math.min(1, bytes / bytes_total) : 0,
  );
  const ended = snapshot.products_done + snapshot.products_failed;
  return parts.reduce((sum, part) => sum + part, ended) / snapshot.products_total;
}

/** Record → wire form. Pure; `workflowUrl` is where the Temporal Web UI shows the job. */
export function toJob(record: JobRecord, workflowUrl: string, nowMs: number): Job {
  const { header, snapshot, live } = record;
  const endMs = snapshot.finished_at === null ? nowMs : Date.parse(snapshot.finished_at);
  return {
    job_id: header.job_id,
    job_type: header.job_type,
    state: snapshot.state,
    provider: header.request.provider,
    collection: header.request.collection,
    product_type: header.request.product_type ?? null,
    request: header.request,
    ...progressFigures(snapshot, live, nowMs),
    products_total: snapshot.products_total,
    products_done: snapshot.products_done,
    products_failed: snapshot.products_failed,
    waiting: snapshot.waiting,
    error: snapshot.error,
    labels: header.request.labels ?? {},
    created_at: header.created_at,
    started_at: snapshot.started_at,
    finished_at: snapshot.finished_at,
    updated_at: snapshot.updated_at,
    duration_seconds:
      snapshot.started_at === null
        ? 0
        : Math.max(0, endMs - Date.parse(snapshot.started_at)) / 1000,
    retry_of: header.retry_of,
    recipe_id: header.recipe_id,
    workflow_url: workflowUrl,
  };
}
