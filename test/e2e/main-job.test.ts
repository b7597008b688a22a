import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newKey, sha256Of, startProduct, type RunningProduct } from '../support/product.js';
import { followEvents } from '../support/sse.js';

const canary = 'canary-7f3a9c-secret';

describe('the main job, end to end', () => {
  let product: RunningProduct;
  beforeAll(async () => {
    product = await startProduct({ password: canary, env: { NIMBUS_LOG_LEVEL: 'debug' } });
  });
  afterAll(() => product.close());

  it('turns the guide’s request into verified files, a manifest and a complete story', async () => {
    const job = await product.submit();
    expect(job).toMatchObject({
      state: 'queued',
      provider: 'copernicus',
      collection: 'SENTINEL-2',
      progress: 0,
    });
    const done = await product.ended(job.job_id);
    expect(done).toMatchObject({ state: 'succeeded', progress: 100, products_failed: 0 });
    expect(done.products_total).toBeGreaterThan(1);

    const result = await product.result(job.job_id);
    expect(result.paths).toHaveLength(done.products_done);
    for (const path of result.paths) {
      const [truth] = await product.sandbox.products({
        id: path.split('/').at(-2)!,
        digests: true,
      });
      expect(await sha256Of(join(product.dataDir, path))).toBe(truth!.sha256);
      expect(result.checksums[path]!.level).toBe('provider');
    }
    const events = await product.events(job.job_id);
    expect(events.map(({ number }) => number)).toEqual(events.map((_, index) => index + 1));
    expect(events.at(0)!.type).toBe('job.queued');
    expect(events.at(-1)!.type).toBe('job.succeeded');
    expect(events.filter(({ type }) => type === 'product.completed')).toHaveLength(
      done.products_done,
    );
  });

  it('a second job for the same request reuses every file and fetches nothing', async () => {
    product.sandbox.resetLedger();
    const { job_id } = await product.submit();
    const done = await product.ended(job_id);
    const types = (await product.events(job_id)).map(({ type }) => type);
    expect(types.filter((type) => type === 'product.reused')).toHaveLength(done.products_done);
    expect(product.sandbox.ledger().bytesByProduct).toEqual({});
  });

  it('F062 a file that was damaged on disk is found and fetched again', async () => {
    const [path] = product.publicFiles().filter((name) => name.startsWith('copernicus/')) as [
      string,
    ];
    const { truncateSync } = await import('node:fs');
    const bytes = statSync(join(product.dataDir, path)).size;
    truncateSync(join(product.dataDir, path), bytes - 1);
    const { job_id } = await product.submit();
    expect((await product.ended(job_id)).state).toBe('succeeded');
    expect(statSync(join(product.dataDir, path)).size).toBe(bytes);
    expect(
      (await product.events(job_id)).filter(({ type }) => type === 'product.completed'),
    ).toHaveLength(1);
  });

  it('F106 a hundred identical submits with one key at once become one workflow', async () => {
    const headers = { 'Idempotency-Key': newKey() };
    const jobs = await Promise.all(Array.from({ length: 100 }, () => product.submit({}, headers)));
    expect(new Set(jobs.map(({ job_id }) => job_id)).size).toBe(1);
    await product.ended(jobs[0]!.job_id);
    const events = await product.events(jobs[0]!.job_id);
    expect(events.filter(({ type }) => type === 'job.queued')).toHaveLength(1);
  });

  it('F107 the same key with another body is refused', async () => {
    const headers = { 'Idempotency-Key': newKey() };
    await product.submit({}, headers);
    await expect(product.submit({ max_products: 1 }, headers)).rejects.toThrow(/422/);
  });

  it('F109 a stream that is cut and resumed gives each event once, in order', async () => {
    const { job_id } = await product.submit({ if_exists: 'replace' });
    const first = await followEvents(`${product.apiUrl}/v1/events?job_id=${job_id}`, {
      stopAfter: (seen) => seen.filter(({ id }) => id !== undefined).length >= 2,
    });
    await product.ended(job_id);
    const lastId = first.findLast(({ id }) => id !== undefined)!.id!;
    const rest = await followEvents(`${product.apiUrl}/v1/events?job_id=${job_id}`, {
      lastEventId: lastId,
      stopAfter: (seen) => seen.some(({ event }) => event === 'job.succeeded'),
    });
    const numbers = [...first, ...rest]
      .filter(({ event }) => event !== 'job.progress' && event !== 'snapshot')
      .map(({ data }) => data.number as number);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    const stored = (await product.events(job_id)).map(({ number }) => number);
    expect(numbers.at(-1)).toBe(stored.at(-1));
    expect(stored.slice(-numbers.length)).toEqual(numbers);
  });

  it('lists jobs by the guide’s filters', async () => {
    const response = await product.request(
      '/v1/jobs?state=succeeded&provider=copernicus&page=1&page_size=2',
    );
    const page = (await response.json()) as any;
    expect(page.items).toHaveLength(2);
    expect(page.total).toBeGreaterThan(2);
    expect(page.next_cursor).toEqual(expect.any(String));
  });

  it('answers running Copernicus jobs by a filter in Temporal', async () => {
    const { openClient } = await import('../../src/engine/connection.js');
    const { client, close } = openClient({ TEMPORAL_ADDRESS: product.temporal.address });
    const found: string[] = [];
    const query =
      'NimbusProvider = "copernicus" AND NimbusState = "succeeded" AND NimbusCollection = "SENTINEL-2"';
    for await (const { workflowId } of client.workflow.list({ query })) found.push(workflowId);
    await close();
    expect(found.length).toBeGreaterThan(1);
  });

  it('serves a file with ranges and its digest as ETag', async () => {
    const { items } = (await (
      await product.request('/v1/jobs?state=succeeded&page_size=1')
    ).json()) as any;
    const result = await product.result(items[0].job_id as string);
    const [path] = result.paths as [string];
    const response = await product.request(`/v1/jobs/${result.job_id}/files/${path}`, {
      headers: { range: 'bytes=0-3' },
    });
    expect(response.status).toBe(206);
    expect(Buffer.from(await response.arrayBuffer()).toString('latin1')).toBe('PK\u0003\u0004');
    expect(response.headers.get('etag')).toContain(result.checksums[path]!.value);
  });

  it('F137 the account’s password is nowhere: logs, answers, events, manifests, histories', async () => {
    const places: string[] = [];
    for (const directory of [product.logDir, product.dataDir])
      for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
        if (entry.isFile() && statSync(join(entry.parentPath, entry.name)).size < 20_000_000)
          places.push(readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    for (const path of ['/v1/jobs', '/v1/providers', '/v1/health', '/v1/metrics', '/openapi.json'])
      places.push(await (await product.request(path)).text());
    const { openClient } = await import('../../src/engine/connection.js');
    const { client, close } = openClient({ TEMPORAL_ADDRESS: product.temporal.address });
    for await (const { workflowId, runId } of client.workflow.list())
      places.push(
        JSON.stringify(await client.workflow.getHandle(workflowId, runId).fetchHistory()),
      );
    await close();
    expect(places.length).toBeGreaterThan(20);
    expect(places.filter((text) => text.includes(canary))).toEqual([]);
  });
});
