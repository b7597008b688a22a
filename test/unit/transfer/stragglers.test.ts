/** One connection that hardly brings anything does not hold a file up while others are done. */
import { describe, expect, it } from 'vitest';
import { Stragglers } from '../../../src/transfer/stragglers.js';
import { honest, type Answer } from '../../support/lying-server.js';
import { bytesOf, useKits } from '../../support/transfer-kit.js';

const MIB = 1024 * 1024;
const claim = (bytes: number) => ({ start: 0, end: bytes, proof: 0 });

/** One request has brought a MiB a second; another has just been answered. */
function watch() {
  const stragglers = new Stragglers();
  const good = stragglers.begin(claim(MIB), 0);
  stragglers.answered(good, 100, 100);
  good.bytes = MIB;
  stragglers.end(good, true, 1_100);
  const slow = stragglers.begin(claim(8 * MIB), 1_100);
  return { stragglers, slow };
}

describe('a straggler', () => {
  it('is what would take many times as long as the best', () => {
    const { stragglers, slow } = watch();
    stragglers.answered(slow, 100, 1_200);
    expect(stragglers.find(4_000)).toBeNull();
    slow.bytes = 30_000;
    expect(stragglers.find(4_300)).toBe(slow);
  });

  it('is none that needs but a few times as long', () => {
    const { stragglers, slow } = watch();
    stragglers.answered(slow, 100, 1_200);
    slow.bytes = MIB;
    expect(stragglers.find(4_300)).toBeNull();
  });

  it('is what is not answered, where the others were', () => {
    const { stragglers, slow } = watch();
    expect(stragglers.find(4_200)).toBeNull();
    expect(stragglers.find(4_600)).toBe(slow);
  });

  it('is none that we keep waiting ourselves', () => {
    const { stragglers, slow } = watch();
    stragglers.answered(slow, 100, 1_200);
    slow.isHeld = true;
    expect(stragglers.find(60_000)).toBeNull();
    slow.isHeld = false;
    expect(stragglers.find(62_000)).toBeNull();
    expect(stragglers.find(63_100)).toBe(slow);
  });

  it('is none where nothing is known of other connections', () => {
    const stragglers = new Stragglers();
    const only = stragglers.begin(claim(8 * MIB), 0);
    stragglers.answered(only, 10, 10);
    expect(stragglers.find(600_000)).toBeNull();
  });

  it('is found later each time, and a few times only', () => {
    const { stragglers } = watch();
    const found: number[] = [];
    for (let atMs = 1_100; atMs < 3_600_000; atMs += 50) {
      const slow = stragglers.find(atMs);
      if (!slow) continue;
      found.push(atMs);
      stragglers.end(slow, false, atMs);
      stragglers.begin(claim(8 * MIB), atMs);
    }
    expect(found.length).toBe(6);
    const waits = found.map((atMs, turn) => atMs - (found[turn - 1] ?? 1_100));
    expect(waits).toEqual(waits.toSorted((one, other) => one - other));
  });
});

describe('a file of which one connection brings next to nothing', () => {
  const serve = useKits();
  const file = bytesOf(6 * MIB);

  it.each<[string, (answer: Answer) => Answer]>([
    ['drips', (answer) => ({ ...answer, sliceBytes: 50, everyMs: 20 })],
    ['is silent', () => ({ silent: true })],
  ])('is fetched over another when it %s', async (_, slowly) => {
    const isSlow = (index: number) => index === 2;
    const kit = await serve(
      (request): Answer => {
        const answer = honest(request, file, { etag: '"one"' });
        if (isSlow(request.index)) return slowly(answer);
        return { ...answer, sliceBytes: 32 * 1024, everyMs: 10 };
      },
      { connections: 4 },
    );
    const startMs = performance.now();
    // Nothing else would end it in time.
    const limits = { headersMs: 600_000, floorMs: 600_000, idleMs: 600_000 };
    const result = await kit.fetch(kit.source(file), { limits });
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(performance.now() - startMs).toBeLessThan(40_000);
    const slow = kit.server.requests.find(({ index }) => isSlow(index))!;
    const again = kit.server.requests.filter(
      ({ index, from, to }) => index > slow.index && from < slow.to! && to! > slow.from,
    );
    expect(again.length).toBeGreaterThan(0);
    expect(kit.notes).toEqual([]);
  });
});
