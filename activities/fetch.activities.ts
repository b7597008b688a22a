/**
 * Fetching one product: reuse what is held, else transfer, verify, publish; single files of it in fetch-files.ts. One
 * activity, because each step is a round trip. A repeat is harmless at every point: the partial's journal knows which bytes are durable, what is held is
 * recorded before it gets its final name, and publishing the same bytes twice is success.
 */
import { Context } from '@temporalio/activity';
import type { ArtifactStore } from '../src/artifacts/artifact-store.js';
import { knownPaths } from '../src/artifacts/held-files.js';
import { toArtifact } from '../src/artifacts/artifact.js';
import { ServiceError } from '../src/jobs/error-codes.js';
import { isSelective, selectPaths, type AssetSelection } from '../src/jobs/asset-patterns.js';
import { fileKey, transferKey } from '../src/jobs/ids.js';
import { productListSchema, type Artifact, type Product } from '../src/jobs/product.js';
import type { SearchDownloadRequest } from '../src/jobs/request.js';
import { providerOf } from '../src/providers/registry.js';
import type { DownloadResult } from '../workflows/download.workflow.js';
import type { ActivityDependencies } from './index.js';
import { activity } from './activity.js';
import { fetchFiles } from './fetch-files.js';
import { governTransfer } from './governed-transfer.js';
import { createNoter, createProgressReporter } from './transfer-report.js';

export interface FetchInput {
  job_id: string;
  provider: string;
  product_id: string;
  record: string;
  if_exists: SearchDownloadRequest['if_exists'];
  /** Only these files of it; missing = the product as delivered. */
  assets?: AssetSelection | undefined;
  /** Of the download workflow: marks what it stores. */
  run_id: string;
}

export type DiscardInput = Pick<FetchInput, 'provider' | 'product_id' | 'assets'>;

export function createFetchActivities(dependencies: ActivityDependencies) {
  const { providers, store, mirror, digests, slots, proxyFor, stopping } = dependencies;
  return {
    async fetchProduct(input: FetchInput): Promise<DownloadResult> {
      return await activity(async () => {
        const product = await readProduct(store, input);
        const signal = AbortSignal.any([Context.current().cancellationSignal, stopping]);
        if (isSelective(input.assets)) {
          const found = await fetchSome(input, product, input.assets, signal);
          if (found !== null) return found;
        }
        const held = await lookAtHeld(store, product, input, signal);
        if (held === 'absent' || held === 'damaged')
          return { ...(await fetch(input, product, signal)), damaged_before: held === 'damaged' };
        return held;
      });
    },

    /** Harmless when there is nothing to drop. */
    async discardPartial({ provider, product_id, assets }: DiscardInput): Promise<void> {
      await activity(async () => {
        if (!isSelective(assets)) return await store.discard(transferKey(provider, product_id));
        const paths = await knownPaths(store, provider, product_id);
        // Of a product that is one file by itself nothing is known: it is fetched as a whole.
        if (paths.length === 0) await store.discard(transferKey(provider, product_id));
        for (const path of selectPaths(assets, paths))
          await store.discard(fileKey(provider, product_id, path));
      });
    },
  };

  async function fetchSome(
    input: FetchInput,
    product: Product,
    assets: AssetSelection,
    signal: AbortSignal,
  ): Promise<DownloadResult | null> {
    const noter = createNoter(input, product.name);
    const provider = providerOf(providers, input.provider);
    const report = createProgressReporter(mirror, input);
    const transfer = governTransfer(dependencies, input.provider);
    const remote = { slots: slots(input.provider), proxyFor };
    const tools = { store, provider, transfer, remote, digests, signal, report, noter };
    const result = await fetchFiles(input, product, assets, tools);
    await noter.settled();
    return result;
  }

  async function fetch(
    input: FetchInput,
    product: Product,
    signal: AbortSignal,
  ): Promise<Omit<DownloadResult, 'damaged_before'>> {
    const source = providerOf(providers, input.provider).source(product);
    const key = transferKey(input.provider, input.product_id);
    const noter = createNoter(input, product.name);
    const transfer = governTransfer(dependencies, input.provider);
    const verified = await transfer(
      { ...source, key },
      {
        directory: store.partialDirectory(key),
        signal,
        onProgress: createProgressReporter(mirror, input),
        digests: [...digests],
        onNote: (note) => noter.note(note),
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
    await store.publish(verified, artifact.path, key, { replace: true, signal });
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
    // Ours and not there: its worker died before it was published, or it could not be.
    if (!(await store.isIntact(artifact, how, signal))) return ours ? 'absent' : 'damaged';
  if (!ours && if_exists === 'fail')
    throw new ServiceError('Conflict', `${product.name} is already held, and if_exists is "fail"`);
  // The process that gave the file its name may have died before it put its journal away.
  if (ours) await store.discard(transferKey(product.provider, product.id));
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

function sumBytes(artifacts: readonly Artifact[]): number {
  return artifacts.reduce((sum, artifact) => sum + artifact.bytes, 0);
}
