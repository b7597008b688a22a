/**
 * A request's `max_bytes`, where the plan could not hold it. The plan has counted what was announced; what was not counts
 * here: by the mean of the products that are done, and until there is one, one at a time.
 */
import { condition, patched } from '@temporalio/workflow';
import type { PlannedProduct } from '../../activities/index.js';
import { announcedBytes } from '../../src/jobs/plan.js';
import type { Job } from './job.js';

export class ByteLimit {
  /** Products under way, with their sizes as announced. */
  private readonly underWay = new Map<string, number | null>();

  constructor(private readonly job: Job) {}

  /** May this product be begun? Waits until that can be told, takes the room for it, and says no for good. */
  async allows(product: PlannedProduct): Promise<boolean> {
    const { header, progress } = this.job;
    const { max_bytes } = header.request;
    if (max_bytes === undefined || !patched('2026-11-max-bytes')) return true;
    const bytes = announcedBytes(product, header.request);
    const mayBegin = (): boolean =>
      this.job.snapshot.products_done > 0 || ![...this.underWay.values()].includes(null);
    while (bytes === null && !mayBegin()) await condition(mayBegin);
    const { products_done, bytes_done } = this.job.snapshot;
    const mean = products_done === 0 ? 0 : bytes_done / products_done;
    const taken = [...this.underWay.values()].reduce<number>(
      (sum, size) => sum + (size ?? mean),
      bytes_done,
    );
    if (taken >= max_bytes || taken + (bytes ?? mean) > max_bytes) progress.limitedBy = 'max_bytes';
    if (progress.limitedBy !== undefined) return false;
    this.underWay.set(product.id, bytes);
    return true;
  }

  /** However it ended. */
  release({ id }: PlannedProduct): void {
    this.underWay.delete(id);
  }
}
