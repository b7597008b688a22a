/** The stored rows and their way to and from the domain. */
import type { JobEvent } from '../../jobs/event.js';
import type { JobHeader, JobRecord, JobSnapshot, LiveProgress } from '../../jobs/job.js';
import type { SequencedEvent } from '../mirror.js';

export interface JobRow {
  job_id: string;
  version: number;
  ended: number;
  by_created: string;
  by_updated: string;
  header: string;
  snapshot: string;
  live: string;
}

export interface EventRow {
  seq: number;
  job_id: string;
  number: number;
  type: JobEvent['type'];
  at: string;
  data: string;
}

export function decodeJob(row: Pick<JobRow, 'header' | 'snapshot' | 'live'>): JobRecord {
  return {
    header: JSON.parse(row.header) as JobHeader,
    snapshot: JSON.parse(row.snapshot) as JobSnapshot,
    live: decodeLive(row.live),
  };
}

export function decodeLive(live: string): LiveProgress[] {
  return JSON.parse(live) as LiveProgress[];
}

export function decodeEvent({ job_id, number, type, at, data }: EventRow): JobEvent {
  return { job_id, number, type, at, data: JSON.parse(data) as JobEvent['data'] };
}

export function decodeSequenced(row: EventRow): SequencedEvent {
  return { seq: row.seq, event: decodeEvent(row) };
}
