/**
 * One product being fetched. Its id follows from provider and product, so that two jobs never fetch one product twice at
 * once, whatever each wants of it: a second job follows this workflow, then runs its own, and finds held what the first fetched.
 *
 * Fails with the error's code as type; cancelled, it leaves no unfinished bytes behind.
 */
import {
  CancellationScope,
  getExternalWorkflowHandle,
  isCancellation,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { AssetSelection } from '../src/jobs/asset-patterns.js';
import type { SearchDownloadRequest } from '../src/jobs/request.js';
import type { Artifact } from '../src/jobs/product.js';
import {
  downloadEndedSignal,
  followSignal,
  transferNoteSignal,
  type TransferNoteMessage,
} from './messages.js';
import { bulkTransfer, discardPartial, type TransferTiming } from './shared/activities.js';
import { withPatience, type Patience, type Wait } from './shared/patience.js';

export interface DownloadInput {
  job_id: string;
  provider: string;
  product_id: string;
  product_name: string;
  /** Record that holds the product as the catalogue described it. */
  record: string;
  if_exists: SearchDownloadRequest['if_exists'];
  /** Only these files of it; missing = the product as delivered. */
  assets?: AssetSelection | undefined;
  timing: TransferTiming;
  patience: Patience;
}

export interface DownloadResult {
  outcome: 'completed' | 'reused';
  artifacts: Artifact[];
  bytes: number;
  bytes_fetched: number;
  /** A held file was there, was not what it should be, and was replaced. */
  damaged_before: boolean;
  /** Of a product of which single files were selected: how many of how many. */
  selection?: { files: number; of: number };
}

export async function download(input: DownloadInput): Promise<DownloadResult> {
  const followers = new Set<string>();
  setHandler(followSignal, ({ job_id }) => void followers.add(job_id));
  const { fetchProduct } = bulkTransfer(input.timing);
  try {
    return await withPatience(
      input.patience,
      () =>
        fetchProduct({
          job_id: input.job_id,
          provider: input.provider,
          product_id: input.product_id,
          record: input.record,
          if_exists: input.if_exists,
          ...(input.assets === undefined ? {} : { assets: input.assets }),
          run_id: workflowInfo().firstExecutionRunId,
        }),
      (wait) => tellJob(input, wait),
    );
  } catch (error) {
    // A job that follows goes on from the bytes that are there.
    if (isCancellation(error) && followers.size === 0)
      await CancellationScope.nonCancellable(() =>
        discardPartial({
          provider: input.provider,
          product_id: input.product_id,
          ...(input.assets === undefined ? {} : { assets: input.assets }),
        }),
      );
    throw error;
  } finally {
    await CancellationScope.nonCancellable(() => tellFollowers(input.product_id, followers));
  }
}

async function tellJob(input: DownloadInput, { failure, attempt, waiting }: Wait): Promise<void> {
  const message: TransferNoteMessage = {
    product_id: input.product_id,
    type: waiting === null ? 'transfer.retried' : 'job.waiting',
    data: {
      product_id: input.product_id,
      name: input.product_name,
      attempt,
      reason: failure.message,
      code: failure.code,
    },
    waiting,
  };
  await signalIfOpen(() =>
    getExternalWorkflowHandle(input.job_id).signal(transferNoteSignal, message),
  );
}

async function tellFollowers(productId: string, followers: Set<string>): Promise<void> {
  for (const jobId of followers)
    await signalIfOpen(() =>
      getExternalWorkflowHandle(jobId).signal(downloadEndedSignal, { product_id: productId }),
    );
}

/** The other workflow may have ended meanwhile: then there is nobody to tell. */
async function signalIfOpen(send: () => Promise<void>): Promise<void> {
  try {
    await send();
  } catch (error) {
    if (isCancellation(error)) throw error;
  }
}
