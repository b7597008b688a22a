/** XXH64 against what the reference implementation says (xxhash 3.x for Python, over the same bytes). */
import { expect, it } from 'vitest';
import { createHashPool } from '../../../src/transfer/hash-pool.js';

const { digestOfBlock, slabs } = createHashPool(1);
const content = Buffer.from(Array.from({ length: 200_003 }, (_, i) => (i * 197 + 31) % 256));

it('knows short texts', () => {
  const known = {
    '': 'ef46db3751d8e999',
    a: 'd24ec4f1a98c6e5b',
    abc: '44bc2cf5ad770999',
    'Nobody inspects the spammish repetition': 'fbcea83c8a378bf1',
  };
  for (const [text, digest] of Object.entries(known))
    expect(digestOfBlock(Buffer.from(text))).toBe(digest);
});

it('is right for every length around its stripes', () => {
  const digests = Array.from({ length: 301 }, (_, n) => digestOfBlock(content.subarray(0, n)));
  expect(digestOfBlock(Buffer.from(digests.join('')))).toBe('c488ea2fb8fbbb44');
});

it('says the same of bytes in a slab, wherever they begin, and of bytes elsewhere', () => {
  const slab = slabs.take(() => undefined);
  expect(slab.offset).not.toBeNull();
  for (const start of [0, 1, 13]) {
    content.copy(slab.memory, start);
    const inSlab = slab.memory.subarray(start, start + content.length);
    expect(digestOfBlock(inSlab)).toBe('e566f623e8ad9d9a');
  }
  expect(digestOfBlock(content)).toBe('e566f623e8ad9d9a');
});
