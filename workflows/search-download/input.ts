/** What a job is started with, and what it carries from run to run. */
import type { JobSearchCursor } from '../../activities/index.js';
import type { JobHeader, JobSnapshot } from '../../src/jobs/job.js';
import type { Problem } from '../../src/jobs/problem.js';
import { defaultPatience, type Patience } from '../shared/patience.js';

export interface SearchDownloadOptions {
  /** Products fetched at the same time by one job. */
  window: number;
  /** Products a run: the job continues as new after each chunk. */
  chunkSize: number;
  /** Search pages a run. */
  pagesARun: number;
  /** Queue of the provider's transfers is `<prefix>-<provider>`. */
  transferQueuePrefix: string;
  staleSeconds: number;
  /** How long to wait for another job's download before looking again by ourselves. */
  followMs: number;
  patience: Patience;
}

export const defaultOptions: SearchDownloadOptions = {
  window: 8,
  chunkSize: 100,
  pagesARun: 100,
  transferQueuePrefix: 'nimbus-transfers',
  staleSeconds: 15,
  followMs: 300_000,
  patience: defaultPatience,
};

/** Carried from run to run. */
export interface Progress {
  snapshot: JobSnapshot;
  phase:
    | { name: 'search'; page: number; cursor: JobSearchCursor | null }
    | { name: 'fetch'; chunk: number; chunks: number };
  /** The first product that failed: the cause shown when all did. */
  firstProblem: Problem | null;
  /** Set once no further product is begun. */
  limitedBy?: 'max_bytes';
}

export interface SearchDownloadInput {
  header: JobHeader;
  options?: Partial<SearchDownloadOptions>;
  progress?: Progress;
}
