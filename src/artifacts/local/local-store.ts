/**
 * Artifacts in a local directory. Final files lie under their own names; everything that is unfinished, doubted or ours
 * lies in folders that begin with a dot: `.partial/<key>/` for transfers, `.nimbus/` for records.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { createHashPool, errnoOf, hashFile, stored } from '../../transfer/index.js';
import type { ArtifactStore, StoredFile } from '../artifact-store.js';
import { isMissing, parseRecord, readHeld, writeHeld } from '../held.js';
import { safeSegments } from '../safe-path.js';
import { writeDurably } from './durable.js';
import { makeParents, placeFor, resolveFile } from './paths.js';
import { publishFile } from './publish.js';
import { sweepFolder } from './sweep.js';
import { createWorkFolder } from './work-folder.js';

export interface LocalStoreOptions {
  /** Absolute, or relative to the working directory. */
  root: string;
  /** Bytes of the disk that no transfer is promised; by default 2 % of it, at most 1 GiB. */
  marginBytes?: number | null;
}

export interface LocalStore extends ArtifactStore {
  /** Ends the thread that checks digests. */
  close: () => Promise<void>;
}

export function createLocalStore(options: LocalStoreOptions): LocalStore {
  const root = isAbsolute(options.root) ? options.root : resolve(options.root);
  const work = createWorkFolder(root, options.marginBytes);
  const records = join(root, '.nimbus');
  const temporaries = join(records, '.tmp');
  const pool = createHashPool(1);

  const putRecord = async (path: string, value: unknown) => {
    const place = placeFor(records, path);
    const folders = await makeParents(records, path);
    await writeDurably(place, JSON.stringify(value), temporaries, folders);
  };
  const getRecord = async (path: string): Promise<unknown> => {
    const { absolutePath } = await resolveFile(records, path);
    return parseRecord(await stored(readFile(absolutePath, 'utf8')), path);
  };

  return {
    async prepare() {
      await work.prepare([records, temporaries]);
    },
    async ping() {
      await work.freeBytes();
    },
    partialDirectory: work.partialDirectory,
    async publish(transfer, finalPath, key, options = {}) {
      const artifact = await publishFile(root, transfer, finalPath, options, pool);
      await work.discard(key);
      return artifact;
    },
    discard: work.discard,
    getHeld: (provider, productId) => readHeld({ getRecord }, provider, productId),
    putHeld: (held) => writeHeld({ putRecord }, held),
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
      await writeDurably(place, content, temporaries, folders);
      const sha256 = createHash('sha256').update(content).digest('hex');
      return { bytes: Buffer.byteLength(content), sha256 };
    },
    async open(path) {
      const { absolutePath, bytes } = await resolveFile(root, path);
      return openFile(absolutePath, bytes);
    },
    addressOf: (path) => path,
    pathOf: (address) => (/^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? null : address),
    freeBytes: work.freeBytes,
    reserve: work.reserve,
    async sweep(olderThanMs, isOwned) {
      const partial = await work.sweep(olderThanMs, isOwned);
      const temporary = await sweepFolder(temporaries, olderThanMs, () => false);
      return {
        removed: partial.removed + temporary.removed,
        bytes: partial.bytes + temporary.bytes,
      };
    },
    close: () => pool.close(),
  };
}

function openFile(absolutePath: string, bytes: number): StoredFile {
  return {
    bytes,
    read({ start, end } = { start: 0, end: bytes }) {
      return start < end
        ? createReadStream(absolutePath, { start, end: end - 1 })
        : Readable.from([]);
    },
  };
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
