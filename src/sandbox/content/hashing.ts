/** Digests of sources, a piece at a time, giving the event loop a turn between pieces so that transfers go on. */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import type { ByteSource } from './byte-source.js';

const pieceBytes = 1024 * 1024;

interface Sink {
  update(piece: Buffer): unknown;
}

/** Feeds a whole source to every sink. */
async function feed(source: ByteSource, sinks: readonly Sink[]): Promise<void> {
  const room = Buffer.allocUnsafe(Math.min(pieceBytes, Math.max(1, source.sizeBytes)));
  for (let offset = 0; offset < source.sizeBytes; offset += room.length) {
    const piece = room.subarray(0, Math.min(room.length, source.sizeBytes - offset));
    source.read(offset, piece);
    for (const sink of sinks) sink.update(piece);
    if (source.sizeBytes > pieceBytes) await turn();
  }
}

/** CRC-32 and the manifest's digest of one member. */
export async function memberDigest(
  source: ByteSource,
  algorithm: 'md5' | 'sha3-256',
): Promise<{ crc: number; digest: Buffer }> {
  const hash = createHash(algorithm);
  let crc = 0;
  await feed(source, [hash, { update: (piece) => (crc = crc32(piece, crc)) }]);
  return { crc, digest: hash.digest() };
}

/** MD5 and BLAKE3 in lower-case hexadecimal, as the catalogue lists them. */
export async function catalogueDigests(
  source: ByteSource,
): Promise<{ md5: string; blake3: string }> {
  // A page of a thousand small products is hashed in a thousand turns, not in one.
  await turn();
  const [md5, blake3] = [createHash('md5'), new Blake3Hasher()];
  await feed(source, [md5, blake3]);
  return { md5: md5.digest('hex'), blake3: blake3.digest('hex') };
}

export async function sha256Of(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  await feed(source, [hash]);
  return hash.digest('hex');
}
