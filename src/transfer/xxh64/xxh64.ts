/**
 * XXH64 with seed 0, of bytes in shared memory. Runs from its own source text inside a hash thread as well: it may use
 * nothing but its parameters and globals.
 */
import type { PRIMES, Xxh64Code } from './code.js';

/** Bytes of memory that `xxh64` needs for itself. */
export const XXH64_SCRATCH_BYTES = 64;

export interface Xxh64 {
  begin: () => void;
  /**
   * Takes in what lies at `offset` of the memory: a multiple of 32 bytes, but for the last time.
   * @param take does so for whole stripes, with whatever else it does
   */
  add: (offset: number, length: number, take?: Xxh64Code['take']) => void;
  /** As 16 hexadecimal digits. */
  end: () => string;
  /** Of just these bytes. */
  of: (offset: number, length: number) => string;
}

/** @param scratch where in the memory its own part lies */
export function xxh64(
  code: Xxh64Code,
  primes: typeof PRIMES,
  memory: SharedArrayBuffer,
  scratch: number,
): Xxh64 {
  const STRIPE = 32;
  const [first, second, third, fourth, fifth] = primes;
  const all = new Uint8Array(memory);
  const sums = new DataView(memory, scratch, STRIPE);
  let bytes = 0;
  /** What is no whole stripe. */
  let rest = new Uint8Array(0);

  const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);
  const rotl = (value: bigint, bits: bigint): bigint =>
    wrap((value << bits) | (value >> (64n - bits)));
  const round = (word: bigint): bigint => wrap(rotl(wrap(word * second), 31n) * first);

  const sumUp = (): bigint => {
    if (bytes < STRIPE) return fifth;
    const each = [0, 1, 2, 3].map((i) => sums.getBigUint64(8 * i, true));
    const shifts = [1n, 7n, 12n, 18n];
    const together = wrap(each.reduce((sum, one, i) => sum + rotl(one, shifts[i]!), 0n));
    return each.reduce((hash, one) => wrap((hash ^ round(one)) * first + fourth), together);
  };

  const takeRest = (sum: bigint): bigint => {
    const view = new DataView(rest.buffer);
    let hash = sum;
    let at = 0;
    for (; at + 8 <= rest.length; at += 8)
      hash = wrap(rotl(hash ^ round(view.getBigUint64(at, true)), 27n) * first + fourth);
    for (; at + 4 <= rest.length; at += 4)
      hash = wrap(
        rotl(hash ^ wrap(BigInt(view.getUint32(at, true)) * first), 23n) * second + third,
      );
    for (; at < rest.length; at++)
      hash = wrap(rotl(hash ^ wrap(BigInt(rest[at]!) * fifth), 11n) * first);
    return hash;
  };

  const own: Xxh64 = {
    begin() {
      bytes = 0;
      rest = new Uint8Array(0);
      [first + second, second, 0n, -first].forEach((sum, i) =>
        sums.setBigUint64(8 * i, wrap(sum), true),
      );
    },
    add(offset, length, take = code.take) {
      const odd = length % STRIPE;
      if (length > odd) take(offset, (length - odd) / STRIPE, scratch);
      rest = all.slice(offset + length - odd, offset + length);
      bytes += length;
    },
    end() {
      let hash = takeRest(wrap(sumUp() + BigInt(bytes)));
      hash = wrap((hash ^ (hash >> 33n)) * second);
      hash = wrap((hash ^ (hash >> 29n)) * third);
      return (hash ^ (hash >> 32n)).toString(16).padStart(16, '0');
    },
    of(offset, length) {
      own.begin();
      own.add(offset, length);
      return own.end();
    },
  };
  return own;
}
