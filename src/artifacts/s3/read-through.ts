/**
 * An object from beginning to end, whatever the wire does: what breaks off goes on at the byte where it broke, and only
 * with the same object (its ETag). Nothing is asked for before it is read.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { isServiceError } from '../../jobs/error-codes.js';
import type { ChecksumAlgorithm } from '../../jobs/product.js';
import { throwIfAborted } from '../aborted.js';
import type { Bucket, StoredObject } from './bucket.js';
import { pause } from './insist.js';
import { mayPass, Refusal, toRefusal, toStoreError } from './refusal.js';

const TRIES = 5;
const PAUSE_MS = 200;
const LOOKS = 3;

/** Bytes [start, end) of the object as it was seen. Fails with a ServiceError. */
export function readObject(
  bucket: Bucket,
  path: string,
  { etag }: Pick<StoredObject, 'etag'>,
  range: { start: number; end: number },
  signal?: AbortSignal,
): Readable {
  const chunks = translated(bucket, pieces(bucket, path, { ...range, etag }, signal));
  return Readable.from(chunks, { objectMode: false });
}

async function* pieces(
  bucket: Bucket,
  path: string,
  { start, end, etag }: { start: number; end: number; etag: string },
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  let at = start;
  for (let failures = 0; at < end;) {
    throwIfAborted(signal);
    const before = at;
    try {
      const body = await bucket.read(path, { start: at, end, etag }, signal);
      try {
        for await (const piece of body as AsyncIterable<Buffer>) {
          at += piece.length;
          if (at > end) throw new Refusal('TooLong', 206, 'GetObject');
          yield piece;
        }
      } finally {
        body.destroy();
      }
      if (at < end) throw new Refusal('CutShort', 0, 'GetObject');
    } catch (error) {
      throwIfAborted(signal);
      const refusal = toRefusal(error, 'GetObject');
      failures = at > before ? 1 : failures + 1;
      if (!(refusal instanceof Refusal) || !mayPass(refusal) || failures >= TRIES) throw refusal;
      await pause(PAUSE_MS * 2 ** (failures - 1), signal);
    }
  }
}

async function* translated(bucket: Bucket, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* chunks;
  } catch (error) {
    throw toStoreError(error, bucket.location.bucket);
  }
}

/**
 * Digest of what lies there, in lower-case hexadecimal; null where nothing of this size does. Looked at anew where it is
 * replaced or removed while it is read.
 */
export async function digestAt(
  bucket: Bucket,
  path: string,
  bytes: number,
  algorithm: ChecksumAlgorithm,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  for (let look = 1; ; look++) {
    const there = await bucket.head(path, signal);
    if (there?.bytes !== bytes) return null;
    try {
      return await digestOf(bucket, path, there, algorithm, signal);
    } catch (error) {
      const status = isServiceError(error) ? error.details['status'] : null;
      if (look === LOOKS || (status !== 412 && status !== 404)) throw error;
    }
  }
}

/** As the bytes come, a few kilobytes at a time. */
async function digestOf(
  bucket: Bucket,
  path: string,
  object: Pick<StoredObject, 'etag' | 'bytes'>,
  algorithm: ChecksumAlgorithm,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash: { update: (bytes: Buffer) => unknown; digest: (format: 'hex') => string } =
    algorithm === 'blake3' ? new Blake3Hasher() : createHash(algorithm);
  const range = { start: 0, end: object.bytes };
  const bytes = readObject(bucket, path, object, range, signal);
  for await (const piece of bytes as AsyncIterable<Buffer>) hash.update(piece);
  return hash.digest('hex');
}
