/**
 * The checksums that S3 knows, of parts of a file and of the whole. CRC-32 is what every part carries: cheap, and of parts
 * it gives that of the whole. MD5 stands in where a server knows nothing newer.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { throwIfAborted } from '../aborted.js';
import { readSlab, type Slabs } from './file-body.js';

export type ChecksumKind = 'crc32' | 'md5';

const POLYNOMIAL = 0xedb88320;

/** Of bytes [start, start + bytes) of an open file. @returns base64 */
export async function checksumOf(
  file: FileHandle,
  { start, bytes }: { start: number; bytes: number },
  kind: ChecksumKind,
  slabs: Slabs,
  signal: AbortSignal | undefined,
): Promise<string> {
  const md5 = kind === 'md5' ? createHash('md5') : null;
  const slab = slabs.take();
  let crc = 0;
  try {
    for (let at = 0; at < bytes;) {
      throwIfAborted(signal);
      const piece = await readSlab(file, slab, start + at, bytes - at);
      if (md5) md5.update(piece);
      else crc = crc32(piece, crc);
      at += piece.length;
    }
  } finally {
    slabs.give(slab);
  }
  return md5 ? md5.digest('base64') : toBase64(crc);
}

export function crc32Of(content: Buffer): string {
  return toBase64(crc32(content));
}

/** CRC-32 of parts put one after the other, from theirs. @returns base64 */
export function combineCrc32(parts: readonly { crc32: string; bytes: number }[]): string {
  const whole = parts.reduce((crc, part) => shift(crc, part.bytes) ^ fromBase64(part.crc32), 0);
  return toBase64(whole);
}

/** What S3 calls a composite checksum: that of the parts' checksums, and how many they are. */
export function compositeCrc32(parts: readonly { crc32: string }[]): string {
  const all = Buffer.concat(parts.map((part) => Buffer.from(part.crc32, 'base64')));
  return `${crc32Of(all)}-${parts.length}`;
}

/** The CRC of the same bytes followed by so many zeros: multiplied by x^8bytes, modulo the polynomial, by squaring. */
function shift(crc: number, bytes: number): number {
  let result = crc;
  let power = 0x00800000;
  for (let left = bytes; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = multiply(result, power);
    power = multiply(power, power);
  }
  return result;
}

/** Product of two polynomials over GF(2), bits reflected as in CRC-32: the highest bit is x^0. */
function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) product ^= factor;
    factor = factor & 1 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product;
}

function toBase64(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc >>> 0);
  return bytes.toString('base64');
}

function fromBase64(text: string): number {
  return Buffer.from(text, 'base64').readUInt32BE();
}
