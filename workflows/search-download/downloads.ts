/**
 * A product's own workflow, run as a child. Where another job is already at it, that one is waited for, and the product
 * then found held.
 */
import {
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  condition,
  executeChild,
  getExternalWorkflowHandle,
  isCancellation,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { PlannedProduct } from '../../activities/index.js';
import { isSelective } from '../../src/jobs/asset-patterns.js';
import { downloadWorkflowId } from '../../src/jobs/ids.js';
import { searchAttribute } from '../../src/jobs/search-attributes.js';
import { download, type DownloadInput, type DownloadResult } from '../download.workflow.js';
import { followSignal } from '../messages.js';
import type { Job } from './job.js';

/**
 * A job that hears of the end may be quicker than the end itself, and is not told again: it looks by itself after so long,
 * and each time after several times as long.
 */
const AFTER_END_MS = 500;
const LONGER = 4;

/** What is asked of Temporal. */
const TEMPORAL = { condition, executeChild, getExternalWorkflowHandle };

export class Downloads {
  private readonly endedElsewhere = new Set<string>();
  private readonly followed = new Set<string>();

  constructor(
    private readonly job: Job,
    private readonly temporal = TEMPORAL,
  ) {}

  /** Another job's download of this product is over. */
  ended(productId: string): void {
    this.endedElsewhere.add(productId);
  }

  /** @param record that holds the product as the catalogue described it */
  async run(record: string, product: PlannedProduct): Promise<DownloadResult> {
    const { header, options } = this.job;
    const { provider, collection, if_exists, assets } = header.request;
    const workflowId = downloadWorkflowId(provider, product.id);
    const input: DownloadInput = {
      job_id: header.job_id,
      provider,
      product_id: product.id,
      product_name: product.name,
      record,
      if_exists,
      ...(isSelective(assets) ? { assets } : {}),
      timing: {
        staleSeconds: options.staleSeconds,
        taskQueue: `${options.transferQueuePrefix}-${provider}`,
      },
      patience: options.patience,
    };
    let patienceMs = options.followMs;
    for (;;) {
      this.endedElsewhere.delete(product.id);
      try {
        return await this.temporal.executeChild(download, {
          workflowId,
          args: [input],
          parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
          cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
          staticSummary: product.name,
          typedSearchAttributes: [
            { key: searchAttribute.jobType, value: 'download' },
            { key: searchAttribute.provider, value: provider },
            { key: searchAttribute.collection, value: collection },
          ],
        });
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        // Told while our own start was on its way, and refused all the same: this is the last that is heard of that end.
        if (this.endedElsewhere.delete(product.id)) patienceMs = AFTER_END_MS;
        const isOver = await this.follow(workflowId, product.id, patienceMs);
        patienceMs = isOver ? AFTER_END_MS : Math.min(LONGER * patienceMs, options.followMs);
      }
    }
  }

  /** Resolves with whether the other download is over, or at the latest after `patienceMs`. */
  private async follow(
    workflowId: string,
    productId: string,
    patienceMs: number,
  ): Promise<boolean> {
    try {
      await this.temporal.getExternalWorkflowHandle(workflowId).signal(followSignal, {
        job_id: this.job.header.job_id,
      });
    } catch (error) {
      if (isCancellation(error)) throw error;
      return true;
    }
    this.tellFollowing(productId);
    return await this.temporal.condition(() => this.endedElsewhere.has(productId), patienceMs);
  }

  /** Once a product, however long the other job takes. */
  private tellFollowing(productId: string): void {
    if (this.followed.has(productId)) return;
    this.followed.add(productId);
    this.job.tellWaiting(
      'job.waiting',
      { product_id: productId },
      {
        reason: 'provider',
        until: null,
        detail: 'Another job is fetching this product: this one takes it over from there',
      },
    );
  }
}
