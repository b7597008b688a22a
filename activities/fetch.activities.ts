/**
 * Fetching one product: reuse what is held, else transfer, verify, publish. One activity, because each step is a round
 * trip. A repeat is harmless at every point: the partial's journal knows which bytes are durable, what is held is
 * recorded before it gets its final name, and publishing the same bytes twice is success.
 */
import { Context } from '@temporalio/activity';
import type { ArtifactStore } from '../src/artifacts/artifact-store.js';
import { toArtifact } from '../src/artifacts/artifact.js';
import { ServiceError } from '../src/jobs/error-codes.js';
import { transferKey } from '../src/jobs/ids.js';
import { productListSchema, type Artifact, type Product } from '../src/jobs/product.js';
import type { SearchDownloadRequest } from '../src/jobs/request.js';
import { providerOf } from '../src/providers/registry.js';
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
  /** Of the download workflow: marks what it stores. */
  run_id: string;
}

const PROGRESS_MS = 500;
/** Notes of one try that reach the job's story: a provider that cuts every second must not flood the history. */
const NOTES_A_TRY = 10;

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
        const held = await lookAtHeld(store, product, input, signal);
        if (held === 'absent' || held === 'damaged')
          return { ...(await fetch(input, product, signal)), damaged_before: held === 'damaged' };
        return held;
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
  ): Promise<Omit<DownloadResult, 'damaged_before'>> {
    const source = providerOf(providers, input.provider).source(product);
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
      stored_by: input.run_id,
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
  const { products } = productListSchema.parse(await store.getRecord(input.record));
  const product = products.find(({ id }) => id === input.product_id);
  if (product === undefined)
    throw new ServiceError('NotFound', `Product ${input.product_id} is not in ${input.record}`);
  return product;
}

/**
 * What is held already and still good, or why it has to be fetched. What this very download stored before its worker died
 * counts as fetched, whatever `if_exists` says (F082).
 */
async function lookAtHeld(
  store: ArtifactStore,
  product: Product,
  { if_exists, run_id }: FetchInput,
  signal: AbortSignal,
): Promise<DownloadResult | 'absent' | 'damaged'> {
  const held = await store.getHeld(product.provider, product.id);
  if (held === null) return 'absent';
  const ours = held.stored_by === run_id;
  if (!ours && (if_exists === 'replace' || contradicts(held.artifacts, product))) return 'absent';
  const how = if_exists === 'skip' ? 'size' : 'digest';
  for (const artifact of held.artifacts)
    if (!(await store.isIntact(artifact, how, signal))) return 'damaged';
  if (!ours && if_exists === 'fail')
    throw new ServiceError('Conflict', `${product.name} is already held, and if_exists is "fail"`);
  const bytes = sumBytes(held.artifacts);
  return {
    outcome: ours ? 'completed' : 'reused',
    artifacts: held.artifacts,
    bytes,
    bytes_fetched: ours ? bytes : 0,
    damaged_before: false,
  };
}

/** The catalogue announces another digest than the held file has: the product was made anew. */
function contradicts(artifacts: readonly Artifact[], { checksums }: Product): boolean {
  return artifacts.some(({ digests }) =>
    digests.some((digest) =>
      checksums.some(
        ({ algorithm, value }) => algorithm === digest.algorithm && value !== digest.value,
      ),
    ),
  );
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
