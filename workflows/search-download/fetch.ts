/**
 * The second phase: one chunk of the plan a run, and of it a window of products at a time.
 */
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { PlannedChunk, PlannedProduct } from '../../activities/index.js';
import { readChunk } from '../shared/activities.js';
import { readFailure } from '../shared/failure.js';
import { ByteLimit } from './byte-limit.js';
import type { Downloads } from './downloads.js';
import type { Job } from './job.js';
import { failProduct, tellFetched, tellStarted } from './product-story.js';

interface Fetching {
  job: Job;
  downloads: Downloads;
  limit: ByteLimit;
}

/** @param first chunk of the plan, where it is known already */
export async function fetchProducts(
  job: Job,
  downloads: Downloads,
  first: PlannedChunk | null,
): Promise<void> {
  const fetching: Fetching = { job, downloads, limit: new ByteLimit(job) };
  const { header, progress } = job;
  for (;;) {
    const phase = progress.phase;
    if (phase.name !== 'fetch' || phase.chunk >= phase.chunks) return;
    if (progress.limitedBy !== undefined) return;
    const { chunk } = phase;
    const known = chunk === 0 ? first : null;
    const { record, products } = known ?? (await readChunk({ job_id: header.job_id, chunk }));
    await fetchWindow(fetching, record, products);
    progress.phase = { ...phase, chunk: chunk + 1 };
    if (chunk + 1 < phase.chunks) await job.continue();
  }
}

/** At most `window` products at a time; with on_error "stop", the first failure cancels the others. */
async function fetchWindow(
  fetching: Fetching,
  record: string,
  products: PlannedProduct[],
): Promise<void> {
  const { job, limit } = fetching;
  const queue = [...products];
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    let stoppedBy: unknown = null;
    const lane = async (): Promise<void> => {
      for (
        let product = queue.shift();
        product !== undefined && stoppedBy === null;
        product = queue.shift()
      ) {
        try {
          if (await limit.allows(product)) await fetchProduct(fetching, record, product);
        } catch (error) {
          if (stoppedBy === null && !isCancellation(error)) {
            stoppedBy = error;
            scope.cancel();
          } else if (stoppedBy === null) throw error;
        }
      }
    };
    const lanes = await Promise.allSettled(
      Array.from({ length: Math.min(job.options.window, products.length) }, lane),
    );
    if (stoppedBy !== null) throw stoppedBy as Error;
    for (const outcome of lanes) if (outcome.status === 'rejected') throw outcome.reason as Error;
  });
}

/** @throws only on cancellation, or when the job stops at its first failure */
async function fetchProduct(
  { job, downloads, limit }: Fetching,
  record: string,
  product: PlannedProduct,
): Promise<void> {
  const facts = { product_id: product.id, name: product.name };
  tellStarted(job, facts, product);
  try {
    tellFetched(job, facts, await downloads.run(record, product));
  } catch (error) {
    if (isCancellation(error)) throw error;
    failProduct(job, facts, readFailure(error));
  } finally {
    limit.release(product);
  }
}
