/**
 * What is stored of a product of which only some files were wanted: a record beside that of the whole product, so that
 * neither is ever taken for the other. It also keeps the names of all files, so that a later job for other files, or for the
 * same, need not ask the provider what there is. Written by the product's own download alone, one at a time.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { selectPaths, type AssetSelection } from '../jobs/asset-patterns.js';
import { isServiceError } from '../jobs/error-codes.js';
import { artifactSchema, checksumSchema, type Product } from '../jobs/product.js';
import type { ArtifactStore } from './artifact-store.js';

const heldFileSchema = z.object({
  /** Inside the product. */
  path: z.string(),
  artifact: artifactSchema,
  bytes_fetched: z.number().int().nonnegative(),
  stored_at: z.string(),
  /** The run of the download that stored it. */
  stored_by: z.string(),
});
export type HeldFile = z.infer<typeof heldFileSchema>;

const heldFilesSchema = z.object({
  provider: z.string(),
  product_id: z.string(),
  /** Digests that the catalogue announced of the whole product: with others it is another product. */
  announced: z.array(checksumSchema),
  /** Paths of all files of the product. */
  paths: z.array(z.string()),
  files: z.array(heldFileSchema),
});
export type HeldFiles = z.infer<typeof heldFilesSchema>;

/** Null where nothing is known, or what is known cannot be read or speaks of a product that was made anew since. */
export async function getHeldFiles(
  store: Pick<ArtifactStore, 'getRecord'>,
  { provider, id, checksums }: Product,
): Promise<HeldFiles | null> {
  const held = await read(store, provider, id);
  return held === null || contradict(held.announced, checksums) ? null : held;
}

/** Paths of all files of the product, as far as they were ever looked up. */
export async function knownPaths(
  store: Pick<ArtifactStore, 'getRecord'>,
  provider: string,
  productId: string,
): Promise<string[]> {
  return (await read(store, provider, productId))?.paths ?? [];
}

async function read(
  store: Pick<ArtifactStore, 'getRecord'>,
  provider: string,
  productId: string,
): Promise<HeldFiles | null> {
  try {
    return heldFilesSchema.parse(await store.getRecord(recordOf(provider, productId)));
  } catch (error) {
    if (error instanceof z.ZodError || (isServiceError(error) && error.code === 'NotFound'))
      return null;
    throw error;
  }
}

export async function putHeldFiles(
  store: Pick<ArtifactStore, 'putRecord'>,
  held: HeldFiles,
): Promise<void> {
  await store.putRecord(recordOf(held.provider, held.product_id), held);
}

/** Are all files that the selection selects stored? Looks at the record alone. */
export function areHeld(held: HeldFiles, assets: AssetSelection): boolean {
  const wanted = selectPaths(assets, held.paths);
  const there = new Set(held.files.map(({ path }) => path));
  return wanted.length > 0 && wanted.every((path) => there.has(path));
}

function contradict(
  before: readonly { algorithm: string; value: string }[],
  now: readonly { algorithm: string; value: string }[],
): boolean {
  return now.some(({ algorithm, value }) =>
    before.some((one) => one.algorithm === algorithm && one.value !== value),
  );
}

function recordOf(provider: string, productId: string): string {
  const name = createHash('sha256').update(`${provider}\n${productId}`).digest('hex').slice(0, 40);
  return `held-files/${name}`;
}
