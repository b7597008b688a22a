/** D23: which limit a worker keeps follows from the environment, from what was set live, and from the clock. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  createBandwidthControl,
  linesInForce,
  readLiveBandwidth,
  writeLiveBandwidth,
  type BandwidthSettings,
} from '../../../src/engine/bandwidth.js';
import { ServiceError } from '../../../src/jobs/error-codes.js';

const MIB = 1024 * 1024;
const friday = (time: string) => Date.parse(`2026-11-20T${time}:00Z`);

let record: unknown;
let fails: Error | null;
const store = {
  getRecord: async () => {
    if (fails) throw fails;
    if (record === undefined) throw new ServiceError('NotFound', 'There is no such file');
    return structuredClone(record);
  },
  putRecord: async (_path: string, value: unknown) => void (record = value),
};
let stop: AbortController;
let logged: unknown[];
const logger = {
  info: (facts: unknown) => void logged.push(facts),
  warn: (_facts: unknown, message: string) => void logged.push(message),
} as never;
let nowMs: number;

beforeEach(() => {
  record = undefined;
  fails = null;
  stop = new AbortController();
  logged = [];
  nowMs = friday('12:00');
});
afterEach(() => stop.abort());

const control = (limits: BandwidthSettings['limits'] = {}) =>
  createBandwidthControl({ limits, timeZone: 'UTC' }, store, logger, stop.signal, () => nowMs);

/** How long 10 MiB are held, in seconds. */
const holdOf = (bandwidth: { take: (bytes: number) => number }) =>
  Math.round(bandwidth.take(10 * MIB) / 1000);

describe('D23 the bandwidth of a worker', () => {
  it('is unlimited unless something is said', () => {
    expect(holdOf(control().of('copernicus'))).toBe(0);
  });

  it('is that of all and that of the provider, the slower one', () => {
    const { of } = control({ all: '2M', copernicus: '1M', usgs: '5M' });
    expect(holdOf(of('copernicus'))).toBe(10);
    // Shares the line for all with the first, which has booked 10 MiB on it.
    expect(holdOf(of('usgs'))).toBe(10);
  });

  it('follows its table by the clock', async () => {
    const { of, look } = control({ all: '08:00,1M 18:00,off' });
    expect(holdOf(of('copernicus'))).toBe(10);
    nowMs = friday('18:00');
    await look();
    expect(holdOf(of('copernicus'))).toBe(0);
    expect(logged).toEqual([
      { line: 'all', limit: '1M' },
      { line: 'all', limit: 'off' },
    ]);
  });

  it('is changed live for transfers under way, and goes back to the environment', async () => {
    const { of, look } = control({ all: '1M' });
    const transfer = of('copernicus');
    expect(holdOf(transfer)).toBe(10);
    await writeLiveBandwidth(store, 'all', { text: 'off', time_zone: 'UTC' });
    await look();
    expect(transfer.take(0)).toBe(0);
    await writeLiveBandwidth(store, 'copernicus', { text: '5M', time_zone: 'UTC' });
    await look();
    expect(holdOf(transfer)).toBe(2);
    await writeLiveBandwidth(store, 'copernicus', null);
    await writeLiveBandwidth(store, 'all', null);
    await look();
    expect(holdOf(transfer)).toBe(10);
  });

  it('is looked at again and again by itself, until the worker stops', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const transfer = control().of('copernicus');
      await writeLiveBandwidth(store, 'all', { text: '1M', time_zone: 'UTC' });
      await vi.advanceTimersByTimeAsync(2_000);
      expect(holdOf(transfer)).toBe(10);
      stop.abort();
      await writeLiveBandwidth(store, 'all', null);
      await vi.advanceTimersByTimeAsync(10_000);
      expect(holdOf(transfer)).toBe(20);
    } finally {
      vi.useRealTimers();
    }
  });

  it('stays as it is while the record cannot be read or says nonsense, and that is said once', async () => {
    await writeLiveBandwidth(store, 'all', { text: '1M', time_zone: 'UTC' });
    const { of, look } = control({ all: '20M' });
    await look();
    const before = logged.length;
    fails = new ServiceError('StoreUnavailable', 'Storage failed');
    await look();
    await look();
    fails = null;
    for (const nonsense of [{ limits: 3 }, { limits: { all: { text: 'x', time_zone: 'UTC' } } }]) {
      record = nonsense;
      await look();
      expect(holdOf(of('copernicus'))).toBeGreaterThan(0);
    }
    expect(logged.slice(before)).toEqual(['live bandwidth limits cannot be read']);
    expect(holdOf(of('usgs'))).toBeGreaterThanOrEqual(10);
  });

  it('changes one line and leaves the others', async () => {
    await writeLiveBandwidth(store, 'all', { text: '1M', time_zone: 'UTC' });
    await writeLiveBandwidth(store, 'usgs', {
      text: '08:00,2M 18:00,off',
      time_zone: 'Asia/Tokyo',
    });
    await writeLiveBandwidth(store, 'copernicus', { text: '3M', time_zone: 'UTC' });
    await writeLiveBandwidth(store, 'copernicus', null);
    const settings = { limits: { copernicus: '7M', all: '9M' }, timeZone: 'UTC' };
    const lines = linesInForce(settings, await readLiveBandwidth(store));
    expect(lines.map(({ line, source, table }) => [line, source, table.text])).toEqual([
      ['all', 'live', '1M'],
      ['copernicus', 'environment', '7M'],
      ['usgs', 'live', '08:00,2M 18:00,off'],
    ]);
    expect(lines[2]!.table.timeZone).toBe('Asia/Tokyo');
  });
});
