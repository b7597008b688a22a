/** What an interruption may cost, by the length of the file. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mostUnsafeBytes, pieceBytes } from '../../../src/transfer/pieces.js';
import { PAGE_BYTES, SLAB_BYTES, WIDE_BYTES } from '../../../src/transfer/slabs.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const slow = 100 * MIB;
const fast = 500 * MIB;
const piece = (mostUnsafe: number, connections: number, pace: number, isExpendable = false) =>
  pieceBytes({ mostUnsafe, connections, isExpendable }, pace);

it.each([
  [100 * MIB, 4 * MIB],
  [512 * MIB, 4 * MIB],
  [768 * MIB, 6 * MIB],
  [2 * GIB, 8 * MIB],
  [null, 8 * MIB],
])('F077 of a file of %s bytes no more than %i wait for disk and journal', (bytes, unsafe) => {
  expect(mostUnsafeBytes(bytes, 16 * MIB)).toBe(unsafe);
});

it('F077 half a block waits, and no more, however large the file', () => {
  expect(mostUnsafeBytes(2 * GIB, MIB)).toBe(MIB / 2);
  expect(mostUnsafeBytes(null, MIB)).toBe(MIB / 2);
});

it('a megabyte is written together until the pace is known to be high', () => {
  expect([0, slow, fast].map((pace) => piece(8 * MIB, 1, pace))).toEqual([MIB, MIB, WIDE_BYTES]);
  expect(piece(4 * MIB, 1, fast)).toBe(SLAB_BYTES);
});

it('what may be lost as a whole is written in large pieces at once', () => {
  expect(piece(8 * MIB, 1, 0, true)).toBe(WIDE_BYTES);
});

it('whole pages, and over all connections no more than half of what may wait', () => {
  const anything = fc.record({
    mostUnsafe: fc.integer({ min: 1, max: 64 * MIB }),
    connections: fc.integer({ min: 1, max: 64 }),
    pace: fc.constantFrom(0, slow, fast),
  });
  fc.assert(
    fc.property(anything, ({ mostUnsafe, connections, pace }) => {
      const bytes = piece(mostUnsafe, connections, pace);
      expect(bytes % PAGE_BYTES).toBe(0);
      expect(bytes).toBeGreaterThan(0);
      if (bytes > PAGE_BYTES) expect(bytes * connections).toBeLessThanOrEqual(mostUnsafe / 2);
    }),
  );
});
