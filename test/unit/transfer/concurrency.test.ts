/** How many connections a file is worth, in a world with a clock of its own. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Concurrency } from '../../../src/transfer/concurrency.js';

const MIB = 1024 * 1024;
const BLOCK = 16 * MIB;

/** Lets time go by, looking every 50 ms: `rate(n)` = bytes a second over n connections. */
function run(
  concurrency: Concurrency,
  options: {
    fromMs?: number;
    ms: number;
    rate: (active: number) => number;
    busy?: number;
    heldShare?: number;
  },
): number {
  const { fromMs = 0, ms, rate, busy = 0, heldShare = 0 } = options;
  let active = concurrency.wanted;
  for (let nowMs = fromMs; nowMs < fromMs + ms; nowMs += 50) {
    concurrency.received((rate(active) * 50) / 1000, nowMs);
    for (let one = 0; one < active; one++) {
      concurrency.holds(1, nowMs - 50);
      concurrency.holds(-1, nowMs - 50 + heldShare * 50);
    }
    concurrency.observe(active, busy, nowMs);
    active = concurrency.wanted;
  }
  return fromMs + ms;
}

const perConnection = (bytes: number) => (active: number) => active * bytes;

it('grows to the most where each connection is served slowly', () => {
  const concurrency = new Concurrency(12, BLOCK);
  run(concurrency, { ms: 20_000, rate: perConnection(5 * MIB) });
  expect(concurrency.wanted).toBe(12);
  expect(concurrency.rate).toBeCloseTo(60 * MIB, -6);
});

it('one stays one where that is the most', () => {
  const concurrency = new Concurrency(1, BLOCK);
  run(concurrency, { ms: 20_000, rate: perConnection(MIB) });
  expect(concurrency.wanted).toBe(1);
});

it.each([
  ['one is fast enough', { rate: () => 400 * MIB }],
  ['our own thread is what it waits for', { rate: perConnection(5 * MIB), busy: 0.9 }],
  ['disk or digests hold it', { rate: perConnection(5 * MIB), heldShare: 0.8 }],
])('does not grow where %s', (_, options) => {
  const concurrency = new Concurrency(8, BLOCK);
  run(concurrency, { ms: 20_000, ...options });
  expect(concurrency.wanted).toBe(1);
});

it('falls back where more did not help, and leaves it at that for a while', () => {
  const concurrency = new Concurrency(8, BLOCK);
  const rate = () => 5 * MIB;
  const seen = new Set<number>();
  let nowMs = 0;
  while (nowMs < 25_000) {
    nowMs = run(concurrency, { fromMs: nowMs, ms: 50, rate });
    seen.add(concurrency.wanted);
  }
  expect([...seen]).toEqual([1, 4]);
  expect(concurrency.wanted).toBe(1);
  nowMs = run(concurrency, { fromMs: nowMs, ms: 10_000, rate: perConnection(5 * MIB) });
  run(concurrency, { fromMs: nowMs, ms: 20_000, rate: perConnection(5 * MIB) });
  expect(concurrency.wanted).toBe(8);
});

it('after a refusal no more than were at work, and nothing more for half a minute', () => {
  const concurrency = new Concurrency(8, BLOCK);
  let nowMs = run(concurrency, { ms: 20_000, rate: perConnection(5 * MIB) });
  concurrency.refused(3, nowMs);
  expect(concurrency.wanted).toBe(3);
  nowMs = run(concurrency, { fromMs: nowMs, ms: 29_000, rate: perConnection(5 * MIB) });
  expect(concurrency.wanted).toBe(3);
  nowMs = run(concurrency, { fromMs: nowMs, ms: 20_000, rate: perConnection(5 * MIB) });
  expect(concurrency.wanted).toBe(8);
  concurrency.refused(0, nowMs);
  expect(concurrency.wanted).toBe(1);
});

it('nothing is decided while fewer are at work than wanted', () => {
  const concurrency = new Concurrency(8, BLOCK);
  run(concurrency, { ms: 150, rate: perConnection(5 * MIB) });
  expect(concurrency.wanted).toBe(4);
  for (let nowMs = 150; nowMs < 20_000; nowMs += 50) {
    concurrency.received(MIB, nowMs);
    concurrency.observe(1, 0, nowMs);
  }
  expect(concurrency.wanted).toBe(4);
});

describe('a request', () => {
  it('is a block where one connection is at work and answers come at once', () => {
    expect(new Concurrency(1, BLOCK).requestBytes(1e12)).toBe(BLOCK);
  });

  it('lasts many times as long as its first byte is waited for', () => {
    const concurrency = new Concurrency(1, BLOCK);
    concurrency.answered(20);
    run(concurrency, { ms: 1_000, rate: () => 50 * MIB });
    expect(concurrency.requestBytes(1e12)).toBeCloseTo(40 * 0.02 * concurrency.rate, -3);
    concurrency.answered(10_000);
    expect(concurrency.requestBytes(1e12)).toBe(64 * MIB);
  });

  it('is long where one connection brings much, and a block where there are more', () => {
    const [alone, many] = [new Concurrency(1, BLOCK), new Concurrency(4, BLOCK)];
    run(alone, { ms: 1_000, rate: () => 60 * MIB });
    expect(alone.requestBytes(1e12)).toBeCloseTo(alone.rate / 2, -3);
    run(many, { ms: 150, rate: perConnection(50 * MIB) });
    expect(many.wanted).toBe(4);
    expect(many.requestBytes(1e12)).toBe(BLOCK / 4);
  });

  it('is smaller towards the end, so that all are done together', () => {
    const concurrency = new Concurrency(4, BLOCK);
    run(concurrency, { ms: 150, rate: perConnection(MIB) });
    expect(concurrency.wanted).toBe(4);
    expect(concurrency.requestBytes(24 * MIB)).toBe(3 * MIB);
    expect(concurrency.requestBytes(1)).toBe(MIB);
  });

  it('has a floor and a ceiling, whatever was seen', () => {
    const numbers = fc.record({
      most: fc.integer({ min: 1, max: 32 }),
      blockBytes: fc.integer({ min: 64 * 1024, max: 64 * MIB }),
      firstByteMs: fc.double({ min: 0, max: 120_000, noNaN: true }),
      bytesPerSecond: fc.double({ min: 0, max: 1e10, noNaN: true }),
      unclaimed: fc.nat(),
    });
    fc.assert(
      fc.property(numbers, ({ most, blockBytes, firstByteMs, bytesPerSecond, unclaimed }) => {
        const concurrency = new Concurrency(most, blockBytes);
        concurrency.answered(firstByteMs);
        run(concurrency, { ms: 2_000, rate: () => bytesPerSecond });
        expect(concurrency.wanted).toBeGreaterThanOrEqual(1);
        expect(concurrency.wanted).toBeLessThanOrEqual(most);
        const bytes = concurrency.requestBytes(unclaimed);
        expect(bytes).toBeGreaterThanOrEqual(Math.min(MIB, blockBytes));
        expect(bytes).toBeLessThanOrEqual(64 * MIB);
      }),
    );
  });
});
