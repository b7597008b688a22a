import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  joinAll,
  Limiter,
  LONGEST_STEP_MS,
  type Bandwidth,
} from '../../../src/transfer/bandwidth.js';

const KIB = 1024;
const MIB = KIB * KIB;

interface Reader {
  bandwidth: Bandwidth;
  readBytes: number;
  /** What the server sends at most, in bytes a second. */
  speed: number;
  /** How late each timer fires, in turn. */
  lateMs: readonly number[];
  bytes: number;
}

/** A world with a clock of its own, in which connections read, book, and hold as told. */
class World {
  nowMs = 0;
  readonly #due: { atMs: number; run: () => void }[] = [];

  readonly clock = () => this.nowMs;

  at(atMs: number, run: () => void): void {
    this.#due.push({ atMs, run });
  }

  connect(bandwidth: Bandwidth, options: Partial<Reader> = {}): Reader {
    const reader = { bandwidth, readBytes: 64 * KIB, speed: 1e9, lateMs: [0], bytes: 0 };
    const one: Reader = { ...reader, ...options };
    let timers = 0;
    const arrive = () => {
      one.bytes += one.readBytes;
      hold(one.bandwidth.take(one.readBytes));
    };
    const hold = (holdMs: number) => {
      expect(Number.isInteger(holdMs) && holdMs >= 0).toBe(true);
      if (holdMs === 0) return this.at(this.nowMs + (one.readBytes / one.speed) * 1000, arrive);
      const late = one.lateMs[timers++ % one.lateMs.length]!;
      const step = Math.min(holdMs, LONGEST_STEP_MS) + late;
      this.at(this.nowMs + step, () => hold(one.bandwidth.take(0)));
    };
    this.at(this.nowMs, arrive);
    return one;
  }

  run(untilMs: number): void {
    for (;;) {
      const next = this.#due.reduce<number>(
        (best, { atMs }, i) => (best < 0 || atMs < this.#due[best]!.atMs ? i : best),
        -1,
      );
      if (next < 0 || this.#due[next]!.atMs > untilMs) break;
      const { atMs, run } = this.#due.splice(next, 1)[0]!;
      this.nowMs = Math.max(this.nowMs, atMs);
      run();
    }
    this.nowMs = untilMs;
  }
}

const sum = (readers: Reader[]) => readers.reduce((total, { bytes }) => total + bytes, 0);

/** Within 3 %, and one read for each connection: that much is on its way when the first hold begins. */
function expectWithin(readers: Reader[], expected: number): void {
  const reads = readers.reduce((total, { readBytes }) => total + readBytes, 0);
  expect(sum(readers)).toBeGreaterThan(expected * 0.97);
  expect(sum(readers)).toBeLessThan(expected * 1.03 + reads);
}

describe('D23 a bandwidth limit', () => {
  it('is kept within 3 % over 10 s, whoever reads and however late timers are', () => {
    const connection = fc.record({
      readBytes: fc.integer({ min: 16 * KIB, max: 256 * KIB }),
      lateMs: fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 5 }),
    });
    const transfers = fc.array(fc.array(connection, { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(fc.integer({ min: MIB, max: 60 * MIB }), transfers, (limit, all) => {
        const world = new World();
        const limiter = new Limiter(limit, world.clock);
        const readers = all.flatMap((connections) => {
          const bandwidth = limiter.join();
          return connections.map((options) => world.connect(bandwidth, options));
        });
        world.run(10_000);
        expectWithin(readers, limit * 10);
      }),
      { numRuns: 30 },
    );
  });

  it('is kept from the first moment, and after a pause saves up 100 ms of it at most', () => {
    const world = new World();
    const limiter = new Limiter(MIB, world.clock);
    const first = world.connect(limiter.join());
    world.run(1000);
    expect(first.bytes).toBeLessThanOrEqual(MIB + 64 * KIB);

    const idle = new Limiter(10 * MIB, world.clock).join();
    world.nowMs += 60_000;
    expect(idle.take(MIB)).toBe(0);
    expect(idle.take(MIB)).toBe(100);
  });

  it('is divided equally between transfers, not between their connections', () => {
    const world = new World();
    const limiter = new Limiter(8 * MIB, world.clock);
    const [wide, narrow] = [limiter.join(), limiter.join()];
    const four = [1, 2, 3, 4].map(() => world.connect(wide, { readBytes: 256 * KIB }));
    const one = world.connect(narrow, { readBytes: 64 * KIB });
    world.run(10_000);
    expectWithin(four, 40 * MIB);
    expectWithin([one], 40 * MIB);
  });

  it('leaves to the others what a slow transfer does not use', () => {
    const world = new World();
    const limiter = new Limiter(10 * MIB, world.clock);
    const slow = world.connect(limiter.join(), { speed: MIB });
    const quick = world.connect(limiter.join());
    world.run(10_000);
    expectWithin([slow, quick], 100 * MIB);
    // Here, unlike on a real wire, nothing arrives during a hold.
    expect(slow.bytes).toBeGreaterThan(8 * MIB);
  });

  it('gives a newcomer its share at once, and its share back to the others when it has gone', () => {
    const world = new World();
    const limiter = new Limiter(4 * MIB, world.clock);
    const old = world.connect(limiter.join());
    world.run(10_000);
    const before = old.bytes;
    const young = world.connect(limiter.join());
    world.run(20_000);
    expectWithin([young], 20 * MIB);
    expect(old.bytes - before).toBeLessThan(20.6 * MIB + 64 * KIB);
    young.speed = 1e-9;
    const later = old.bytes;
    world.run(30_000);
    expect(old.bytes - later).toBeGreaterThan(39 * MIB);
  });

  it('follows live changes: the bytes are the integral of the limits, whatever they were', () => {
    const change = fc.record({
      limit: fc.integer({ min: 2 * MIB, max: 20 * MIB }),
      seconds: fc.integer({ min: 1, max: 6 }),
    });
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 2, maxLength: 6 }),
        fc.integer({ min: 1, max: 4 }),
        (changes, connections) => {
          const world = new World();
          const limiter = new Limiter(changes[0]!.limit, world.clock);
          const readers = Array.from({ length: connections }, () =>
            world.connect(limiter.join(), { lateMs: [0, 3, 1] }),
          );
          let expected = 0;
          let untilMs = 0;
          for (const { limit, seconds } of changes) {
            limiter.setLimit(limit);
            world.run((untilMs += seconds * 1000));
            expected += limit * seconds;
          }
          expectWithin(readers, expected);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('that is lifted lets everybody go within a step, and comes back as if nothing had been', () => {
    const world = new World();
    const limiter = new Limiter(2 * KIB, world.clock);
    const reader = world.connect(limiter.join(), { speed: 100 * MIB, readBytes: 256 * KIB });
    world.run(5_000);
    expect(reader.bytes).toBe(256 * KIB);
    limiter.setLimit(null);
    world.run(5_000 + LONGEST_STEP_MS + 1_000);
    expect(reader.bytes).toBeGreaterThan(100 * MIB);
    limiter.setLimit(MIB);
    const before = reader.bytes;
    world.run(world.nowMs + 10_000);
    expectWithin([{ ...reader, bytes: reader.bytes - before }], 10 * MIB);
  });

  it('costs nothing when there is none', () => {
    const none = new Limiter(null, () => 0).join();
    for (let i = 0; i < 1000; i++) expect(none.take(1e12)).toBe(0);
  });

  it('of a provider holds beside the one for all: the slower line decides, and both count', () => {
    const world = new World();
    const all = new Limiter(10 * MIB, world.clock);
    const slow = new Limiter(2 * MIB, world.clock);
    const fast = new Limiter(100 * MIB, world.clock);
    const slowReaders = [1, 2].map(() => world.connect(joinAll([all, slow])));
    const fastReader = world.connect(joinAll([all, fast]));
    world.run(10_000);
    expectWithin(slowReaders, 20 * MIB);
    expectWithin([fastReader], 80 * MIB);
    slow.setLimit(null);
    const before = sum(slowReaders);
    world.run(20_000);
    expect(sum(slowReaders) - before).toBeGreaterThan((200 / 3) * MIB * 0.97);
  });

  it('is kept on the real clock', async () => {
    const limiter = new Limiter(20 * MIB);
    const started = performance.now();
    let bytes = 0;
    const connection = async (bandwidth: Bandwidth) => {
      while (performance.now() - started < 2_000) {
        bytes += 64 * KIB;
        for (let holdMs = bandwidth.take(64 * KIB); holdMs > 0; holdMs = bandwidth.take(0))
          await sleep(Math.min(holdMs, LONGEST_STEP_MS));
      }
    };
    const [one, two] = [limiter.join(), limiter.join()];
    await Promise.all([connection(one), connection(one), connection(two)]);
    const rate = (bytes - 3 * 64 * KIB) / ((performance.now() - started) / 1000);
    expect(rate).toBeLessThan(20.6 * MIB);
    expect(rate).toBeGreaterThan(17 * MIB);
  });
});
