/**
 * Bytes by offset: a source knows its length and can make any stretch of itself, at a cost that depends on the
 * stretch alone. Nothing is stored, so a product of 2 GB costs no disk and no memory.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { mix32 } from '../catalogue/rule.js';

export interface ByteSource {
  readonly sizeBytes: number;
  /** Fills `into` with the bytes from `offset` on; the stretch lies inside the source. */
  read(offset: number, into: Buffer): void;
}

const poolBytes = 4 * 1024 * 1024;
const pageBytes = 8 * 1024;

/** Pseudo-random bytes that all content of one seed is cut from. */
export function createPool(seed: number): Buffer {
  const key = createHash('sha256').update(`nimbus-sandbox:${seed}`).digest();
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
  return cipher.update(Buffer.alloc(poolBytes));
}

/**
 * Content by rule: each 8 KiB page is another stretch of the pool, chosen by `key` and the page's number, so that
 * a page served at a wrong place is seen by any digest. `head` overlays the first bytes (a file type's signature).
 */
export function patternSource(
  pool: Buffer,
  key: number,
  sizeBytes: number,
  head: Buffer = Buffer.alloc(0),
): ByteSource {
  return {
    sizeBytes,
    read(offset, into) {
      for (let done = 0; done < into.length;) {
        const at = offset + done;
        const within = at % pageBytes;
        const take = Math.min(pageBytes - within, into.length - done);
        const page = mix32(key ^ Math.imul((at - within) / pageBytes + 1, 0x9e3779b1));
        const from = (page % (poolBytes - pageBytes)) + within;
        pool.copy(into, done, from, from + take);
        done += take;
      }
      if (offset < head.length)
        head.copy(into, 0, offset, Math.min(head.length, offset + into.length));
    },
  };
}

export function bufferSource(bytes: Buffer): ByteSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, into) => void bytes.copy(into, 0, offset, offset + into.length),
  };
}

/** Several sources one after the other. */
export function joinedSource(parts: readonly ByteSource[]): ByteSource {
  const starts: number[] = [];
  let sizeBytes = 0;
  for (const part of parts) {
    starts.push(sizeBytes);
    sizeBytes += part.sizeBytes;
  }
  return {
    sizeBytes,
    read(offset, into) {
      let part = lastAtOrBefore(starts, offset);
      for (let done = 0; done < into.length; part += 1) {
        const source = parts[part]!;
        const within = offset + done - starts[part]!;
        const take = Math.min(source.sizeBytes - within, into.length - done);
        if (take > 0) source.read(within, into.subarray(done, done + take));
        done += Math.max(0, take);
      }
    },
  };
}

function lastAtOrBefore(starts: readonly number[], offset: number): number {
  let [low, high] = [0, starts.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Records of equal length, each made from its number, between a head and a foot. */
export function recordSource(
  head: string,
  record: (number: number) => string,
  count: number,
  foot: string,
): ByteSource {
  const recordBytes = Buffer.byteLength(record(0));
  const records: ByteSource = {
    sizeBytes: recordBytes * count,
    read(offset, into) {
      for (let done = 0; done < into.length;) {
        const number = Math.floor((offset + done) / recordBytes);
        const within = (offset + done) % recordBytes;
        done += Buffer.from(record(number)).copy(into, done, within);
      }
    },
  };
  return joinedSource([bufferSource(Buffer.from(head)), records, bufferSource(Buffer.from(foot))]);
}
