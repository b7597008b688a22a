/** One owner at a time (F071, F083), and stopping when told (F084, F087). */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import type { Checksum } from '../../../src/jobs/product.js';
import { nodeFiles, type FileFacts, type Files } from '../../../src/transfer/files.js';
import { createHashPool } from '../../../src/transfer/hash-pool.js';
import { emptyState } from '../../../src/transfer/journal.js';
import { Owner } from '../../../src/transfer/owner.js';
import { makeOwnCopy } from '../../../src/transfer/own-copy.js';
import { openPart } from '../../../src/transfer/part-file.js';
import { Workspace } from '../../../src/transfer/workspace.js';
import { honest, type Script } from '../../support/lying-server.js';
import { bytesOf, md5, OVERLAP_BYTES, useKits, type Kit } from '../../support/transfer-kit.js';

const file = bytesOf(700_000);
const other = bytesOf(700_000, 2);
const etag = '"one"';
const serve = useKits();
const never = new AbortController().signal;

/** Serves slowly at first, so that something is under way; resolves `started` when bytes are durable. */
function underWay(kit: Kit, changes: Parameters<Kit['fetch']>[1] = {}) {
  let start = () => undefined as void;
  const started = new Promise<void>((resolve) => (start = resolve));
  const outcome = kit
    .fetch(kit.source(file), {
      onProgress: ({ bytes }) => bytes > 0 && start(),
      ...changes,
    })
    .catch((error: unknown) => error);
  return { started, outcome };
}

const slowFirst: Script = (request) => {
  const answer = honest(request, file, { etag });
  return request.index === 0 ? { ...answer, sliceBytes: 10_000, everyMs: 10 } : answer;
};

it('F071, F083 the later of two transfers wins, the earlier stops, and no bytes mix', async () => {
  const kit = await serve(slowFirst);
  const first = underWay(kit);
  await first.started;
  const result = await kit.fetch(kit.source(file));
  expect((await kit.content(result)).equals(file)).toBe(true);
  expect(await first.outcome).toMatchObject({ code: 'Interrupted' });
  expect((await kit.content(result)).equals(file)).toBe(true);
  expect(kit.server.bytesSent()).toBeLessThan(2 * file.length);
});

it('F083 an earlier transfer that fetches other bytes does not spoil the later one', async () => {
  const kit = await serve((request) =>
    request.index === 0
      ? { ...honest(request, other), sliceBytes: 10_000, everyMs: 10 }
      : honest(request, file),
  );
  const first = underWay(kit);
  await first.started;
  const result = await kit.fetch(kit.source(file));
  await first.outcome;
  expect((await kit.content(result)).equals(file)).toBe(true);
});

it('F071 many transfers of the same asset at once: one file, and everybody else is told', async () => {
  const kit = await serve(slowFirst);
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, () => kit.fetch(kit.source(file)).catch((error: unknown) => error)),
  );
  const results = outcomes.filter((one) => !(one instanceof Error));
  expect(results.length).toBeGreaterThan(0);
  for (const one of outcomes)
    if (one instanceof Error) expect(one).toMatchObject({ code: 'Interrupted' });
  expect(await kit.listing()).toEqual(['journal', 'verified']);
  expect((await kit.content(results[0] as never)).equals(file)).toBe(true);
});

it('F083 leaves nothing behind but the winner’s files', async () => {
  const kit = await serve(slowFirst);
  const first = underWay(kit);
  await first.started;
  await kit.fetch(kit.source(file));
  await first.outcome;
  expect(await kit.listing()).toEqual(['journal', 'verified']);
});

it('goes on in place where the earlier owner is proven dead', async () => {
  const kit = await serve(slowFirst);
  const stop = new AbortController();
  const first = underWay(kit, { signal: stop.signal });
  await first.started;
  stop.abort();
  await first.outcome;
  const path = join(kit.directory, 'owner');
  const record = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...record, released: false, pid: 2 ** 22 + 1 }));
  const before = await kit.listing();
  const again = underWay(kit);
  await again.started;
  expect((await kit.listing()).filter((name) => name.startsWith('part.'))).toEqual(
    before.filter((name) => name.startsWith('part.')),
  );
  await again.outcome;
});

describe('F071, F076 who owns a directory', () => {
  let directory: string;
  const owners: Owner[] = [];
  const take = async (files: Files): Promise<Owner> => {
    const owner = await Owner.take(files, directory);
    owners.push(owner);
    return owner;
  };
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nimbus-owner-'));
  });
  afterEach(async () => {
    for (const owner of owners.splice(0)) await owner.release();
    await rm(directory, { recursive: true, force: true });
  });

  /** `dated` says what a file's date is, seen through an open handle or by its name. */
  const dating = (dated: (facts: FileFacts, by: 'handle' | 'name') => number): Files => ({
    ...nodeFiles,
    async look(path) {
      const facts = await nodeFiles.look(path);
      return facts && { ...facts, mtimeMs: dated(facts, 'name') };
    },
    async open(path, flags) {
      const handle = await nodeFiles.open(path, flags);
      const stat = async () => {
        const { size, ino, nlink, ...facts } = await handle.stat();
        return { size, ino, nlink, mtimeMs: dated({ size, ino, nlink, ...facts }, 'handle') };
      };
      return new Proxy(handle, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (name === 'stat') return stat;
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
  });

  it('is known where a clock stands still: no later record gets the inode of an earlier one', async () => {
    const files = dating(() => 0);
    const first = await take(files);
    for (let later = 0; later < 10; later++) {
      const last = await take(files);
      await expect(first.assertOwned()).rejects.toMatchObject({ code: 'Interrupted' });
      await last.assertOwned();
    }
  });

  it('is known where a file is dated anew when it is closed', async () => {
    const files = dating(({ mtimeMs }, by) => mtimeMs + (by === 'name' ? 1000 : 0));
    const first = await take(files);
    await first.assertOwned();
    const second = await take(files);
    await expect(first.assertOwned()).rejects.toMatchObject({ code: 'Interrupted' });
    await second.assertOwned();
  });

  it('F083 a copy that comes too late is removed', async () => {
    const first = await take(nodeFiles);
    await (await openPart(nodeFiles, directory, first)).close();
    const copying = { files: nodeFiles, directory, blocks: [], digestOfBlock: () => '' };
    const second = await take(nodeFiles);
    await take(nodeFiles);
    await expect(makeOwnCopy(second, { ...copying, signal: never })).rejects.toMatchObject({
      code: 'Interrupted',
    });
    expect((await readdir(directory)).sort()).toEqual(['owner', first.part]);
  });
});

it('F087 an abort stops at once, keeps what came, and the next call goes on', async () => {
  const kit = await serve(slowFirst);
  const stop = new AbortController();
  const first = underWay(kit, { signal: stop.signal });
  await first.started;
  const atMs = performance.now();
  stop.abort();
  expect(await first.outcome).toMatchObject({ code: 'Cancelled' });
  expect(performance.now() - atMs).toBeLessThan(1000);
  const result = await kit.fetch(kit.source(file));
  expect(result.resumedFrom).toBeGreaterThan(0);
  expect(result.bytesFetched).toBeLessThanOrEqual(file.length - result.resumedFrom + OVERLAP_BYTES);
});

it('F087 an abort is heard while the source thinks about its token', async () => {
  const kit = await serve(slowFirst);
  const stop = new AbortController();
  const source = kit.source(file, { headers: () => new Promise<never>(() => undefined) });
  const failure = kit.fetch(source, { signal: stop.signal });
  setTimeout(() => stop.abort(), 20);
  await expect(failure).rejects.toMatchObject({ code: 'Cancelled' });
});

it('goes on with what is there where the digests are listed in another order', async () => {
  const kit = await serve(slowFirst);
  const stop = new AbortController();
  const sha256 = createHash('sha256').update(file).digest('hex');
  const checksums: Checksum[] = [
    { algorithm: 'md5', value: md5(file) },
    { algorithm: 'sha256', value: sha256 },
  ];
  const first = kit.fetch(kit.source(file, { checksums }), {
    signal: stop.signal,
    onProgress: ({ bytes }) => bytes > 0 && stop.abort(),
  });
  await expect(first).rejects.toMatchObject({ code: 'Cancelled' });
  const result = await kit.fetch(kit.source(file, { checksums: checksums.toReversed() }));
  expect(result.resumedFrom).toBeGreaterThan(0);
});

it('F043 an earlier owner that wakes late leaves the newcomer’s journal in place, and no file open', async () => {
  let wake = () => undefined as void;
  const woken = new Promise<void>((resolve) => (wake = resolve));
  let reach = () => undefined as void;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  let isFirst = true;
  let hasBegun = false;
  const files: Files = {
    ...nodeFiles,
    async open(path, ...rest) {
      if (isFirst && /journal\..*\.tmp$/.test(path) && hasBegun) {
        isFirst = false;
        reach();
        await woken;
      }
      return await nodeFiles.open(path, ...rest);
    },
  };
  const kit = await serve(
    (request) => ({
      ...honest(request, file, { etag }),
      sliceBytes: 10_000,
      everyMs: 5,
    }),
    { files },
  );
  const stop = new AbortController();
  const begun = underWay(kit, { signal: stop.signal });
  await begun.started;
  stop.abort();
  await begun.outcome;
  hasBegun = true;
  const late = kit.fetch(kit.source(file)).catch((error: unknown) => error);
  await reached;
  const newcomer = underWay(kit);
  await newcomer.started;
  const { ino } = await stat(join(kit.directory, 'journal'));
  wake();
  expect(await late).toMatchObject({ code: 'Interrupted' });
  expect((await stat(join(kit.directory, 'journal'))).ino).toBe(ino);
  expect(await newcomer.outcome).toMatchObject({ bytes: file.length });
});

it('F084 throws the signal’s reason where that is an error of ours', async () => {
  const kit = await serve(slowFirst);
  const stop = new AbortController();
  const first = underWay(kit, { signal: stop.signal });
  await first.started;
  const reason = new ServiceError('Interrupted', 'The worker is stopping');
  stop.abort(reason);
  expect(await first.outcome).toBe(reason);
});

it('asks nobody when it is aborted from the start', async () => {
  const kit = await serve(slowFirst);
  const failure = kit.fetch(kit.source(file), { signal: AbortSignal.abort() });
  await expect(failure).rejects.toMatchObject({ code: 'Cancelled' });
  expect(kit.server.requests).toHaveLength(0);
});

it('an abort during a wait between tries ends the wait', async () => {
  const kit = await serve(() => ({
    status: 503,
    headers: { 'content-length': '0', 'retry-after': '5' },
  }));
  const stop = new AbortController();
  const failure = kit.fetch(kit.source(file), {
    signal: stop.signal,
    onNote: () => stop.abort(),
  });
  await expect(failure).rejects.toMatchObject({ code: 'Cancelled' });
});

it('tells durable bytes in order, a few times a second', async () => {
  const kit = await serve(slowFirst);
  const told: number[] = [];
  const startMs = performance.now();
  await kit.fetch(kit.source(file), { onProgress: ({ bytes }) => told.push(bytes) });
  const seconds = (performance.now() - startMs) / 1000;
  expect(told).toEqual([...told].sort((a, b) => a - b));
  expect(told.at(-1)).toBe(file.length);
  expect(told.length).toBeLessThanOrEqual(4 * seconds + 3);
});

it('F083 digests that were saved do not stand for bytes that an earlier owner may have written since', async () => {
  const root = await mkdtemp(join(tmpdir(), 'nimbus-owner-'));
  const pool = createHashPool(1);
  const earlier = await Owner.take(nodeFiles, root);
  try {
    await writeFile(join(root, earlier.part), Buffer.alloc(64));
    const owner = await Owner.take(nodeFiles, root);
    expect(owner.shared).toBe(true);
    const state = {
      ...emptyState('asset'),
      part: owner.part,
      blocks: [{ offset: 0, length: 64, xxh64: '1111111111111111' }],
      flushed: [{ start: 0, end: 64 }],
      checkpoint: { upTo: 64, states: { md5: 'c3RhdGU=' } },
    };
    const common = { files: nodeFiles, pool, directory: root, signal: never };
    const options = { ...common, onWritten: () => undefined };
    const names = await readdir(root);
    const work = await Workspace.open({ ...options, algorithms: ['md5'] }, owner, state, names);
    expect(work.journal.state.checkpoint).toBeNull();
    await work.close();
  } finally {
    await earlier.release();
    await pool.close();
    await rm(root, { recursive: true, force: true });
  }
});
