/**
 * The job type `search_download`: search the catalogue page by page, plan, fetch each product through a child workflow,
 * a bounded window at a time, continue as new after each chunk, and leave a manifest. The manifest is the last act; only
 * then has the job succeeded. Each step has a file of its own in search-download/.
 */
import {
  CancellationScope,
  TemporalFailure,
  isCancellation,
  setHandler,
} from '@temporalio/workflow';
import type { JobSnapshot } from '../src/jobs/job.js';
import { downloadEndedSignal, snapshotQuery, transferNoteSignal } from './messages.js';
import { Downloads } from './search-download/downloads.js';
import { endCancelled, endFailed, finish } from './search-download/end.js';
import { fetchProducts } from './search-download/fetch.js';
import type { SearchDownloadInput } from './search-download/input.js';
import { Job } from './search-download/job.js';
import { search } from './search-download/search.js';
import { readFailure } from './shared/failure.js';

export type { SearchDownloadInput, SearchDownloadOptions } from './search-download/input.js';

export async function searchDownload(input: SearchDownloadInput): Promise<JobSnapshot> {
  const job = new Job(input);
  const downloads = new Downloads(job);
  setHandler(snapshotQuery, () => job.snapshot);
  setHandler(downloadEndedSignal, ({ product_id }) => downloads.ended(product_id));
  setHandler(transferNoteSignal, ({ type, data, waiting }) => job.tellWaiting(type, data, waiting));
  return await run(job, downloads);
}

async function run(job: Job, downloads: Downloads): Promise<JobSnapshot> {
  try {
    if (job.isFirstRun) start(job);
    const first = await search(job);
    await fetchProducts(job, downloads, first);
    await finish(job);
    return job.snapshot;
  } catch (error) {
    if (isCancellation(error)) {
      await CancellationScope.nonCancellable(() => endCancelled(job));
      throw error;
    }
    if (!isFinal(error)) throw error;
    await endFailed(job, readFailure(error));
    throw error;
  }
}

function start(job: Job): void {
  const { header, recorder } = job;
  recorder.story.tell('job.queued', header.created_at, {}, {});
  const at = new Date(Date.now()).toISOString();
  recorder.tell('job.started', {}, { state: 'running', started_at: at });
  job.showState('running');
}

/**
 * Only Temporal's failures end a job. A bug fails the workflow task instead, which is tried again until it is mended;
 * continue-as-new, which also travels as an exception, passes.
 */
function isFinal(error: unknown): boolean {
  return error instanceof TemporalFailure;
}
