/** The part of the artifact store that the API uses, over a plain folder; with `bucket`, files are named as in that bucket. */
import { createReadStream } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArtifactStore, HeldProduct } from '../../../src/artifacts/artifact-store.js';
import { fromAddress, toAddress, type S3Location } from '../../../src/artifacts/s3/address.js';
import { ServiceError } from '../../../src/jobs/error-codes.js';

export interface FolderStore extends Pick<
  ArtifactStore,
  'open' | 'addressOf' | 'pathOf' | 'ping' | 'getHeld' | 'getRecord' | 'freeBytes'
> {
  root: string;
  held: Map<string, HeldProduct>;
  records: Map<string, unknown>;
  free: number;
  bucket: S3Location | null;
}

export function createFolderStore(root: string): FolderStore {
  const store: FolderStore = {
    root,
    held: new Map(),
    records: new Map(),
    free: 50 * 1024 ** 3,
    bucket: null,
    async open(path) {
      const absolutePath = join(root, path);
      const stat = await lstat(absolutePath).catch(() => null);
      if (!stat?.isFile()) throw new ServiceError('NotFound', 'There is no such file');
      return {
        bytes: stat.size,
        read: ({ start, end } = { start: 0, end: stat.size }) =>
          createReadStream(absolutePath, { start, end: end - 1 }),
      };
    },
    addressOf: (path) => (store.bucket ? toAddress(store.bucket, path) : path),
    pathOf: (address) => (store.bucket ? fromAddress(store.bucket, address) : address),
    ping: async () => {},
    getHeld: async (provider, productId) => store.held.get(`${provider}/${productId}`) ?? null,
    async getRecord(path) {
      if (!store.records.has(path)) throw new ServiceError('NotFound', 'There is no such record');
      return store.records.get(path);
    },
    freeBytes: async () => store.free,
  };
  return store;
}
