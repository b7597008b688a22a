/**
 * Fetching one product: reuse what is held, else transfer, verify, publish. One activity, because each step is a round
 * trip. A repeat is harmless at every point: the partial's journal knows which bytes are durable, what is held is
 * recorded before it gets its final name, and publishing the same bytes twice is success.
 */
import { Context } from '@temporalio/activity';
import { z } from 'zod';
import type { ArtifactStore } from '../src/artifacts/artifact-store.js';
import { toArtifact } from '../src/artifacts/artifact.js';
import { ServiceError } from '../src/jobs/error-codes.js';
import { productSchema, type Artifact, type Product } from '../src/jobs/product.js';
import type { SearchDownloadRequest } from '../src/jobs/request.js';
import type { TransferNote } from '../src/transfer/transfer.js';
import type { DownloadResult } from '../workflows/download.workflow.js';
import type { TransferNoteMessage } from '../workflows/messages.js';
import type { ActivityDependencies } from './index.js';
import { activity } from './activity.js';

export interface FetchInput {
  job_id: string;
  provider: string;
  product_id: string;
  record: string;
  if_exists: SearchDownloadRequest['if_exists'];
}

const PROGRESS_MS = 500;
/** Notes of one try that reach the job's story: a provider that cuts every second must not flood the history. */
const NOTES_A_TRY = 10;

const chunkSchema = z.object({ products: z.array(productSchema) });

/** Pins journal and partial of a product as delivered. */
const transferKey = (provider: string, productId: string): string => `${provider}/${productId}`;

export function createFetchActivities({
  providers,
  store,
  mirror,
  transfer,
  stopping,
}: ActivityDependencies) {
  return {
    async fetchProduct(input: FetchInput): Promise<DownloadResult> {
      return await activity(async () => {
        const product = await readProduct(store, input);
        const signal = AbortSignal.any([Context.current().cancellationSignal, stopping]);
        const held = await reuse(store, product, input.if_exists, signal);
        if (held !== null)
          return { outcome: 'reused', artifacts: held, bytes: sumBytes(held), bytes_fetched: 0 };
        return await fetch(input, product, signal);
      });
    },

    /** Harmless when there is nothing to drop. */
    async discardPartial(input: { provider: string; product_id: string }): Promise<void> {
      await activity(() => store.discard(transferKey(input.provider, input.product_id)));
    },
  };

  async function fetch(
    input: FetchInput,
    product: Product,
    signal: AbortSignal,
  ): Promise<DownloadResult> {
    const provider = providers.get(input.provider);
    if (provider === undefined)
      throw new ServiceError('InvalidInput', `Unknown provider "${input.provider}"`);
    const source = provider.source(product);
    const key = transferKey(input.provider, input.product_id);
    const noter = createNoter(input, product);
    const verified = await transfer(
      { ...source, key },
      {
        directory: store.partialDirectory(key),
        signal,
        onProgress: createProgressReporter(mirror, input),
        onNote: noter.note,
      },
    );
    await noter.settled();
    const artifact = toArtifact(
      verified,
      [product.provider, product.collection, product.id],
      verified.fileName,
    );
    await store.putHeld({
      provider: product.provider,
      product_id: product.id,
      artifacts: [artifact],
      stored_at: new Date().toISOString(),
    });
    // What stands there under this product's own name is damaged or older: reuse would have taken it otherwise.
    await store.publish(verified, artifact.path, key, { replace: true });
    return {
      outcome: 'completed',
      artifacts: [artifact],
      bytes: artifact.bytes,
      bytes_fetched: verified.bytesFetched,
    };
  }
}

async function readProduct(store: ArtifactStore, input: FetchInput): Promise<Product> {
  const { products } = chunkSchema.parse(await store.getRecord(input.record));
  const product = products.find(({ id }) => id === input.product_id);
  if (product === undefined)
    throw new ServiceError('NotFound', `Product ${input.product_id} is not in ${input.record}`);
  return product;
}

/** What is held already and still good, or null when it has to be fetched. */
async function reuse(
  store: ArtifactStore,
  product: Product,
  ifExists: FetchInput['if_exists'],
  signal: AbortSignal,
): Promise<Artifact[] | null> {
  if (ifExists === 'replace') return null;
  const held = await store.getHeld(product.provider, product.id);
  if (held === null) return null;
  const announcedOtherwise = held.artifacts.some((artifact) =>
    product.checksums.some((announced) =>
      artifact.digests.some(
        ({ algorithm, value }) => algorithm === announced.algorithm && value !== announced.value,
      ),
    ),
  );
  if (announcedOtherwise) return null;
  for (const artifact of held.artifacts)
    if (!(await store.isIntact(artifact, ifExists === 'verify' ? 'digest' : 'size', signal)))
      return null;
  if (ifExists === 'fail')
    throw new ServiceError('Conflict', `${product.name} is already held, and if_exists is "fail"`);
  return held.artifacts;
}

/** Progress goes straight to the mirror, at most twice a second, one report at a time; a lost report is no loss. */
function createProgressReporter(mirror: ActivityDependencies['mirror'], input: FetchInput) {
  let busy = false;
  let lastMs = 0;
  return ({
    bytes,
    bytesTotal,
    bytesPerSecond,
  }: {
    bytes: number;
    bytesTotal: number | null;
    bytesPerSecond: number;
  }): void => {
    const nowMs = Date.now();
    if (busy || nowMs - lastMs < PROGRESS_MS) return;
    busy = true;
    lastMs = nowMs;
    void mirror
      .reportProgress(input.job_id, {
        product_id: input.product_id,
        bytes,
        bytes_total: bytesTotal,
        speed_bytes_per_second: bytesPerSecond,
        at: new Date(nowMs).toISOString(),
      })
      .catch(() => undefined)
      .finally(() => (busy = false));
  };
}

/** Notes go to the job's workflow, which numbers them. */
function createNoter(input: FetchInput, product: Product) {
  const { client, log } = Context.current();
  const sending: Promise<void>[] = [];
  return {
    note(note: TransferNote): void {
      if (sending.length >= NOTES_A_TRY) return;
      const { type, ...facts } = note;
      const message: TransferNoteMessage = {
        product_id: input.product_id,
        type: type === 'retried' ? 'transfer.retried' : 'transfer.resumed',
        data: { product_id: input.product_id, name: product.name, ...facts },
        waiting: null,
      };
      sending.push(
        client.workflow
          .getHandle(input.job_id)
          .signal('transferNote', message)
          .catch((error: unknown) => {
            log.debug('note not delivered', { error: String(error) });
          }),
      );
    },
    settled: async (): Promise<void> => {
      await Promise.all(sending);
    },
  };
}

function sumBytes(artifacts: readonly Artifact[]): number {
  return artifacts.reduce((sum, artifact) => sum + artifact.bytes, 0);
}
