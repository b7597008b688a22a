import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { describe, expect, it, vi } from 'vitest';
import { planList } from '../../src/mirror/listing.js';
import type { JobFilter, JobSort, Mirror } from '../../src/mirror/mirror.js';
import { pageSql } from '../../src/mirror/sqlite/list.js';
import { schema } from '../../src/mirror/sqlite/schema.js';
import { createSqliteMirror } from '../../src/mirror/sqlite/sqlite-mirror.js';
import { describeMirror, type MirrorHarness } from './mirror.contract.js';
import { header, queued } from './mirror.fixtures.js';

async function create(): Promise<MirrorHarness> {
  const directory = await mkdtemp(join(tmpdir(), 'nimbus-sqlite-'));
  const path = join(directory, 'deep', 'nimbus.db');
  const mirrors: Mirror[] = [];
  const another = (): Mirror => {
    const mirror = createSqliteMirror({ path });
    mirrors.push(mirror);
    return mirror;
  };
  return {
    mirror: another(),
    another,
    async unreachable() {
      const file = join(directory, 'file');
      await writeFile(file, 'not a directory');
      return createSqliteMirror({ path: join(file, 'nimbus.db') });
    },
    drop: () => rm(path),
    async close() {
      await Promise.all(mirrors.map((mirror) => mirror.close()));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

describeMirror({ name: 'SQLite', create });

describe('SQLite mirror', () => {
  const filters: JobFilter[] = [
    {},
    { states: ['running'] },
    { provider: 'copernicus' },
    { jobType: 'search_download' },
    { collection: 'SENTINEL-2' },
    { states: ['running'], provider: 'copernicus' },
  ];
  const sorts: JobSort[] = ['created_at', '-created_at', 'updated_at', '-updated_at'];
  const cases = filters.flatMap((filter) => sorts.map((sort) => ({ filter, sort })));

  it.each(cases)('F103 reads $filter by $sort from an index, unsorted', ({ filter, sort }) => {
    const database = new Database(':memory:');
    database.exec(schema);
    const plan = { ...planList({ filter, sort, pageSize: 50, page: 1 }), after: '2025' };
    const { text, values } = pageSql(plan);
    const steps = database.prepare(`EXPLAIN QUERY PLAN ${text}`).all(values) as {
      detail: string;
    }[];
    expect(steps.map(({ detail }) => detail)).toEqual([
      expect.stringMatching(/^SEARCH jobs USING (COVERING )?INDEX jobs_\w+ /),
    ]);
    database.close();
  });

  it('tells a file that is no database from an empty mirror', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'nimbus-sqlite-'));
    const path = join(directory, 'nimbus.db');
    await writeFile(path, 'This is a letter, not a database. '.repeat(100));
    const mirror = createSqliteMirror({ path });
    await expect(mirror.head()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await mirror.close();
    await rm(directory, { recursive: true });
  });

  it.runIf(process.platform === 'linux')(
    'hears of what another process writes, without its clock',
    async () => {
      const { mirror, another, close } = await create();
      await mirror.prepare();
      const kinds: string[] = [];
      vi.useFakeTimers({ toFake: ['setInterval'] });
      try {
        await mirror.follow(({ kind }) => kinds.push(kind), new AbortController().signal);
      } finally {
        vi.useRealTimers();
      }
      await another().apply(queued(header()));
      await expect.poll(() => kinds).toEqual(['event']);
      await close();
    },
  );
});
