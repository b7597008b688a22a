/** A job's snapshot at its beginning. Without zod, because workflows bundle it. */
import type { JobSnapshot } from './job.js';

/** The snapshot before anything happened. */
export function initialSnapshot(createdAt: string): JobSnapshot {
  return {
    version: 0,
    state: 'queued',
    products_total: null,
    products_done: 0,
    products_failed: 0,
    bytes_total: null,
    bytes_done: 0,
    in_flight: [],
    waiting: null,
    error: null,
    manifest: null,
    started_at: null,
    finished_at: null,
    updated_at: createdAt,
  };
}
