/** The part of the artifact store that the API uses, over a plain folder. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArtifactStore, HeldProduct } from '../../../src/artifacts/artifact-store.js';
import { ServiceError } from '../../../src/jobs/error-codes.js';

export interface FolderStore extends Pick<ArtifactStore, 'resolve' | 'getHeld' | 'freeBytes'> {
  root: string;
  held: Map<string, HeldProduct>;
  free: number;
}

export function createFolderStore(root: string): FolderStore {
  const store: FolderStore = {
    root,
    held: new Map(),
    free: 50 * 1024 ** 3,
    async resolve(path) {
      const absolutePath = join(root, path);
      const stat = await lstat(absolutePath).catch(() => null);
      if (!stat?.isFile()) throw new ServiceError('NotFound', 'There is no such file');
      return { absolutePath, bytes: stat.size };
    },
    getHeld: async (provider, productId) => store.held.get(`${provider}/${productId}`) ?? null,
    freeBytes: async () => store.free,
  };
  return store;
}
