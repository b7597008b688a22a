import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { governTransfer } from '../../../activities/governed-transfer.js';
import { createLocalStore, type LocalStore } from '../../../src/artifacts/index.js';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import type { Bandwidth } from '../../../src/transfer/bandwidth.js';
import { createConnectionSlots } from '../../../src/transfer/index.js';
import type { TransferResult, TransferSource } from '../../../src/transfer/transfer.js';

let root: string;
/** Fits once, and not twice. */
let half: number;
let store: LocalStore;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'nimbus-governed-'));
  store = createLocalStore({ root });
  await store.prepare();
  half = Math.floor((await store.freeBytes()) * 0.6);
});
afterEach(async () => {
  await store.close();
  await rm(root, { recursive: true, force: true });
});

const slots = createConnectionSlots(3);
const line: Bandwidth = { take: () => 0 };
const source = (expectedBytes: number | null) => ({ expectedBytes }) as TransferSource;
const options = (key: string) => ({
  directory: store.partialDirectory(key),
  signal: new AbortController().signal,
});
const result = { bytes: 1 } as TransferResult;

function govern(outcome: () => Promise<TransferResult>) {
  const seen: unknown[] = [];
  const providers: string[] = [];
  const transfer = governTransfer(
    {
      store,
      bandwidth: (provider) => (providers.push(provider), line),
      slots: () => slots,
      transfer: async (_source, given) => {
        seen.push(given.bandwidth, given.slots);
        return await outcome();
      },
    },
    'usgs',
  );
  return { transfer, seen, providers };
}

describe('a governed transfer', () => {
  it('F066 does not begin where there is no room', async () => {
    const { transfer, seen } = govern(async () => result);
    await expect(transfer(source(3 * half), options('a'))).rejects.toMatchObject({
      code: 'StorageFull',
    });
    expect(seen).toEqual([]);
    expect(await transfer(source(null), options('a'))).toBe(result);
  });

  it('F066 holds its room until it is published or dropped, and gives it back when it fails', async () => {
    const { transfer } = govern(async () => result);
    await transfer(source(half), options('a'));
    await expect(transfer(source(half), options('b'))).rejects.toMatchObject({
      code: 'StorageFull',
    });
    await store.discard('a');

    const failed = govern(() => Promise.reject(new ServiceError('SourceUnavailable', 'cut')));
    await expect(failed.transfer(source(half), options('b'))).rejects.toMatchObject({
      code: 'SourceUnavailable',
    });
    expect(await transfer(source(half), options('c'))).toBe(result);
  });

  it("D23 has a share of its provider's bandwidth, and of its connections", async () => {
    const { transfer, seen, providers } = govern(async () => result);
    await transfer(source(1), options('a'));
    expect(seen).toEqual([line, slots]);
    expect(providers).toEqual(['usgs']);
  });
});
