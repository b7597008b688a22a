import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import type { EventBatch } from '../../../src/jobs/event.js';
import type { Mirror } from '../../../src/mirror/mirror.js';
import { createSpooledMirror, type SpooledMirror } from '../../../src/mirror/spool.js';
import type { SpoolLimits } from '../../../src/mirror/spool-directory.js';
import { createSqliteMirror } from '../../../src/mirror/sqlite/sqlite-mirror.js';
import { batch, event, header, progress, queued } from '../../contract/mirror.fixtures.js';

type Trouble = 'none' | 'down' | 'silent' | 'refuses';

let directory: string;
let spoolDirectory: string;
let real: Mirror;
let trouble: Trouble;
let applied: EventBatch[];
let logged: string[];
let open: SpooledMirror[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nimbus-spool-'));
  spoolDirectory = join(directory, 'spool');
  real = createSqliteMirror({ path: join(directory, 'nimbus.db') });
  [trouble, applied, logged, open] = ['none', [], [], []];
});
afterEach(async () => {
  await Promise.all(open.map((mirror) => mirror.close()));
  await real.close();
  await rm(directory, { recursive: true, force: true });
});

/** The real mirror, behind a database that can be in trouble. */
function fragile(): Mirror {
  const gate = async <T>(work: () => Promise<T>): Promise<T> => {
    if (trouble === 'down') throw new ServiceError('StoreUnavailable', 'Down');
    if (trouble === 'silent') return new Promise<T>(() => {});
    if (trouble === 'refuses') throw new ServiceError('InvalidInput', 'Too large');
    return work();
  };
  return {
    ...real,
    apply: (given) =>
      gate(async () => {
        await real.apply(given);
        applied.push(given);
      }),
    reportProgress: (...report) => gate(() => real.reportProgress(...report)),
    close: async () => {},
  };
}

function spooled(limits?: SpoolLimits): SpooledMirror {
  const log = (_: unknown, message: string) => void logged.push(message);
  const note = (...words: unknown[]) => void logged.push(String(words.at(-1)));
  const mirror = createSpooledMirror({
    mirror: fragile(),
    directory: spoolDirectory,
    logger: { info: note, warn: log, error: log } as never,
    ...(limits ? { limits } : {}),
  });
  open.push(mirror);
  return mirror;
}

const files = async (): Promise<string[]> =>
  (await readdir(spoolDirectory)).filter((name) => name.endsWith('.json')).toSorted();

describe('spooled mirror', () => {
  it('passes batches and reads through while the mirror is there', async () => {
    const mirror = spooled();
    const given = queued(header());
    await mirror.apply(given);
    expect(await mirror.getHeader(given.header.job_id)).toEqual(given.header);
    expect(mirror.pending()).toBe(0);
    expect(await files()).toEqual([]);
  });

  it('F080 resolves with the batch on disk while the mirror is down, and hands it over after', async () => {
    const mirror = spooled();
    trouble = 'down';
    const of = header();
    for (const version of [1, 2, 3])
      await mirror.apply(batch(of, version, [event(of.job_id, version)]));
    expect(mirror.pending()).toBe(3);
    expect(await files()).toHaveLength(3);
    expect(await real.getJob(of.job_id)).toBeNull();

    trouble = 'none';
    await expect.poll(() => mirror.pending(), { timeout: 5_000 }).toBe(0);
    expect(applied.map(({ snapshot }) => snapshot.version)).toEqual([1, 2, 3]);
    expect(await real.listEvents(of.job_id, 0, 10)).toHaveLength(3);
    expect(await files()).toEqual([]);
    await mirror.apply(batch(of, 4, []));
    expect((await real.getJob(of.job_id))?.snapshot.version).toBe(4);
  });

  it('F080 waits about a second for a mirror that says nothing, once', async () => {
    const mirror = spooled();
    trouble = 'silent';
    const started = performance.now();
    await mirror.apply(queued(header()));
    const first = performance.now() - started;
    expect(first).toBeGreaterThan(500);
    expect(first).toBeLessThan(3_000);
    await mirror.apply(queued(header()));
    expect(performance.now() - started - first).toBeLessThan(500);
    expect(mirror.pending()).toBe(2);
    trouble = 'down';
  });

  it('hands over what an earlier process left, by job and version', async () => {
    trouble = 'down';
    const earlier = spooled();
    const [a, b] = [header(), header()];
    const order = [batch(b, 10, []), batch(a, 2, []), batch(b, 9, []), batch(a, 1, [])];
    for (const each of order) await earlier.apply(each);
    await earlier.close();
    expect(await files()).toHaveLength(4);

    trouble = 'none';
    const mirror = spooled();
    await mirror.drain();
    expect(mirror.pending()).toBe(0);
    const versions = (jobId: string) =>
      applied
        .filter((each) => each.header.job_id === jobId)
        .map(({ snapshot }) => snapshot.version);
    expect([versions(a.job_id), versions(b.job_id)]).toEqual([
      [1, 2],
      [9, 10],
    ]);
  });

  it('puts a batch behind those of its job that wait already', async () => {
    trouble = 'down';
    const earlier = spooled();
    const of = header();
    await earlier.apply(batch(of, 1, []));
    await earlier.close();
    trouble = 'none';
    const mirror = spooled();
    await mirror.apply(batch(of, 2, []));
    await expect.poll(() => applied.length).toBe(2);
    expect(applied.map(({ snapshot }) => snapshot.version)).toEqual([1, 2]);
  });

  it('F104 keeps one file for the same batch, and refuses when its bound is reached', async () => {
    const mirror = spooled({ files: 2, sizeBytes: 1e6 });
    trouble = 'down';
    const given = queued(header());
    await mirror.apply(given);
    await mirror.apply(given);
    expect(mirror.pending()).toBe(1);
    await mirror.apply(queued(header()));
    await expect(mirror.apply(queued(header()))).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
    expect(mirror.pending()).toBe(2);
    expect(logged).toContain('mirror spool takes no more');
  });

  it('F104 tries the mirror again when the spool takes nothing', async () => {
    const mirror = spooled({ files: 0, sizeBytes: 0 });
    trouble = 'down';
    await expect(mirror.apply(queued(header()))).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
    trouble = 'none';
    await mirror.apply(queued(header()));
    expect(applied).toHaveLength(1);
  });

  it('writes to a mirror that is there although the spool can not be read', async () => {
    await writeFile(spoolDirectory, 'a file in the way');
    const mirror = spooled();
    await mirror.apply(queued(header()));
    expect(applied).toHaveLength(1);
    trouble = 'down';
    await expect(mirror.apply(queued(header()))).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
    expect(logged).toContain('mirror spool can not be read');
  });

  it('F104 counts bytes too', async () => {
    const mirror = spooled({ files: 100, sizeBytes: 500 });
    trouble = 'down';
    await expect(mirror.apply(queued(header()))).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
  });

  it('puts aside what is damaged or refused, and goes on with the rest', async () => {
    trouble = 'down';
    const earlier = spooled();
    const [bad, good] = [queued(header()), queued(header())];
    await earlier.apply(bad);
    const [damaged] = await files();
    await earlier.apply(good);
    await earlier.close();
    await writeFile(join(spoolDirectory, damaged!), '{"header":');
    trouble = 'none';
    const mirror = spooled();
    await mirror.drain();
    expect(applied).toEqual([good]);
    expect(await readdir(join(spoolDirectory, 'rejected'))).toEqual([damaged]);

    trouble = 'refuses';
    await expect(mirror.apply(bad)).rejects.toMatchObject({ code: 'InvalidInput' });
    expect(mirror.pending()).toBe(0);
  });

  it('removes temporary files of a process that died long ago', async () => {
    await spooled().drain();
    const [old, fresh] = ['old.tmp', 'fresh.tmp'].map((name) => join(spoolDirectory, name));
    await writeFile(old!, 'half');
    await writeFile(fresh!, 'half');
    await utimes(old!, new Date(0), new Date(0));
    await spooled().drain();
    expect(await readdir(spoolDirectory)).toEqual(['fresh.tmp']);
  });

  it('drops progress while the mirror is down, and says so once', async () => {
    const mirror = spooled();
    const of = header();
    await mirror.apply(batch(of, 1, [], { state: 'running', in_flight: ['p'] }));
    trouble = 'down';
    for (const bytes of [1, 2, 3])
      await mirror.reportProgress(of.job_id, progress('p', bytes, bytes));
    expect(logged).toEqual(['progress is not mirrored']);
    trouble = 'none';
    await mirror.reportProgress(of.job_id, progress('p', 4, 4));
    expect((await real.getJob(of.job_id))?.live).toEqual([progress('p', 4, 4)]);
  });

  it('says that it can not drain while the mirror is down', async () => {
    const mirror = spooled();
    trouble = 'down';
    await mirror.apply(queued(header()));
    await expect(mirror.drain()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(mirror.pending()).toBe(1);
  });
});
