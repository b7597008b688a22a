/**
 * An object from beginning to end, whatever the wire does: what breaks off goes on at the byte where it broke, and only
 * with the same object (its ETag). Nothing is asked for before it is read.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import type { ChecksumAlgorithm } from '../../jobs/product.js';
import type { Bucket, StoredObject } from './bucket.js';
import { pause, throwIfAborted } from './insist.js';
import { mayPass, Refusal, toRefusal, toStoreError } from './refusal.js';

const TRIES = 5;
const PAUSE_MS = 200;

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

/** Digest of an object's bytes as they come, a few kilobytes at a time. Lower-case hexadecimal. */
export async function digestOfObject(
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
