/** The content of the byte server: the same megabyte over and over. */
import { createCipheriv, createHash } from 'node:crypto';
import { Blake3Hasher } from '@napi-rs/blake-hash';

const MIB = 2 ** 20;
const zeros = Buffer.alloc(MIB);

export const megabyte = createCipheriv(
  'aes-128-ctr',
  zeros.subarray(0, 16),
  zeros.subarray(0, 16),
).update(zeros);

/** From offset `at` to the end of its megabyte, `end` at most. */
export function stretch(at, end) {
  return megabyte.subarray(at % MIB, Math.min(MIB, (at % MIB) + end - at));
}

/** @param algorithm `md5` or `blake3` */
export function digestOf(size, algorithm) {
  const hash = algorithm === 'blake3' ? new Blake3Hasher() : createHash(algorithm);
  for (let at = 0; at < size; at += MIB) hash.update(stretch(at, size));
  return hash.digest('hex');
}
