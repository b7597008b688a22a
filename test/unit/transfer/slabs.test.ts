/** Memory for bytes under way: shared and aligned, in the size that suits, and never more than was said. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  PAGE_BYTES,
  SLAB_BYTES,
  SlabPool,
  WIDE_BYTES,
  type Slab,
} from '../../../src/transfer/slabs.js';

const nothing = () => undefined;

it('gives whoever is alone wide slabs, and the usual ones once there are several', () => {
  const pool = new SlabPool();
  const lengths = Array.from({ length: 5 }, () => pool.take(nothing, WIDE_BYTES).memory.length);
  expect(lengths).toEqual([WIDE_BYTES, WIDE_BYTES, WIDE_BYTES, SLAB_BYTES, SLAB_BYTES]);
  expect(new SlabPool().take(nothing, WIDE_BYTES - 1).memory).toHaveLength(SLAB_BYTES);
});

it('uses what was used before again', () => {
  const pool = new SlabPool();
  const [first, second] = [pool.take(nothing), pool.take(nothing)];
  first.release();
  expect(pool.take(nothing).offset).toBe(0);
  second.release();
  expect(pool.take(nothing, WIDE_BYTES).offset).toBe(WIDE_BYTES);
});

it('never gives the same bytes twice, whoever asks for what, and gives all back', () => {
  const step = fc.record({ isWide: fc.boolean(), releases: fc.option(fc.nat(60), { nil: null }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const pool = new SlabPool();
      const held: Slab[] = [];
      let freed = 0;
      for (const { isWide, releases } of steps) {
        if (releases !== null && held.length > 0)
          held.splice(releases % held.length, 1)[0]!.release();
        else held.push(pool.take(() => freed++, isWide ? WIDE_BYTES : SLAB_BYTES));
        const shared = held.filter(({ offset }) => offset !== null);
        const ranges = shared
          .map(({ offset, memory }) => ({ start: offset!, end: offset! + memory.length }))
          .sort((a, b) => a.start - b.start);
        ranges.forEach(({ start, end }, i) => {
          expect(start % PAGE_BYTES).toBe(0);
          expect(end).toBeLessThanOrEqual(ranges[i + 1]?.start ?? pool.besides);
        });
        const own = held.filter(({ offset }) => offset === null);
        expect(own.every(({ memory }) => memory.length < SLAB_BYTES)).toBe(true);
      }
      const before = freed;
      for (const slab of held) slab.release();
      expect(freed - before).toBe(held.length);
      expect(pool.isTight).toBe(false);
      expect(pool.take(nothing, WIDE_BYTES).memory).toHaveLength(WIDE_BYTES);
    }),
  );
});
