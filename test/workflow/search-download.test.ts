import { randomUUID } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { WorkflowFailedError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toApplicationFailure } from '../../activities/failures.js';
import type { Activities } from '../../activities/index.js';
import { downloadWorkflowId } from '../../src/jobs/ids.js';
import { ServiceError } from '../../src/jobs/error-codes.js';
import { createEventLog, startServerBench, type ServerBench } from '../support/workflow-bench.js';
import { jobHeader } from '../support/products.js';
import { saveHistory } from '../support/histories.js';

let server: ServerBench;
beforeAll(async () => {
  server = await startServerBench();
});
afterAll(() => server.close());

const completed = {
  outcome: 'completed' as const,
  artifacts: [],
  bytes: 100,
  bytes_fetched: 100,
  damaged_before: false,
};
const quick = {
  patience: { firstMs: 10, longestMs: 50, giveUpMs: 60_000, restarts: 3, surprises: 3 },
};

/** Activities of a job that finds `ids` and fetches each of them; single ones replaced as a test needs. */
function activities(ids: string[], change: Partial<Activities> = {}, missing: string[] = []) {
  const log = createEventLog();
  const chunkOf = (chunk: number) => ({
    record: `chunk-${chunk}`,
    products: ids
      .slice(chunk * chunkSizeOf(ids), (chunk + 1) * chunkSizeOf(ids))
      .map((id) => ({ id, name: `${id}.SAFE`, bytes: 100 })),
  });
  const all: Partial<Activities> = {
    recordEvents: log.recordEvents,
    searchPage: async ({ chunkSize }) => ({
      next: null,
      plan: {
        total: ids.length,
        products: ids.length,
        repeats: 0,
        leftOut: 0,
        bytesTotal: ids.length * 100,
        chunks: Math.ceil(ids.length / chunkSize),
        ...(ids.length === 0 ? {} : { first: chunkOf(0) }),
      },
      repairs: [],
      missing,
    }),
    readChunk: async ({ chunk }) => chunkOf(chunk),
    fetchProduct: async () => completed,
    discardPartial: async () => undefined,
    ...change,
  };
  return { all, log, manifests: () => log.manifests() };
}
const chunkSizeOf = (ids: string[]): number => (ids.length > 10 ? 5 : 100);

function ids(count: number): string[] {
  const run = randomUUID();
  return Array.from({ length: count }, (_, index) => `${run}-${index}`);
}

describe('searchDownload', () => {
  it('searches, fetches every product, writes the manifest last, and tells each step once', async () => {
    const { all, log, manifests } = activities(ids(3));
    const bench = await server.withActivities(all);
    const header = jobHeader(randomUUID());
    const handle = await bench.start(header);
    const snapshot = await handle.result();
    expect(snapshot).toMatchObject({
      state: 'succeeded',
      products_done: 3,
      products_failed: 0,
      bytes_done: 300,
      in_flight: [],
    });
    expect(log.numbers()).toEqual(log.numbers().map((_, index) => index + 1));
    expect(log.types().slice(0, 3)).toEqual(['job.queued', 'job.started', 'search.completed']);
    expect(log.types().filter((type) => type === 'product.completed')).toHaveLength(3);
    expect(log.types().at(-1)).toBe('job.succeeded');
    expect(log.events[0]!.at).toBe(header.created_at);
    expect(manifests()).toBe(1);
    await saveHistory(handle, 'search-download.succeeded');
    const child = downloadWorkflowId('copernicus', log.events.at(3)!.data['product_id'] as string);
    await saveHistory(bench.client.workflow.getHandle(child), 'download.succeeded');
    await bench.close();
  });

  it('tells in one recording what is told in one step', async () => {
    const { all, log } = activities(ids(1));
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID()));
    await handle.result();
    expect(log.recordings).toEqual([
      ['job.queued', 'job.started'],
      ['search.completed', 'product.started'],
      ['product.completed', 'job.succeeded'],
    ]);
    await bench.close();
  });

  it('continues as new after each chunk and keeps counting where it was', async () => {
    const all12 = ids(12);
    const { all, log } = activities(all12);
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID()), { chunkSize: 5, window: 2 });
    expect(await handle.result()).toMatchObject({ state: 'succeeded', products_done: 12 });
    expect(log.numbers()).toEqual(log.numbers().map((_, index) => index + 1));
    const { runId } = await handle.describe();
    expect(runId).not.toBe(handle.firstExecutionRunId);
    const first =
      server.connection &&
      bench.client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId);
    await saveHistory(first, 'search-download.continued');
    await bench.close();
  });

  it('succeeds with failures under on_error "continue" and fails when every product failed', async () => {
    const [good, bad] = ids(2) as [string, string];
    const gone: Activities['fetchProduct'] = async ({ product_id }) => {
      if (product_id === good) return completed;
      throw toApplicationFailure(new ServiceError('SourceGone', 'deleted at the provider'));
    };
    const some = activities([good, bad], { fetchProduct: gone });
    const benchSome = await server.withActivities(some.all);
    const someHandle = await benchSome.start(jobHeader(randomUUID()), quick);
    expect(await someHandle.result()).toMatchObject({
      state: 'succeeded',
      products_done: 1,
      products_failed: 1,
    });
    expect(some.log.events.find(({ type }) => type === 'product.failed')!.data).toMatchObject({
      error: { code: 'SourceGone' },
    });
    await benchSome.close();

    const none = activities([bad], { fetchProduct: gone });
    const benchNone = await server.withActivities(none.all);
    const noneHandle = await benchNone.start(jobHeader(randomUUID()), quick);
    await expect(noneHandle.result()).rejects.toThrow(WorkflowFailedError);
    expect(none.log.types().at(-1)).toBe('job.failed');
    expect(none.log.last()).toMatchObject({ state: 'failed', error: { code: 'SourceGone' } });
    await saveHistory(noneHandle, 'search-download.failed');
    await benchNone.close();
  });

  it('stops at the first failure under on_error "stop" and cancels what is in flight', async () => {
    const [bad, slow] = ids(2) as [string, string];
    let cancelled = false;
    const { all, log } = activities([bad, slow], {
      fetchProduct: async ({ product_id }) => {
        if (product_id === bad)
          throw toApplicationFailure(new ServiceError('SourceGone', 'deleted'));
        return await untilCancelled(() => (cancelled = true));
      },
    });
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID(), { on_error: 'stop' }), quick);
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(cancelled).toBe(true);
    expect(log.last()).toMatchObject({ state: 'failed', products_failed: 1 });
    await bench.close();
  });

  it('when cancelled drops unfinished bytes, keeps what is done, and ends cancelled', async () => {
    const [done, slow] = ids(2) as [string, string];
    const discarded: string[] = [];
    let started: () => void = () => undefined;
    const transferring = new Promise<void>((resolve) => (started = resolve));
    const { all, log, manifests } = activities([done, slow], {
      fetchProduct: async ({ product_id }) => {
        if (product_id === done) return completed;
        started();
        return await untilCancelled(() => undefined);
      },
      discardPartial: async ({ product_id }) => void discarded.push(product_id),
    });
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID()), { window: 2 });
    await transferring;
    await waitFor(() => log.types().includes('product.completed'));
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(discarded).toEqual([slow]);
    expect(log.types().at(-1)).toBe('job.cancelled');
    expect(log.last()).toMatchObject({
      state: 'cancelled',
      products_done: 1,
      manifest: expect.any(String),
    });
    expect(manifests()).toBe(1);
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    await saveHistory(handle, 'search-download.cancelled');
    await saveHistory(
      bench.client.workflow.getHandle(downloadWorkflowId('copernicus', slow)),
      'download.cancelled',
    );
    await bench.close();
  });

  it('waits as long as the provider asks, says so, and goes on', async () => {
    let tries = 0;
    const { all, log } = activities(ids(1), {
      fetchProduct: async () => {
        tries++;
        if (tries === 1)
          throw toApplicationFailure(
            new ServiceError('SourceThrottled', 'max sessions', { retryAfterMs: 300 }),
          );
        return completed;
      },
    });
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID()), quick);
    await handle.result();
    const waiting = log.events.find(({ type }) => type === 'job.waiting')!;
    expect(waiting.data).toMatchObject({
      code: 'SourceThrottled',
      waiting: { reason: 'quota', detail: 'max sessions' },
    });
    expect(log.last().waiting).toBeNull();
    await saveHistory(handle, 'search-download.throttled');
    await bench.close();
  });

  it('gives up on a checksum that stays wrong, and on a bug, after a few tries', async () => {
    for (const failure of [
      toApplicationFailure(new ServiceError('ChecksumMismatch', 'md5')),
      ApplicationFailure.create({ message: 'bug' }),
    ]) {
      let tries = 0;
      const { all, log } = activities(ids(1), {
        fetchProduct: async () => {
          tries++;
          throw failure;
        },
      });
      const bench = await server.withActivities(all);
      const handle = await bench.start(jobHeader(randomUUID()), quick);
      await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
      expect(tries).toBe(3);
      expect(log.last().state).toBe('failed');
      await bench.close();
    }
  });

  it('F071 two jobs that want one product fetch it once, and both end with it', async () => {
    const wanted = ids(1);
    let fetches = 0;
    const held = new Set<string>();
    const first = activities(wanted);
    const logs = [first.log, createEventLog()];
    const byJob = new Map<string, number>();
    const bench = await server.withActivities({
      ...first.all,
      recordEvents: async (input) => await logs[byJob.get(input.job_id)!]!.recordEvents(input),
      fetchProduct: async ({ product_id }) => {
        if (held.has(product_id))
          return { ...completed, outcome: 'reused' as const, bytes_fetched: 0 };
        fetches++;
        await new Promise((resolve) => setTimeout(resolve, 800));
        held.add(product_id);
        return completed;
      },
    });
    const headers = [jobHeader(randomUUID()), jobHeader(randomUUID())];
    headers.forEach(({ job_id }, index) => byJob.set(job_id, index));
    const handles = await Promise.all(headers.map((header) => bench.start(header)));
    const snapshots = await Promise.all(handles.map((handle) => handle.result()));
    expect(snapshots.map(({ state }) => state)).toEqual(['succeeded', 'succeeded']);
    expect(fetches).toBe(1);
    expect(
      logs
        .map((log) => log.types().find((type) => /^product\.(completed|reused)$/.test(type)))
        .sort(),
    ).toEqual(['product.completed', 'product.reused']);
    await bench.close();
  });

  it('F071 many jobs that want one product all end with it as soon as it is there', async () => {
    const wanted = ids(1);
    const held = new Set<string>();
    const { all } = activities(wanted);
    const activitiesOfAll: Partial<Activities> = {
      ...all,
      recordEvents: async () => undefined,
      fetchProduct: async ({ product_id }) => {
        if (held.has(product_id))
          return { ...completed, outcome: 'reused' as const, bytes_fetched: 0 };
        await new Promise((resolve) => setTimeout(resolve, 800));
        held.add(product_id);
        return completed;
      },
    };
    const bench = await server.withActivities(activitiesOfAll, { maxCachedWorkflows: 200 });
    const headers = Array.from({ length: 12 }, () => jobHeader(randomUUID()));
    // A job that nobody tells looks again by itself, but not while this test lasts.
    const untold = { followMs: 3_600_000 };
    const handles = await Promise.all(headers.map((header) => bench.start(header, untold)));
    const snapshots = await Promise.all(handles.map((handle) => handle.result()));
    expect(new Set(snapshots.map(({ state }) => state))).toEqual(new Set(['succeeded']));
    const lengths = await Promise.all(
      handles.map(async (handle) => (await handle.describe()).historyLength),
    );
    const longest = handles[lengths.indexOf(Math.max(...lengths))]!;
    await saveHistory(longest, 'search-download.followed');
    await bench.close();
  });

  it('D17 hands the selection to each download, and tells how much of each product it is', async () => {
    const assets = { include: ['*_B04_10m.jp2'], exclude: ['*_TCI_*'] };
    const asked: unknown[] = [];
    const [only] = ids(1) as [string];
    const { all, log } = activities([only], {
      fetchProduct: async (input) => {
        asked.push(input.assets);
        return { ...completed, selection: { files: 1, of: 90 } };
      },
    });
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID(), { assets }));
    expect(await handle.result()).toMatchObject({ state: 'succeeded', products_done: 1 });
    expect(asked).toEqual([assets]);
    const dataOf = (wanted: string) => log.events.find(({ type }) => type === wanted)!.data;
    expect(dataOf('product.started')).toMatchObject({ bytes: null });
    expect(dataOf('product.completed')).toMatchObject({ selection: { files: 1, of: 90 } });
    await saveHistory(handle, 'search-download.partial');
    await saveHistory(
      bench.client.workflow.getHandle(downloadWorkflowId('copernicus', only)),
      'download.partial',
    );
    await bench.close();
  });

  it('D17 patterns that are empty are no selection', async () => {
    const asked: unknown[] = [];
    const { all, log } = activities(ids(1), {
      fetchProduct: async (input) => (asked.push(input.assets), completed),
    });
    const bench = await server.withActivities(all);
    const assets = { include: [], exclude: [] };
    await (await bench.start(jobHeader(randomUUID(), { assets }))).result();
    expect(asked).toEqual([undefined]);
    expect(log.events.find(({ type }) => type === 'product.started')!.data).toMatchObject({
      bytes: 100,
    });
    await bench.close();
  });

  it('D17 F071 two jobs that want different files of one product fetch each once, one after the other', async () => {
    const wanted = ids(1);
    const selections = [['*_B04_*'], ['*_B08_*']].map((include) => ({ include, exclude: [] }));
    const running: string[] = [];
    const seen: { files: string; atOnce: number }[] = [];
    const first = activities(wanted);
    const logs = [first.log, createEventLog()];
    const byJob = new Map<string, number>();
    const bench = await server.withActivities({
      ...first.all,
      recordEvents: async (input) => await logs[byJob.get(input.job_id)!]!.recordEvents(input),
      fetchProduct: async ({ product_id, assets }) => {
        running.push(product_id);
        seen.push({ files: assets!.include[0]!, atOnce: running.length });
        await new Promise((resolve) => setTimeout(resolve, 500));
        running.pop();
        return { ...completed, selection: { files: 1, of: 90 } };
      },
    });
    const headers = selections.map((assets) => jobHeader(randomUUID(), { assets }));
    headers.forEach(({ job_id }, index) => byJob.set(job_id, index));
    const handles = await Promise.all(headers.map((header) => bench.start(header)));
    const snapshots = await Promise.all(handles.map((handle) => handle.result()));
    expect(snapshots.map(({ state }) => state)).toEqual(['succeeded', 'succeeded']);
    expect(seen.map(({ files }) => files).sort()).toEqual(['*_B04_*', '*_B08_*']);
    expect(seen.map(({ atOnce }) => atOnce)).toEqual([1, 1]);
    await bench.close();
  });

  it('D17 when cancelled drops the unfinished bytes of the selected files', async () => {
    const assets = { include: ['*_B04_10m.jp2'], exclude: [] };
    const [only] = ids(1) as [string];
    const discarded: unknown[] = [];
    let started: () => void = () => undefined;
    const transferring = new Promise<void>((resolve) => (started = resolve));
    const { all } = activities([only], {
      fetchProduct: async () => {
        started();
        return await untilCancelled(() => undefined);
      },
      discardPartial: async (input) => void discarded.push(input),
    });
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID(), { assets }));
    await transferring;
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(discarded).toEqual([{ provider: 'copernicus', product_id: only, assets }]);
    await saveHistory(
      bench.client.workflow.getHandle(downloadWorkflowId('copernicus', only)),
      'download.partial-cancelled',
    );
    await bench.close();
  });

  it('D25 ends cleanly where max_bytes leaves no room for another product whose size nobody announced', async () => {
    const all12 = ids(12);
    const running = new Set<string>();
    const atOnce: number[] = [];
    const WINDOW = 4;
    const { all, log, manifests } = activities(all12, {
      readChunk: async ({ chunk }) => ({
        record: `chunk-${chunk}`,
        products: all12
          .slice(chunk * 5, (chunk + 1) * 5)
          .map((id) => ({ id, name: `${id}.SAFE`, bytes: null })),
      }),
      fetchProduct: async ({ product_id }) => {
        running.add(product_id);
        atOnce.push(running.size);
        await new Promise((resolve) => setTimeout(resolve, 300));
        // On a slow machine the others of the window take their time.
        while (atOnce.length > 1 && !atOnce.includes(WINDOW))
          await new Promise((resolve) => setTimeout(resolve, 10));
        running.delete(product_id);
        return completed;
      },
    });
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID(), { max_bytes: 750 }), {
      chunkSize: 5,
      window: WINDOW,
    });
    expect(await handle.result()).toMatchObject({
      state: 'succeeded',
      products_total: 7,
      products_done: 7,
      products_failed: 0,
      bytes_done: 700,
    });
    // The first alone, then as many as the window holds.
    expect(atOnce[0]).toBe(1);
    expect(Math.max(...atOnce.slice(0, 5))).toBe(WINDOW);
    expect(log.events.at(-1)).toMatchObject({
      type: 'job.succeeded',
      data: { limited_by: 'max_bytes', left_out: 5 },
    });
    expect(manifests()).toBe(1);
    await saveHistory(handle, 'search-download.limited');
    await bench.close();
  });

  it('D25 begins nothing more once products turn out larger than announced', async () => {
    const { all, log } = activities(ids(4), {
      fetchProduct: async () => ({ ...completed, bytes: 190, bytes_fetched: 190 }),
    });
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID(), { max_bytes: 400 }), { window: 1 });
    expect(await handle.result()).toMatchObject({ products_done: 2, bytes_done: 380 });
    expect(log.events.at(-1)!.data).toMatchObject({ limited_by: 'max_bytes', left_out: 2 });
    await bench.close();
  });

  it('D25 says which limit the search reached', async () => {
    const { all, log } = activities(ids(2));
    const searchPage: Activities['searchPage'] = async (input) => {
      const found = await all.searchPage!(input);
      return { ...found, plan: { ...found.plan!, leftOut: 3, limitedBy: 'max_products' } };
    };
    const bench = await server.withActivities({ ...all, searchPage });
    const handle = await bench.start(jobHeader(randomUUID(), { max_products: 2 }));
    expect(await handle.result()).toMatchObject({ state: 'succeeded', products_done: 2 });
    const searched = log.events.find(({ type }) => type === 'search.completed')!;
    expect(searched.data).toMatchObject({ left_out: 3, limited_by: 'max_products' });
    expect(log.events.at(-1)!.data).not.toHaveProperty('limited_by');
    await bench.close();
  });

  it('products that were named and do not exist fail, the others are fetched', async () => {
    const { all, log } = activities(ids(1), {}, ['nope']);
    const bench = await server.withActivities(all);
    const handle = await bench.start(jobHeader(randomUUID()));
    expect(await handle.result()).toMatchObject({
      state: 'succeeded',
      products_total: 2,
      products_done: 1,
      products_failed: 1,
    });
    const failed = log.events.find(({ type }) => type === 'product.failed')!;
    expect(failed.data).toMatchObject({ product_id: 'nope', error: { code: 'NotFound' } });
    await bench.close();
  });

  it('a search that matches nothing succeeds with an empty manifest', async () => {
    const { all, manifests } = activities([]);
    const bench = await server.withActivities(all);
    expect(await (await bench.start(jobHeader(randomUUID()))).result()).toMatchObject({
      state: 'succeeded',
      products_total: 0,
    });
    expect(manifests()).toBe(1);
    await bench.close();
  });

  it('a request that the provider refuses fails the job at once, with the provider’s words', async () => {
    const { all, log } = activities([], {
      searchPage: async () => {
        throw toApplicationFailure(new ServiceError('InvalidInput', 'no such collection'));
      },
    });
    const bench = await server.withActivities(all);
    await expect((await bench.start(jobHeader(randomUUID()))).result()).rejects.toThrow(
      WorkflowFailedError,
    );
    expect(log.last()).toMatchObject({
      state: 'failed',
      error: { code: 'InvalidInput', detail: 'no such collection' },
    });
    await bench.close();
  });
});

/** What a transfer does while it runs: heartbeats, and stops when it is told to. */
async function untilCancelled(onCancel: () => void): Promise<never> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 100);
  try {
    await context.cancelled;
    throw new Error('unreachable');
  } catch (error) {
    if (error instanceof CancelledFailure) onCancel();
    throw error;
  } finally {
    clearInterval(beat);
  }
}

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
