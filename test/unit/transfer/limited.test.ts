/** D23: the engine keeps to a limit, on one connection and on several, and lets go of it at once. */
import { describe, expect, it } from 'vitest';
import { BURST_MS, Limiter } from '../../../src/transfer/bandwidth.js';
import { createConnectionSlots } from '../../../src/transfer/index.js';
import { LIMITED_READ_BYTES } from '../../../src/transfer/inlet.js';
import { honest, type Script } from '../../support/lying-server.js';
import { bytesOf, useKits } from '../../support/transfer-kit.js';

const MIB = 1024 * 1024;
const file = bytesOf(6 * MIB);
const good: Script = (request) => honest(request, file, { etag: '"one"' });
const serveOn = useKits();

describe('D23 a transfer under a limit', () => {
  it.each([1, 4])('takes the time that it gives, on %i connections', async (connections) => {
    const kit = await serveOn(good, { connections });
    const bandwidth = new Limiter(2 * MIB).join();
    const startMs = performance.now();
    let begunMs: number | undefined;
    let endedMs = startMs;
    const onProgress = () => {
      endedMs = performance.now();
      begunMs ??= endedMs;
    };
    const slots = createConnectionSlots(connections);
    await kit.fetch(kit.source(file), { bandwidth, slots, onProgress });
    const seconds = (performance.now() - startMs) / 1000;
    // The last read of each connection is waited for by nobody.
    const free = connections * LIMITED_READ_BYTES;
    const least = (file.length - free) / (2 * MIB) - BURST_MS / 1000;
    expect(seconds).toBeGreaterThan(least * 0.97);
    // how long a busy machine takes to begin and to finish is not the limit's doing
    const limitedSeconds = (endedMs - (begunMs ?? -Infinity)) / 1000;
    expect(limitedSeconds).toBeLessThan((file.length / (2 * MIB)) * 1.03 + 1.5);
  });

  it('goes on at full speed as soon as the limit is lifted', async () => {
    const kit = await serveOn(good);
    const limiter = new Limiter(16 * 1024);
    setTimeout(() => limiter.setLimit(null), 1_000);
    const startMs = performance.now();
    await kit.fetch(kit.source(file), { bandwidth: limiter.join() });
    expect(performance.now() - startMs).toBeGreaterThan(1_000);
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });

  it('stops at once when told to, however long it would be held', async () => {
    const kit = await serveOn(good);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 500);
    const startMs = performance.now();
    await expect(
      kit.fetch(kit.source(file), {
        bandwidth: new Limiter(1024).join(),
        signal: stop.signal,
      }),
    ).rejects.toMatchObject({ code: 'Cancelled' });
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });

  it('is not taken for a server that fell silent or drips', async () => {
    const small = file.subarray(0, MIB);
    const kit = await serveOn((request) => honest(request, small, { etag: '"one"' }));
    await kit.fetch(kit.source(small), {
      bandwidth: new Limiter(400 * 1024).join(),
      limits: { idleMs: 200, floorMs: 200, floorBytesPerSecond: 10 * MIB },
    });
    expect(kit.notes).toEqual([]);
  });
});
