/**
 * Kill everything, lose nothing (N01). Real processes, SIGKILL, and the sandbox's own ledger as the judge: the file is
 * exact, and the provider served at most its size plus one journal block for each interruption.
 */
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { newKey, sha256Of, startProduct, type RunningProduct } from '../support/product.js';

const BLOCK_BYTES = 4 * 1024 * 1024;
const SOCKET_BUFFERS_IN_BLOCKS = 3;

let product: RunningProduct;
beforeAll(async () => {
  // Products of some 20 to 40 MB at 6 MB/s: long enough to be killed in the middle of.
  product = await startProduct({
    workers: 2,
    sandbox: { scale: 0.04, bytesPerSecond: 6_000_000 },
  });
  await product.workers[1]!.stop();
});
afterAll(() => product.close());

afterEach(async () => {
  expect(unverifiedPublicNames()).toEqual([]);
});

/** One product, freshly fetched whatever is held. */
const oneProduct = { max_products: 1, if_exists: 'replace' as const };

async function start(headers: Record<string, string> = {}): Promise<string> {
  product.sandbox.resetLedger();
  return (await product.submit(oneProduct, headers)).job_id;
}

const halfWay = (jobId: string, share = 0.4) =>
  product.until(
    jobId,
    ({ bytes_downloaded, bytes_total }) =>
      bytes_total !== null && bytes_downloaded > share * bytes_total,
  );

/** Succeeded, exact, and nothing served beyond the bound. */
async function expectExact(jobId: string, interruptions: number): Promise<void> {
  expect(await product.ended(jobId)).toMatchObject({ state: 'succeeded', products_done: 1 });
  const [path] = (await product.result(jobId)).paths as [string];
  const [truth] = await product.sandbox.products({ id: path.split('/').at(-2)!, digests: true });
  expect(await sha256Of(join(product.dataDir, path))).toBe(truth!.sha256);
  const served = product.sandbox.ledger().bytesByProduct[truth!.id]!;
  expect(served).toBeGreaterThanOrEqual(truth!.sizeBytes);
  expect(served).toBeLessThanOrEqual(truth!.sizeBytes + interruptions * BLOCK_BYTES);
  const numbers = (await product.events(jobId)).map(({ number }) => number);
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
}

/** I1: nothing but verified files stands under a public name. */
function unverifiedPublicNames(): string[] {
  return product.publicFiles().filter((path) => /\.(part|tmp|journal)/.test(path));
}

async function serverIsBack(): Promise<void> {
  for (;;) {
    const health = await product.request('/v1/health/ready').catch(() => null);
    if (health?.ok) return;
    await sleep(100);
  }
}

describe('a part is killed', () => {
  it('F077 the worker, in the middle of a file, three times', async () => {
    const jobId = await start();
    for (const share of [0.2, 0.45, 0.7]) {
      await halfWay(jobId, share);
      await product.workers[0]!.kill('SIGKILL');
      await product.workers[0]!.start();
    }
    await expectExact(jobId, 3);
    const types = (await product.events(jobId)).map(({ type }) => type);
    expect(types).toContain('transfer.resumed');
  });

  it('F078 the API, during submit: the same key gives the same job', async () => {
    const key = { 'Idempotency-Key': newKey() };
    product.sandbox.resetLedger();
    const lost = product.submit(oneProduct, key).then(
      ({ job_id }) => job_id,
      () => null,
    );
    await sleep(Math.random() * 30);
    await product.api.kill('SIGKILL');
    const before = await lost;
    await product.api.start();
    const { job_id } = await product.submit(oneProduct, key);
    if (before !== null) expect(job_id).toBe(before);
    await expectExact(job_id, 0);
    expect((await product.events(job_id)).filter(({ type }) => type === 'job.queued')).toHaveLength(
      1,
    );
  });

  it('F079 Temporal, in the middle of a file', async () => {
    const jobId = await start();
    await halfWay(jobId);
    await product.temporal.process.kill('SIGKILL');
    const health = await product.request('/v1/health');
    expect(((await health.json()) as { status: string }).status).toBe('degraded');
    const refused = await product.request('/v1/jobs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify((await product.job(jobId)).request),
    });
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).not.toBeNull();
    await product.temporal.process.start();
    await expectExact(jobId, 1);
    await serverIsBack();
  });

  it('F080 mongod, in the middle of a file: the download goes on and the mirror catches up', async () => {
    const jobId = await start();
    await halfWay(jobId, 0.2);
    await product.mongod!.process.kill('SIGKILL');
    await sleep(6_000);
    await product.mongod!.process.start();
    await expectExact(jobId, 0);
  });

  it('F080 mongod, when a job is accepted: the job is there as soon as the mirror is', async () => {
    await product.workers[0]!.stop();
    await product.mongod!.process.kill('SIGKILL');
    const jobId = await start();
    await product.mongod!.process.start();
    const first = await vi.waitFor(async () => {
      const answer = await product.request(`/v1/jobs/${jobId}`);
      expect(answer.status).not.toBe(503);
      return answer;
    }, 30_000);
    expect(first.status).toBe(200);
    expect(await first.json()).toMatchObject({ job_id: jobId, state: 'queued' });
    await product.workers[0]!.start();
    await expectExact(jobId, 0);
  });

  it('F084 SIGTERM drains: the worker lets go at once and another one goes on from the byte', async () => {
    const jobId = await start();
    await halfWay(jobId);
    await product.workers[1]!.start();
    const askedMs = Date.now();
    await product.workers[0]!.stop();
    expect(Date.now() - askedMs).toBeLessThan(12_000);
    // Until the worker has closed its sockets the provider goes on filling them.
    await expectExact(jobId, 2);
    await product.workers[0]!.start();
    await product.workers[1]!.stop();
  });

  it('F043 a worker that was frozen past its lease cannot disturb the one that took over', async () => {
    const jobId = await start();
    await halfWay(jobId, 0.2);
    await product.workers[1]!.start();
    await product.workers[0]!.kill('SIGSTOP');
    await sleep(8_000);
    await product.workers[0]!.kill('SIGCONT');
    // While it was frozen the provider went on filling its socket buffers: bytes served that nobody could keep.
    await expectExact(jobId, 1 + SOCKET_BUFFERS_IN_BLOCKS);
    await product.workers[1]!.stop();
  });

  it('F081 everything at once, restarted in any order', async () => {
    const jobId = await start();
    await halfWay(jobId);
    const parts = [
      product.workers[0]!,
      product.api,
      product.temporal.process,
      product.mongod!.process,
    ];
    await Promise.all(parts.map((part) => part.kill('SIGKILL')));
    const order = shuffle(parts, process.env['NIMBUS_TEST_SEED'] ?? randomUUID());
    for (const part of order) await part.start();
    // On a busy machine the worker has not read all that its sockets held when it is killed.
    await expectExact(jobId, 2);
  });
});

describe('cancelling', () => {
  it('stops the transfer within 2 s, frees the connection and leaves nothing behind', async () => {
    const jobId = await start();
    await halfWay(jobId, 0.1);
    const askedMs = Date.now();
    const response = await product.request(`/v1/jobs/${jobId}`, { method: 'DELETE' });
    expect(response.status).toBe(202);
    while (product.sandbox.ledger().downloadsNow > 0) await sleep(20);
    expect(Date.now() - askedMs).toBeLessThan(2_000);
    const job = await product.ended(jobId);
    expect(job.state).toBe('cancelled');
    expect(partials()).toEqual([]);
    const again = await product.request(`/v1/jobs/${jobId}`, { method: 'DELETE' });
    expect(again.status).toBe(200);
    expect((await product.result(jobId)).paths).toEqual([]);
  });
});

describe('two jobs want one product', () => {
  it('F071 the first is cancelled: the second goes on from its bytes, having said what it waited for', async () => {
    const first = await start();
    await halfWay(first, 0.2);
    const { job_id: second } = await product.submit(oneProduct);
    await product.until(second, ({ waiting }) => waiting !== null);
    await product.request(`/v1/jobs/${first}`, { method: 'DELETE' });
    await expectExact(second, 1);
    expect((await product.job(first)).state).toBe('cancelled');
  });
});

describe('the mirror is dropped', () => {
  it('F105 rebuild restores jobs, results and events with the same numbers, types and times', async () => {
    const { MongoClient } = await import('mongodb');
    const jobId = await start();
    await expectExact(jobId, 0);
    const [before, result, events] = await Promise.all([
      product.job(jobId),
      product.result(jobId),
      product.events(jobId),
    ]);
    const client = new MongoClient(product.mongod!.uri);
    await client.db('nimbus').dropDatabase();
    await client.close();

    const { execFile } = await import('node:child_process');
    const code = await new Promise((resolve) => {
      execFile(process.execPath, ['bin/nimbus.mjs', 'rebuild'], { env: product.env }, (error) =>
        resolve(error?.code ?? 0),
      );
    });
    expect(code).toBe(0);
    expect(await product.job(jobId)).toEqual(before);
    expect(await product.result(jobId)).toEqual(result);
    expect(await product.events(jobId)).toEqual(events);
  });
});

function partials(): string[] {
  try {
    return readdirSync(join(product.dataDir, '.partial'));
  } catch {
    return [];
  }
}

/** Deterministic by seed. */
function shuffle<T>(items: T[], seed: string): T[] {
  console.log(`restart order by seed ${seed}`);
  let state = [...seed].reduce((sum, character) => (sum * 31 + character.charCodeAt(0)) >>> 0, 7);
  return items
    .map((item) => ({ item, key: (state = (state * 1664525 + 1013904223) >>> 0) }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
