/** How what is held of a product lies among the records: the same in every store. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import { artifactSchema } from '../jobs/product.js';
import type { ArtifactStore, HeldProduct } from './artifact-store.js';

const heldSchema = z.object({
  provider: z.string(),
  product_id: z.string(),
  artifacts: z.array(artifactSchema),
  stored_at: z.string(),
  stored_by: z.string(),
});

/** Short, stable and safe in every store, whatever the key holds. */
export function digestName(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 40);
}

function heldPath(provider: string, productId: string): string {
  return `held/${digestName(provider).slice(0, 16)}/${digestName(productId)}.json`;
}

export async function readHeld(
  { getRecord }: Pick<ArtifactStore, 'getRecord'>,
  provider: string,
  productId: string,
): Promise<HeldProduct | null> {
  try {
    return heldSchema.parse(await getRecord(heldPath(provider, productId)));
  } catch (error) {
    if (error instanceof z.ZodError || isMissing(error)) return null;
    throw error;
  }
}

export async function writeHeld(
  { putRecord }: Pick<ArtifactStore, 'putRecord'>,
  held: HeldProduct,
): Promise<void> {
  await putRecord(heldPath(held.provider, held.product_id), held);
}

/** @throws StoreUnavailable where it is not JSON */
export function parseRecord(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ServiceError('StoreUnavailable', 'A stored record is damaged', {
      details: { path },
      cause: error,
    });
  }
}

export function isMissing(error: unknown): boolean {
  return isServiceError(error) && error.code === 'NotFound';
}
