/** What is to be fetched next, against a naive model of the file: one flag for each byte. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Ledger, type Claim } from '../../../src/transfer/ledger.js';

const TOTAL = 60;
const range = fc
  .tuple(fc.nat(TOTAL), fc.nat(TOTAL))
  .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));

const step = fc.oneof(
  fc.record({ do: fc.constant('claim' as const), size: fc.integer({ min: 1, max: 20 }) }),
  fc.record({
    do: fc.constant('end' as const),
    which: fc.nat(),
    /** Share of the claim that came before it ended. */
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    accident: fc.boolean(),
  }),
  fc.record({ do: fc.constant('extend' as const), which: fc.nat(), by: fc.nat(30) }),
  fc.record({ do: fc.constant('forget' as const), range }),
);

it('no byte is fetched by two, every byte by somebody, and what follows an accident proves itself', () => {
  const written = fc.array(range, { maxLength: 4 });
  const grain = fc.constantFrom(1, 4, 8);
  const overlap = fc.nat(12);
  const steps = fc.array(step, { maxLength: 40 });
  fc.assert(
    fc.property(written, grain, overlap, steps, (spans, grainBytes, overlapBytes, all) => {
      const ledger = new Ledger(spans);
      ledger.doubtAll();
      const has = Array.from({ length: TOTAL }, () => false);
      for (const { start, end } of spans) has.fill(true, start, end);
      const claims: Claim[] = [];
      const isClaimed = (at: number, except?: Claim) =>
        claims.some((one) => one !== except && at >= one.proof && at < one.end);
      const checkAll = () => {
        expect(ledger.bytes).toBe(has.filter(Boolean).length);
        const free = has.filter((known, at) => !known && !isClaimed(at)).length;
        expect(ledger.unclaimed(TOTAL)).toBe(free);
      };
      const claim = (size: number): Claim | null => {
        const first = has.findIndex((known, at) => !known && !isClaimed(at));
        const found = ledger.claim(TOTAL, size, grainBytes, overlapBytes);
        if (first < 0) expect(found).toBeNull();
        if (!found) return null;
        expect(found.proof).toBe(first);
        expect(found.end).toBeGreaterThan(found.proof);
        expect(found.start).toBeGreaterThanOrEqual(Math.max(0, found.proof - overlapBytes));
        for (let at = found.start; at < found.proof; at++) expect(has[at]).toBe(true);
        for (let at = found.proof; at < found.end; at++)
          expect(!has[at] && !isClaimed(at)).toBe(true);
        const isCut = found.end < TOTAL && !has[found.end] && !isClaimed(found.end);
        if (isCut) expect(found.end % grainBytes).toBe(0);
        claims.push(found);
        return found;
      };
      for (const one of all) {
        const current = 'which' in one ? claims[one.which % Math.max(1, claims.length)] : undefined;
        if (one.do === 'claim') claim(one.size);
        else if (one.do === 'forget') {
          // Nobody forgets what another is fetching just now.
          const { start, end } = one.range;
          if (claims.length > 0) continue;
          ledger.forget(start, end);
          has.fill(false, start, end);
        } else if (one.do === 'extend' && current) {
          ledger.extend(current, Math.min(TOTAL, current.end + one.by));
          for (let at = current.proof; at < current.end; at++)
            expect(!has[at] && !isClaimed(at, current)).toBe(true);
        } else if (one.do === 'end' && current) {
          const came = current.proof + Math.floor((current.end - current.proof) * one.share);
          if (came > current.proof) ledger.written.add(current.proof, came);
          has.fill(true, current.proof, came);
          const isCut = one.accident && came < current.end;
          if (isCut) ledger.doubt(came);
          claims.splice(claims.indexOf(current), 1);
          ledger.release(current);
          if (isCut && came > 0 && has[came - 1] && overlapBytes > 0) {
            const again = claim(TOTAL);
            if (again?.proof === came) expect(again.start).toBeLessThan(came);
          }
        }
        checkAll();
      }
      for (const one of claims.splice(0)) ledger.release(one);
      for (let found; (found = claim(20));) {
        ledger.written.add(found.proof, found.end);
        has.fill(true, found.proof, found.end);
        claims.splice(claims.indexOf(found), 1);
        ledger.release(found);
      }
      expect(has.every(Boolean)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

it('a doubt that was not resolved stays one', () => {
  const ledger = new Ledger([{ start: 0, end: 10 }]);
  ledger.doubtAll();
  const first = ledger.claim(20, 10, 1, 4)!;
  expect(first).toEqual({ start: 6, end: 20, proof: 10 });
  ledger.release(first);
  expect(ledger.claim(20, 10, 1, 4)).toEqual(first);
});

it('a doubt that was resolved is none: what follows the next clean end is not fetched twice', () => {
  const ledger = new Ledger([{ start: 0, end: 10 }]);
  ledger.doubtAll();
  const first = ledger.claim(20, 5, 5, 4)!;
  ledger.written.add(10, 15);
  ledger.release(first);
  expect(ledger.claim(20, 5, 5, 4)).toEqual({ start: 15, end: 20, proof: 15 });
});

it('what is forgotten takes its doubts along', () => {
  const ledger = new Ledger([{ start: 0, end: 10 }]);
  ledger.doubtAll();
  ledger.forget(4, 10);
  expect(ledger.claim(20, 20, 1, 4)).toEqual({ start: 4, end: 20, proof: 4 });
});

it('of an unknown total, a claim without an end', () => {
  const ledger = new Ledger([{ start: 0, end: 10 }]);
  const claim = ledger.claim(Infinity, Infinity, 4096, 0)!;
  expect(claim).toEqual({ start: 10, end: Infinity, proof: 10 });
  expect(ledger.claim(Infinity, 10, 1, 0)).toBeNull();
  ledger.release(claim);
  expect(ledger.claim(Infinity, 6, 8, 0)).toEqual({ start: 10, end: 16, proof: 10 });
});
