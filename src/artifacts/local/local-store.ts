/**
 * Artifacts in a local directory. Final files lie under their own names; everything that is unfinished, doubted or ours
 * lies in folders that begin with a dot: `.partial/<key>/` for transfers, `.nimbus/` for records.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, lstat, readdir, readFile, rm, statfs } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { ServiceError } from '../../jobs/error-codes.js';
import { artifactSchema } from '../../jobs/product.js';
import { createHashPool, errnoOf, hashFile, stored } from '../../transfer/index.js';
import type { ArtifactStore } from '../artifact-store.js';
import { syncFolder, writeDurably } from './durable.js';
import { makeFolder, makeParents, placeFor, resolveFile, safeSegments } from './paths.js';
import { publishFile } from './publish.js';
import { sweepFolder } from './sweep.js';

export interface LocalStoreOptions {
  /** Absolute, or relative to the working directory. */
  root: string;
}

export interface LocalStore extends ArtifactStore {
  /** Ends the thread that checks digests. */
  close: () => Promise<void>;
}

const heldSchema = z.object({
  provider: z.string(),
  product_id: z.string(),
  artifacts: z.array(artifactSchema),
  stored_at: z.string(),
  stored_by: z.string(),
});

export function createLocalStore(options: LocalStoreOptions): LocalStore {
  const root = isAbsolute(options.root) ? options.root : resolve(options.root);
  const partials = join(root, '.partial');
  const records = join(root, '.nimbus');
  const temporaries = join(records, '.tmp');
  const pool = createHashPool(1);

  const partialDirectory = (key: string) => join(partials, digestName(key));
  const discard = async (key: string) => {
    await stored(rm(partialDirectory(key), { recursive: true, force: true }));
  };
  const putRecord = async (path: string, value: unknown) => {
    const place = placeFor(records, path);
    await makeParents(records, path);
    await writeDurably(place, JSON.stringify(value), temporaries);
  };
  const getRecord = async (path: string): Promise<unknown> => {
    const { absolutePath } = await resolveFile(records, path);
    return parseRecord(await stored(readFile(absolutePath, 'utf8')), path);
  };

  return {
    async prepare() {
      for (const folder of [root, partials, records, temporaries]) await prepareFolder(folder);
      await syncFolder(root);
    },
    partialDirectory,
    async publish(transfer, finalPath, key, { replace = false } = {}) {
      const artifact = await publishFile(root, transfer, finalPath, replace, pool);
      await discard(key);
      return artifact;
    },
    discard,
    async getHeld(provider, productId) {
      try {
        return heldSchema.parse(await getRecord(heldPath(provider, productId)));
      } catch (error) {
        if (error instanceof z.ZodError || isMissing(error)) return null;
        throw error;
      }
    },
    async putHeld(held) {
      await putRecord(heldPath(held.provider, held.product_id), held);
    },
    async isIntact(artifact, how, signal) {
      try {
        const { absolutePath, bytes } = await resolveFile(root, artifact.path);
        if (bytes !== artifact.bytes || how === 'size') return bytes === artifact.bytes;
        const { algorithm, value } = artifact.checksum;
        const { digests } = await hashFile(pool, absolutePath, [algorithm], signal);
        return digests.some((digest) => digest.value === value.toLowerCase());
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
    },
    putRecord,
    getRecord,
    async listRecords(prefix) {
      const folder = prefix.replace(/\/+$/, '');
      if (folder !== '' && !safeSegments(folder)) placeFor(records, folder);
      return (await listBelow(records, folder)).sort();
    },
    async putFile(path, content, _mediaType) {
      const place = placeFor(root, path);
      const folders = await makeParents(root, path);
      await writeDurably(place, content, temporaries);
      for (const folder of folders.reverse()) await syncFolder(folder);
      const sha256 = createHash('sha256').update(content).digest('hex');
      return { bytes: Buffer.byteLength(content), sha256 };
    },
    resolve: (path) => resolveFile(root, path),
    async freeBytes() {
      const { bavail, bsize } = await stored(statfs(root));
      return bavail * bsize;
    },
    async sweep(olderThanMs, isOwned) {
      const partial = await sweepFolder(partials, olderThanMs, isOwned);
      const temporary = await sweepFolder(temporaries, olderThanMs, () => false);
      return {
        removed: partial.removed + temporary.removed,
        bytes: partial.bytes + temporary.bytes,
      };
    },
    close: () => pool.close(),
  };
}

async function prepareFolder(folder: string): Promise<void> {
  await stored(makeFolder(folder));
  const facts = await stored(lstat(folder));
  if (!facts.isDirectory())
    throw new ServiceError('StoreUnavailable', 'The data directory, or a folder in it, is a link', {
      details: { path: folder },
    });
  await stored(access(folder, constants.R_OK | constants.W_OK | constants.X_OK));
}

/** Short, stable and safe on every file system, whatever the key holds. */
function digestName(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 40);
}

function heldPath(provider: string, productId: string): string {
  return `held/${digestName(provider).slice(0, 16)}/${digestName(productId)}.json`;
}

function parseRecord(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ServiceError('StoreUnavailable', 'A stored record is damaged', {
      details: { path },
      cause: error,
    });
  }
}

async function listBelow(base: string, folder: string): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(join(base, folder), { withFileTypes: true }).catch(
    (error: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return [];
      throw error;
    },
  );
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await listBelow(base, path)));
    else if (entry.isFile()) found.push(path);
  }
  return found;
}

function isMissing(error: unknown): boolean {
  return error instanceof ServiceError && error.code === 'NotFound';
}
