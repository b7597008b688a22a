/** Spans against the most naive model there is: one flag for each byte. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Spans } from '../../../src/transfer/spans.js';

const SIZE = 48;
const range = fc
  .tuple(fc.nat(SIZE), fc.nat(SIZE))
  .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));
const positions = Array.from({ length: SIZE + 1 }, (_, i) => i);

function flagsOf(spans: Spans): boolean[] {
  const flags = positions.map(() => false);
  for (const { start, end } of spans.toArray()) flags.fill(true, start, end);
  return flags;
}

function endOf(flags: boolean[], from: number): number {
  let at = from;
  while (flags[at]) at++;
  return at;
}

describe('spans', () => {
  const change = fc.record({ adds: fc.boolean(), range });

  it('hold what was added and not removed since, disjoint and in order', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const spans = new Spans();
        const flags = positions.map(() => false);
        for (const { adds, range: one } of changes) {
          if (adds) spans.add(one.start, one.end);
          else spans.remove(one.start, one.end);
          flags.fill(adds, one.start, one.end);
        }
        expect(flagsOf(spans)).toEqual(flags);
        let last = -1;
        for (const { start, end } of spans.toArray()) {
          expect(start).toBeGreaterThan(last);
          expect(end).toBeGreaterThan(start);
          last = end;
        }
        expect(new Spans(spans.toArray()).toArray()).toEqual(spans.toArray());
      }),
    );
  });

  it('answer every question as the flags do', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), range, (ranges, { start, end }) => {
        const spans = new Spans(ranges);
        const flags = flagsOf(spans);
        expect(spans.prefix).toBe(endOf(flags, 0));
        expect(spans.bytes).toBe(flags.filter(Boolean).length);
        expect(spans.endAt(start)).toBe(endOf(flags, start));
        expect(spans.has(start, end)).toBe(endOf(flags, start) >= end);
        if (end > start)
          expect(spans.touches(start, end)).toBe(flags.slice(start, end).includes(true));
        const next = spans.toArray().find((span) => span.start >= start)?.start ?? Infinity;
        expect(spans.nextStart(start)).toBe(next);
      }),
    );
  });
});
