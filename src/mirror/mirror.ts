/**
 * The mirror's port: what people read of jobs, events and artifacts. A read model — it may lag, be down or be dropped.
 * Adapters: mongo/, sqlite/. Both pass test/contract/mirror.contract.ts.
 *
 * Writes are idempotent and order-free: an event is stored once by (job_id, number), and a snapshot replaces the stored
 * one only if its version is higher. Each stored event also gets the mirror's own position `seq`, strictly growing in
 * the order in which readers can see it; `epoch` names the life of the mirror (a dropped and rebuilt one has another).
 *
 * Errors: StoreUnavailable for everything that a working database would not do.
 */
import type { EventBatch, JobEvent } from '../jobs/event.js';
import type { JobHeader, JobRecord, JobState, LiveProgress } from '../jobs/job.js';
import type { Checksum } from '../jobs/product.js';
import type { JobResult } from '../jobs/result.js';

export interface JobFilter {
  states?: JobState[];
  provider?: string;
  jobType?: string;
  collection?: string;
  /** Case-insensitive substring of id, collection, product type or label values; matched literally. */
  q?: string;
}

export type JobSort = 'created_at' | '-created_at' | 'updated_at' | '-updated_at';

export interface JobListQuery {
  filter: JobFilter;
  sort: JobSort;
  pageSize: number;
  /** 1-based; ignored when `cursor` is given. */
  page: number;
  /** Opaque, as returned by an earlier answer to the same filter and sort. BadRequest if it is not one. */
  cursor?: string;
}

export interface JobPage {
  items: JobRecord[];
  total: number;
  nextCursor: string | null;
}

/** A file that belongs to a job. */
export interface OwnFile {
  /** Of an artifact, as it was verified; null for a manifest. */
  verified: { checksum: Checksum; bytes: number } | null;
}

/** Stored position of an event. */
export interface SequencedEvent {
  seq: number;
  event: JobEvent;
}

export type FeedItem =
  | ({ kind: 'event' } & SequencedEvent)
  /** Live progress changed; the record is as it is now. */
  | { kind: 'progress'; record: JobRecord }
  /** Something may have been missed (reconnect): readers re-read from their last seq. */
  | { kind: 'gap' };

export interface Mirror {
  readonly backend: 'mongodb' | 'sqlite';

  /** Connects if needed, creates what is missing and asserts the indexes. Harmless to repeat. */
  prepare(): Promise<void>;
  /** Resolves if a read and a write would work now; rejects with StoreUnavailable. */
  ping(): Promise<void>;
  close(): Promise<void>;

  /** Stores header (once), events (once each), artifacts named by product events, and the snapshot if newer. Atomic per call. */
  apply(batch: EventBatch): Promise<void>;
  /** Sets one product's live progress; ignored when older than what is there, or when the job is unknown or has ended. */
  reportProgress(jobId: string, progress: LiveProgress): Promise<void>;

  getJob(jobId: string): Promise<JobRecord | null>;
  getHeader(jobId: string): Promise<JobHeader | null>;
  listJobs(query: JobListQuery): Promise<JobPage>;
  /** Events with number > after, ascending. */
  listEvents(jobId: string, after: number, limit: number): Promise<JobEvent[]>;
  /** Built from the stored product events; null if the job is unknown. */
  getResult(jobId: string): Promise<JobResult | null>;
  /** The job's own file of this name: an artifact as it was verified, or the manifest. Null for anything else. */
  fileOf(jobId: string, path: string): Promise<OwnFile | null>;
  /** Jobs by state, for metrics. */
  countByState(): Promise<Record<JobState, number>>;

  head(): Promise<{ epoch: string; seq: number }>;
  /** The event at exactly this position, or null. */
  eventAt(seq: number): Promise<SequencedEvent | null>;
  /** Events with seq > after in order of seq, of one job or of all. */
  eventsAfter(seq: number, options: { jobId?: string; limit: number }): Promise<SequencedEvent[]>;
  /**
   * One tail of everything that changes from now on, until the signal aborts; resolves once the tail is live.
   * Survives a restart of the database by itself, announcing it with a `gap`.
   */
  follow(listener: (item: FeedItem) => void, signal: AbortSignal): Promise<void>;
}
