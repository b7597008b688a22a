/** What accepting a job writes: the very event that its workflow writes first, so whoever comes second changes nothing. */
import type { EventBatch } from './event.js';
import type { JobHeader } from './job.js';
import { initialSnapshot } from './snapshot.js';

export function acceptedBatch(header: JobHeader): EventBatch {
  const { job_id, created_at: at } = header;
  return {
    header,
    snapshot: { ...initialSnapshot(at), version: 1 },
    events: [{ job_id, number: 1, type: 'job.queued', at, data: {} }],
  };
}
