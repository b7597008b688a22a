/** Our own MD5 against OpenSSL's: any number of files at once, in any pieces, saved and gone on with at any byte; and their XXH64. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { md5Module, type Md5Code } from '../../../src/transfer/md5/code.js';
import {
  bytesOfMd5,
  MD5_SCRATCH_BYTES,
  md5Lanes,
  type Md5,
} from '../../../src/transfer/md5/lanes.js';
import { instantiate } from '../../../src/transfer/wasm/module.js';
import { PRIMES, xxh64Module, type Xxh64Code } from '../../../src/transfer/xxh64/code.js';
import { xxh64, XXH64_SCRATCH_BYTES } from '../../../src/transfer/xxh64/xxh64.js';
import { bytesOf, md5 as expected } from '../../support/transfer-kit.js';

const content = bytesOf(40_000);
const PAGE = 65_536;
const memory = new WebAssembly.Memory({ initial: 3, maximum: 3, shared: true });
const code = instantiate<Md5Code>(md5Module(), memory);
const ofBlockAt = (scratch: number) =>
  xxh64(instantiate<Xxh64Code>(xxh64Module(), memory), PRIMES, memory.buffer, scratch);
const reference = ofBlockAt(PAGE - XXH64_SCRATCH_BYTES);
const lanes = md5Lanes(code, memory.buffer, 0, ofBlockAt(PAGE - 2 * XXH64_SCRATCH_BYTES));
const all = Buffer.from(memory.buffer);
const contentAt = PAGE + 3;
content.copy(all, contentAt);
expect(2 * (MD5_SCRATCH_BYTES + XXH64_SCRATCH_BYTES)).toBeLessThan(PAGE);

const addNow = (md5: Md5, from: number, to: number) =>
  lanes.addNow(md5, contentAt + from, to - from);

it('knows what RFC 1321 says of it', () => {
  const known = {
    '': 'd41d8cd98f00b204e9800998ecf8427e',
    a: '0cc175b9c0f1b6a831c399e269772661',
    abc: '900150983cd24fb0d6963f7d28e17f72',
    'message digest': 'f96b697d7cb7938d525a2f31aaf161d0',
    abcdefghijklmnopqrstuvwxyz: 'c3fcd3d76192e4007dfb496cca67e13b',
    ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:
      'd174ab98d277d9f5a5611c2c9f419d9f',
    '12345678901234567890123456789012345678901234567890123456789012345678901234567890':
      '57edf4a22be3c955ac49da2e2107b67a',
  };
  for (const [text, digest] of Object.entries(known)) {
    const one = lanes.create();
    all.write(text, 2 * PAGE, 'latin1');
    lanes.addNow(one, 2 * PAGE, text.length);
    expect(lanes.digest(one)).toBe(digest);
  }
});

it('is right at every length around a block, and counts more bits than 32', () => {
  for (let length = 0; length < 300; length++) {
    const one = lanes.create();
    addNow(one, 0, length);
    expect(lanes.digest(one)).toBe(expected(content.subarray(0, length)));
  }
  const long = lanes.create();
  const hash = createHash('md5');
  const piece = content.subarray(0, 32_768);
  for (let bytes = 0; bytes < 2 ** 29 + 2 ** 20; bytes += piece.length) {
    addNow(long, 0, piece.length);
    hash.update(piece);
  }
  expect(lanes.digest(long)).toBe(hash.digest('hex'));
});

describe('any pieces of any number of files', () => {
  const piece = fc.record({
    file: fc.nat(6),
    bytes: fc.oneof(fc.nat(200), fc.constantFrom(0, 64, 128, 4096), fc.nat(9000)),
    isBlock: fc.boolean(),
    then: fc.constantFrom('wait', 'wait', 'wait', 'now', 'save', 'digest', 'drop', 'tick'),
  });
  it('taken in together or alone, saved and loaded between, are what each is alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 60 }), async (pieces) => {
        const open = new Map<number, { md5: Md5; at: number; added: number; done: number }>();
        const end = (file: number) => {
          const one = open.get(file);
          if (!one) return;
          expect(lanes.digest(one.md5)).toBe(expected(content.subarray(file, one.at)));
          expect(one.done).toBe(one.added);
          open.delete(file);
        };
        for (const { file, bytes, isBlock, then } of pieces) {
          const one = open.get(file) ?? { md5: lanes.create(), at: file, added: 0, done: 0 };
          open.set(file, one);
          const length = Math.min(bytes, content.length - one.at);
          if (then === 'now') addNow(one.md5, one.at, one.at + length);
          else {
            one.added++;
            const offset = contentAt + one.at;
            lanes.add(one.md5, { offset, length, isBlock }, (digest) => {
              expect(digest).toBe(isBlock ? reference.of(offset, length) : null);
              one.done++;
            });
          }
          one.at += length;
          if (then === 'save') {
            const saved = lanes.save(one.md5);
            expect(bytesOfMd5(saved)).toBe(one.at - file);
            lanes.drop(one.md5);
            one.md5 = lanes.create(saved);
          } else if (then === 'digest') end(file);
          else if (then === 'drop') {
            lanes.drop(one.md5);
            open.delete(file);
          } else if (then === 'tick') await new Promise((resolve) => setTimeout(resolve, 12));
        }
        for (const file of [...open.keys()]) end(file);
      }),
      { numRuns: 300 },
    );
  });
});

/** Without a digest of the piece. */
const add = (md5: Md5, offset: number, length: number, done: () => void) =>
  lanes.add(md5, { offset, length, isBlock: false }, done);

it('four files at once are what they are without SIMD', () => {
  const { one, oneAndXxh64 } = code;
  const scratch = 2 * MD5_SCRATCH_BYTES;
  const scalar = md5Lanes({ one, oneAndXxh64 }, memory.buffer, scratch, reference);
  for (const each of [scalar, lanes]) {
    const files = [0, 1, 2, 3].map(() => each.create());
    const digests: (string | null)[] = [];
    files.forEach((md5, i) =>
      each.add(md5, { offset: contentAt + i, length: 9_000 + i, isBlock: true }, (digest) =>
        digests.push(digest),
      ),
    );
    files.forEach((md5, i) =>
      expect(each.digest(md5)).toBe(expected(content.subarray(i, 9_000 + 2 * i))),
    );
    const alone = files.map((_, i) => reference.of(contentAt + i, 9_000 + i));
    expect(digests.sort()).toEqual(alone.sort());
  }
});

it('nobody waits for a file that brings nothing any more, nor who has much to take in', async () => {
  const [stalled, one] = [lanes.create(), lanes.create()];
  let done = 0;
  const bring = (md5: Md5) => add(md5, contentAt, 6_400, () => done++);
  bring(stalled);
  bring(one);
  expect(done).toBe(2);
  bring(one);
  bring(one);
  expect(done).toBe(2);
  bring(one);
  expect(done).toBe(3);
  await expect.poll(() => done).toBe(5);
  await new Promise((resolve) => setTimeout(resolve, 100));
  bring(one);
  expect(done).toBe(6);
  for (const md5 of [one, stalled]) lanes.drop(md5);
});

it('what waits for others, also for their first bytes, does not wait for long', async () => {
  const [one, other] = [lanes.create(), lanes.create()];
  let done = 0;
  add(other, contentAt, 64, () => done++);
  expect(done).toBe(0);
  add(one, contentAt, 6400, () => done++);
  expect(done).toBe(1);
  await expect.poll(() => done).toBe(2);
  for (const md5 of [one, other]) lanes.drop(md5);
});

it.each([
  ['nothing', Buffer.alloc(0)],
  ['the state of another library', Buffer.alloc(156, 1)],
  ['one that is cut', Buffer.alloc(23)],
  ['one that says another length than it has', Buffer.from([...Array(23).fill(0), 5, 1, 2])],
])('a saved state that is none is known as such: %s', (_, saved) => {
  expect(bytesOfMd5(saved)).toBeNull();
});
