/**
 * Artifacts in an S3-compatible bucket. Final files and records lie there under the same names as in a local directory, so
 * that a fleet of workers shares them; unfinished bytes are written and proven in a local work directory, and moved to the
 * bucket when they are verified. What the bucket answers is never taken for more than it says: see publish.ts.
 */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { ServiceError } from '../../jobs/error-codes.js';
import type { ArtifactStore } from '../artifact-store.js';
import { stored } from '../../transfer/index.js';
import { artifactAt } from '../artifact.js';
import { parseRecord, readHeld, writeHeld } from '../held.js';
import { createWorkFolder } from '../local/work-folder.js';
import { missingError, outsideError, safeSegments } from '../safe-path.js';
import { probe } from './abilities.js';
import { fromAddress, toAddress } from './address.js';
import { createBucket, type Bucket, type BucketSettings } from './bucket.js';
import { crc32Of } from './checksum.js';
import { createSlabs } from './file-body.js';
import { unlessAborted } from './insist.js';
import { publishObject } from './publish.js';
import { digestAt, readObject } from './read-through.js';
import { isOutOfReach, toStoreError } from './refusal.js';
import { bodyOf } from './request-body.js';
import { createSlots } from './slots.js';
import { sweepUploads } from './sweep.js';
import { dropUploads } from './upload-record.js';

export interface S3StoreOptions extends BucketSettings {
  /** Local directory for unfinished bytes; absolute, or relative to the working directory. */
  workDirectory: string;
  /** Bytes of its disk that no transfer is promised; by default 2 % of it, at most 1 GiB. */
  marginBytes?: number | null;
  /** Files up to this size go in one request, larger ones in parts of it. At least 5 MiB, says S3. */
  partBytes?: number;
  /** Requests with bytes of files at once, over all files. */
  uploads?: number;
}

export interface S3Store extends ArtifactStore {
  close: () => Promise<void>;
}

const PART_BYTES = 16 * 1024 * 1024;
const UPLOADS = 8;
/** As long as S3 lets a key be, in UTF-8. */
const MAX_KEY_BYTES = 1024;
const RECORDS = '.nimbus';

export function createS3Store(options: S3StoreOptions): S3Store {
  const { workDirectory, partBytes = PART_BYTES, uploads = UPLOADS } = options;
  const root = isAbsolute(workDirectory) ? workDirectory : resolve(workDirectory);
  const work = createWorkFolder(root, options.marginBytes);
  const bucket = createBucket(options);
  const slots = createSlots(uploads);
  const slabs = createSlabs();
  const abilities = onceWell(() => probe(bucket));

  /** In the partial directory: where its bytes are being sent to in parts. */
  const markOf = (key: string) => join(work.partialDirectory(key), 'upload');

  const isSafe = (path: string): boolean =>
    safeSegments(path) !== null &&
    Buffer.byteLength(`${options.prefix}/${RECORDS}/${path}`) <= MAX_KEY_BYTES;
  const toWrite = (path: string): string => {
    if (!isSafe(path)) throw outsideError(path);
    return path;
  };
  const toRead = (path: string): string => {
    if (!isSafe(path)) throw missingError(path);
    return path;
  };
  const told = <T>(work: Promise<T>): Promise<T> => translated(bucket, work);

  const write = async (path: string, content: string, mediaType: string) => {
    const bytes = Buffer.from(content);
    const checksum =
      (await abilities()) === 'crc32' ? { crc32: crc32Of(bytes) } : { md5: md5Of(bytes) };
    await bucket.put(path, bodyOf(bytes, checksum), { mediaType });
  };
  const putRecord = async (path: string, value: unknown): Promise<void> => {
    const place = `${RECORDS}/${toWrite(path)}`;
    await told(write(place, JSON.stringify(value), 'application/json'));
  };
  const getRecord = async (path: string): Promise<unknown> => {
    const text = await told(bucket.readText(`${RECORDS}/${toRead(path)}`));
    if (text === null) throw missingError(path);
    return parseRecord(text, path);
  };

  return {
    async prepare() {
      await work.prepare();
      try {
        await told(abilities());
      } catch (error) {
        if (!isOutOfReach(error)) throw error;
      }
    },
    ping: () => told(bucket.ping()),
    partialDirectory: work.partialDirectory,
    async publish(transfer, finalPath, key, { replace = false, signal } = {}) {
      const path = toWrite(finalPath);
      const publishing = async () => {
        const checksums = await unlessAborted(abilities(), signal);
        const limits = { checksums, partBytes, slots, slabs, signal };
        const onBegin = () => stored(writeFile(markOf(key), path));
        await publishObject({ bucket, transfer, path, key, replace, onBegin, ...limits });
      };
      await told(publishing());
      await work.discard(key);
      return artifactAt(path, transfer);
    },
    async discard(key) {
      const path = await readFile(markOf(key), 'utf8').catch(() => null);
      if (path !== null) await told(dropUploads(bucket, path, (record) => record.key === key));
      await work.discard(key);
    },
    getHeld: (provider, productId) => readHeld({ getRecord }, provider, productId),
    putHeld: (held) => writeHeld({ putRecord }, held),
    async isIntact(artifact, how, signal) {
      if (!isSafe(artifact.path)) return false;
      const { path, bytes, checksum } = artifact;
      if (how === 'size') return (await told(bucket.head(path, signal)))?.bytes === bytes;
      const digest = await told(digestAt(bucket, path, bytes, checksum.algorithm, signal));
      return digest === checksum.value.toLowerCase();
    },
    putRecord,
    getRecord,
    async listRecords(prefix) {
      const folder = prefix.replace(/\/+$/, '');
      const start = folder === '' ? `${RECORDS}/` : `${RECORDS}/${toWrite(folder)}/`;
      const found: string[] = [];
      const list = async () => {
        for await (const { path } of bucket.list(start)) found.push(path.slice(RECORDS.length + 1));
      };
      await told(list());
      return found.filter((path) => safeSegments(path) !== null).sort();
    },
    async putFile(path, content, mediaType) {
      await told(write(toWrite(path), content, mediaType));
      const sha256 = createHash('sha256').update(content).digest('hex');
      return { bytes: Buffer.byteLength(content), sha256 };
    },
    async open(path) {
      const there = await told(bucket.head(toRead(path)));
      if (there === null) throw missingError(path);
      const { bytes } = there;
      return {
        bytes,
        read: (range = { start: 0, end: bytes }) => readObject(bucket, path, there, range),
      };
    },
    addressOf: (path) => toAddress(options, path),
    pathOf: (address) => fromAddress(options, address),
    freeBytes: work.freeBytes,
    reserve: work.reserve,
    async sweep(olderThanMs, isOwned) {
      const partial = await work.sweep(olderThanMs, isOwned);
      const isKeyOwned = (key: string) => isOwned(work.partialDirectory(key));
      const uploaded = await told(sweepUploads(bucket, olderThanMs, isKeyOwned));
      return {
        removed: partial.removed + uploaded.removed,
        bytes: partial.bytes + uploaded.bytes,
      };
    },
    async close() {
      bucket.close();
    },
  };
}

async function translated<T>(bucket: Bucket, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const known = toStoreError(error, bucket.location.bucket);
    if (known instanceof ServiceError || !(known instanceof Error)) throw known;
    const { bucket: name } = bucket.location;
    throw new ServiceError('Internal', `The bucket ${name} cannot be used: ${known.message}`, {
      cause: known,
    });
  }
}

/** Asked once, by all who want to know at the same time; again after a failure. */
function onceWell<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  return () => {
    answer ??= ask().catch((error: unknown) => {
      answer = null;
      throw error;
    });
    return answer;
  };
}

const md5Of = (bytes: Buffer): string => createHash('md5').update(bytes).digest('base64');
