import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { withDeadline } from '../../../src/providers/copernicus/deadline.js';
import { unlessAborted } from '../../../src/transfer/index.js';
import { never } from './doubles.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const forEver = new Promise<never>(() => {});

describe('a deadline', () => {
  it('comes though the collector has been round, and though nothing hears the signal', async () => {
    const collecting = setInterval(collectGarbage, 10);
    try {
      await expect(withDeadline(200, never, () => forEver)).rejects.toMatchObject({
        name: 'TimeoutError',
      });
    } finally {
      clearInterval(collecting);
    }
  });

  it('tells the work too', async () => {
    let told: AbortSignal | null = null;
    await expect(withDeadline(20, never, (signal) => ((told = signal), forEver))).rejects.toThrow();
    expect(told).toMatchObject({ aborted: true });
  });

  it('is the caller’s signal as well, before the time and before the beginning', async () => {
    const stop = new AbortController();
    const waiting = withDeadline(60_000, stop.signal, () => forEver);
    stop.abort(new Error('cancelled by the user'));
    await expect(waiting).rejects.toThrow('cancelled by the user');
    await expect(withDeadline(60_000, stop.signal, () => forEver)).rejects.toThrow('cancelled');
    const failing = unlessAborted(Promise.reject(new Error('too late')), stop.signal);
    await expect(failing).rejects.toThrow('cancelled');
  });

  it('leaves nothing on the caller’s signal', async () => {
    const { signal } = new AbortController();
    for (let turn = 0; turn < 20; turn++) await withDeadline(60_000, signal, async () => turn);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
