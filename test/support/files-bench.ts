/** Benches for tests of files out of products: provider, routes, engine and store together. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { FetchInput } from '../../activities/fetch.activities.js';
import { fetchFiles } from '../../activities/fetch-files.js';
import { createLocalStore } from '../../src/artifacts/local/local-store.js';
import type { AssetSelection } from '../../src/jobs/asset-patterns.js';
import type { Product } from '../../src/jobs/product.js';
import type { ServiceError } from '../../src/jobs/error-codes.js';
import type { Provider } from '../../src/providers/provider.js';
import { createCopernicus } from '../../src/providers/copernicus/copernicus.provider.js';
import { createSandbox, type SandboxOptions } from '../../src/sandbox/sandbox.js';
import {
  createConnectionSlots,
  createTransferEngine,
  type TransferNote,
} from '../../src/transfer/index.js';

export const never = new AbortController().signal;
/** Run after each test, the last first. */
export const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** What of the product, and how. By default its red band at 10 m. */
export interface Change {
  include?: string[];
  exclude?: string[];
  if_exists?: FetchInput['if_exists'];
  run?: string;
  signal?: AbortSignal;
}

/** A store, an engine, and a way to fetch files of this product into the one by the other. */
export async function setUpFor(provider: Pick<Provider, 'id' | 'fileRoutes'>, product: Product) {
  const root = await mkdtemp(join(tmpdir(), 'nimbus-files-'));
  cleanups.push(() => rm(root, { recursive: true, force: true }));
  const store = createLocalStore({ root });
  cleanups.push(() => store.close());
  await store.prepare();
  const engine = createTransferEngine();
  const slots = createConnectionSlots(4);
  cleanups.push(() => engine.close());
  const notes: TransferNote[] = [];
  const hooks = { onNote: (): void => undefined };
  const figures: { bytes: number; bytesTotal: number | null }[] = [];
  const fetchThem = async ({
    include = ['*_B04_10m.jp2'],
    exclude = [],
    ...change
  }: Change = {}) => {
    const assets: AssetSelection = { include, exclude };
    const input: FetchInput = {
      job_id: 'job',
      provider: 'copernicus',
      product_id: product.id,
      record: 'unused',
      if_exists: change.if_exists ?? 'verify',
      assets,
      run_id: change.run ?? 'run-1',
    };
    return await fetchFiles(input, product, assets, {
      store,
      provider,
      transfer: (source, options) => engine.transfer(source, { ...options, slots }),
      remote: { slots },
      digests: [],
      signal: change.signal ?? never,
      report: (figure) => figures.push(figure),
      noter: { note: (note) => (notes.push(note), hooks.onNote()), settled: async () => {} },
    });
  };
  const failing = async (change: Change = {}): Promise<ServiceError> =>
    await fetchThem(change).then(
      () => Promise.reject(new Error('It did not fail')),
      (error: ServiceError) => error,
    );
  const stored = (path: string) => readFile(join(root, path));
  const publicFiles = async () => (await readdir(root)).filter((name) => !name.startsWith('.'));
  return { store, root, fetchThem, failing, stored, publicFiles, notes, hooks, figures };
}

/** The same for an online product of a sandbox, fetched as Copernicus. */
export async function setUp(options: SandboxOptions = {}, filter = "contains(Name,'MSIL2A')") {
  const sandbox = await createSandbox({ products: 400, scale: 0.005, ...options });
  cleanups.push(() => sandbox.close());
  const provider = createCopernicus({ ...sandbox, connections: 4 });
  cleanups.push(() => provider.close());
  const [listed] = await sandbox.products({ filter: `${filter} and Online eq true` });
  const [found] = await provider.find([listed!.id], never);
  const product = found!;
  const bench = await setUpFor(provider, product);
  /** The truth, through the sandbox's own Nodes. */
  const trueFile = async (path: string): Promise<Buffer> => {
    const headers = await provider.source(product).headers(never);
    const names = [product.name, ...path.split('/')].map((name) => `/Nodes(${name})`).join('');
    const url = `${sandbox.downloadUrl}/odata/v1/Products(${product.id})${names}/$value`;
    sandbox.configure({ nodes: true });
    return Buffer.from(await (await fetch(url, { headers })).arrayBuffer());
  };
  return { ...bench, sandbox, provider, product, trueFile };
}

/** Paths of requests for content, in their order. */
export const contentGets = (sandbox: { ledger: () => { entries: { path: string }[] } }): string[] =>
  sandbox
    .ledger()
    .entries.map(({ path }) => path)
    .filter((path) => path.endsWith('$value'));
