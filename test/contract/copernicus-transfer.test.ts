/** Provider and transfer engine together, against the sandbox: what neither shows alone. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createCopernicus } from '../../src/providers/copernicus/copernicus.provider.js';
import { createSandbox, type SandboxOptions } from '../../src/sandbox/sandbox.js';
import { createTransferEngine } from '../../src/transfer/index.js';

const never = new AbortController().signal;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(options: SandboxOptions) {
  const sandbox = await createSandbox({ products: 200, scale: 0.002, ...options });
  cleanups.push(() => sandbox.close());
  const provider = createCopernicus({ ...sandbox, connections: 4 });
  cleanups.push(() => provider.close());
  const directory = await mkdtemp(join(tmpdir(), 'nimbus-copernicus-'));
  cleanups.push(() => rm(directory, { recursive: true, force: true }));
  const [listed] = await sandbox.products({ filter: "contains(Name,'MSIL2A') and Online eq true" });
  const [truth] = await sandbox.products({ id: listed!.id, digests: true });
  const [product] = await provider.find([truth!.id], never);
  const engine = createTransferEngine();
  cleanups.push(() => engine.close());
  const transfer = () => engine.transfer(provider.source(product!), { directory, signal: never });
  return { sandbox, truth: truth!, transfer };
}

describe('a download from Copernicus', () => {
  it('F034 outlives several tokens: cut after each has expired, it goes on with a new one', async () => {
    const { sandbox, truth, transfer } = await setUp({ tokenLifetimeSeconds: 1 });
    const third = Math.floor(truth.sizeBytes / 3);
    const cut = { bytesPerSecond: third / 1.2, cutAfterBytes: third };
    sandbox.script([{ match: { product: truth.id, method: 'GET' }, steps: [cut, cut] }]);
    const result = await transfer();
    expect(result.bytes).toBe(truth.sizeBytes);
    expect(result.checksum.level).toBe('provider');
    const { logins, refreshes } = sandbox.ledger();
    expect(logins).toBe(1);
    expect(refreshes).toBeGreaterThanOrEqual(2);
  });

  it('F035 logs in again when the session has ended too', async () => {
    const { sandbox, truth, transfer } = await setUp({
      tokenLifetimeSeconds: 1,
      refreshLifetimeSeconds: 1,
    });
    const half = Math.floor(truth.sizeBytes / 2);
    const cut = { bytesPerSecond: half / 1.5, cutAfterBytes: half };
    sandbox.script([{ match: { product: truth.id, method: 'GET' }, action: cut }]);
    expect((await transfer()).bytes).toBe(truth.sizeBytes);
    const { logins, loginsRefused } = sandbox.ledger();
    expect(logins).toBeGreaterThanOrEqual(2);
    expect(logins).toBeLessThanOrEqual(3);
    expect(loginsRefused).toBe(0);
  });
});
