import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient, type Document } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { planList } from '../../src/mirror/listing.js';
import type { FeedItem, JobFilter, JobSort, Mirror } from '../../src/mirror/mirror.js';
import { createMongoStore, jobIndexes } from '../../src/mirror/mongo/connection.js';
import { findJobs } from '../../src/mirror/mongo/list.js';
import { createMongoMirror } from '../../src/mirror/mongo/mongo-mirror.js';
import { freePort, mongodMissing, startMongod, type TestMongod } from '../support/mongod.js';
import { describeMirror, type MirrorHarness } from './mirror.contract.js';
import { batch, event, header, progress, queued } from './mirror.fixtures.js';

let mongod: TestMongod;
let client: MongoClient;
beforeAll(async () => {
  if (mongodMissing) return;
  mongod = await startMongod();
  client = new MongoClient(mongod.uri);
  await client.connect();
});
afterAll(async () => {
  await client?.close();
  await mongod?.close();
});

/** A server for one test, gone after it however it ends. */
async function ownMongod(options: { standalone?: boolean } = {}): Promise<TestMongod> {
  const own = await startMongod(options);
  onTestFinished(() => own.close());
  return own;
}

/** A fresh mirror for one test, gone after it however it ends. */
async function createForTest(): Promise<MongoHarness> {
  const harness = await create();
  onTestFinished(() => harness.close());
  return harness;
}

interface MongoHarness extends MirrorHarness {
  database: string;
}

async function create(): Promise<MongoHarness> {
  const database = `nimbus-test-${randomUUID()}`;
  const mirrors: Mirror[] = [];
  const another = (): Mirror => {
    const mirror = createMongoMirror({ uri: mongod.uri, database });
    mirrors.push(mirror);
    return mirror;
  };
  const drop = async () => {
    await client.db(database).dropDatabase();
  };
  return {
    database,
    mirror: another(),
    another,
    drop,
    async unreachable() {
      const uri = `mongodb://user:canary-secret@127.0.0.1:${await freePort()}/?replicaSet=test`;
      return createMongoMirror({ uri, database });
    },
    async close() {
      await Promise.all(mirrors.map((mirror) => mirror.close()));
      await drop();
    },
  };
}

describeMirror({ name: 'MongoDB', create, skip: mongodMissing });

/** Every stage of a winning plan, whatever its nesting. */
function stagesOf(plan: Document): string[] {
  const inner = [plan['inputStage'], ...((plan['inputStages'] as Document[]) ?? [])];
  return [
    plan['stage'] as string,
    ...inner.filter((stage) => stage !== undefined).flatMap((stage) => stagesOf(stage as Document)),
  ];
}

describe.skipIf(mongodMissing)('MongoDB mirror', () => {
  const filters: JobFilter[] = [
    {},
    { states: ['running'] },
    { states: ['running', 'queued'] },
    { provider: 'copernicus' },
    { jobType: 'search_download' },
    { collection: 'SENTINEL-2' },
    { states: ['running'], provider: 'copernicus' },
    { q: 'sentinel' },
  ];
  const sorts: JobSort[] = ['created_at', '-created_at', 'updated_at', '-updated_at'];

  it('F103 reads every filter and sort from an index, unsorted, also behind a cursor', async () => {
    const { database, mirror } = await createForTest();
    await Promise.all(Array.from({ length: 30 }, () => mirror.apply(queued(header()))));
    const store = createMongoStore({ uri: mongod.uri, database });
    const existing = await store.use(() => store.jobs.indexes());
    expect(existing.map(({ name }) => name)).toEqual(
      expect.arrayContaining(jobIndexes.map(({ name }) => name)),
    );
    for (const filter of filters)
      for (const sort of sorts)
        for (const after of [null, '2025-01-01T00:00:00.000Z|8']) {
          const plan = { ...planList({ filter, sort, pageSize: 50, page: 1 }), after };
          const explained = await findJobs(store, plan).explain('queryPlanner');
          const stages = stagesOf(
            (explained['queryPlanner'] as Document)['winningPlan'] as Document,
          );
          expect(stages, JSON.stringify({ filter, sort, after })).toContain('IXSCAN');
          expect(stages).not.toContain('COLLSCAN');
          expect(stages).not.toContain('SORT');
        }
    await store.client.close();
  });

  it('passes on no secret of its address', async () => {
    const { unreachable } = await createForTest();
    const down = await unreachable();
    const error: unknown = await down.head().catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'StoreUnavailable' });
    expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain('canary-secret');
    await down.close();
  });

  it('says that a server must be a replica set when it is not', async () => {
    const standalone = await ownMongod({ standalone: true });
    const mirror = createMongoMirror({ uri: standalone.uri, database: 'nimbus' });
    await expect(mirror.apply(queued(header()))).rejects.toThrow(/replica set/);
    await expect(mirror.follow(() => {}, new AbortController().signal)).rejects.toMatchObject({
      code: 'StoreUnavailable',
      message: expect.stringMatching(/replica set/) as string,
    });
    await mirror.close();
  });

  it('serves all followers of one instance by one change stream', async () => {
    const { mirror } = await createForTest();
    const leave = new AbortController();
    for (let index = 0; index < 5; index++) await mirror.follow(() => {}, leave.signal);
    // One look at the server is no snapshot: a cursor that goes from in use to idle can be missed.
    const streams = async () => {
      const seen = new Set<string>();
      for (let look = 0; look < 10; look++)
        for (const operation of await client
          .db('admin')
          .aggregate([{ $currentOp: { idleCursors: true } }])
          .toArray()) {
          const cursor = operation['cursor'] as Document | undefined;
          if (JSON.stringify(cursor ?? {}).includes('$changeStream'))
            seen.add(String(cursor?.['cursorId']));
        }
      return seen.size;
    };
    await expect.poll(streams).toBe(1);
    leave.abort();
    await expect.poll(streams).toBe(0);
  });

  it('F102 refuses what no document can hold, and stores its neighbours', async () => {
    const { mirror } = await createForTest();
    const [good, bad] = [header(), header()];
    const tooBig = event(bad.job_id, 1, 'job.queued', { text: 'x'.repeat(17 * 1024 * 1024) });
    const [stored, refused] = await Promise.allSettled([
      mirror.apply(queued(good)),
      mirror.apply(batch(bad, 1, [tooBig])),
    ]);
    expect(stored.status).toBe('fulfilled');
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'InvalidInput' } });
  });
});

describe.skipIf(mongodMissing ?? (process.env['NIMBUS_TEST_MONGODB_URI'] ? 'not ours' : null))(
  'MongoDB mirror, when its server dies',
  () => {
    it('F080 starts without it, outlives its loss, and announces a gap to followers', async () => {
      const own = await ownMongod();
      const server = own.process!;
      await server.kill('SIGKILL');
      const mirror = createMongoMirror({ uri: own.uri, database: 'nimbus' });
      await expect(mirror.ping()).rejects.toMatchObject({ code: 'StoreUnavailable' });

      await server.start();
      const of = header();
      await expect
        .poll(
          () =>
            mirror.apply(queued(of)).then(
              () => 'stored',
              () => 'down',
            ),
          {
            timeout: 15_000,
          },
        )
        .toBe('stored');
      const items: FeedItem[] = [];
      await mirror.follow((item) => items.push(item), new AbortController().signal);

      await server.kill('SIGKILL');
      const lost = mirror.apply(batch(of, 2, [event(of.job_id, 2)]));
      await expect(lost).rejects.toMatchObject({ code: 'StoreUnavailable' });
      await server.start();
      await expect.poll(() => items.map(({ kind }) => kind), { timeout: 15_000 }).toContain('gap');
      await mirror.apply(
        batch(of, 2, [event(of.job_id, 2)], { state: 'running', in_flight: ['p'] }),
      );
      await mirror.reportProgress(of.job_id, progress('p', 1, 1));
      await expect.poll(() => items.map(({ kind }) => kind)).toEqual(['gap', 'event', 'progress']);
      expect(await mirror.head()).toMatchObject({ seq: 2 });
      await mirror.close();
    });

    it('F080 misses nothing that another process wrote while its own stream was cut', async () => {
      const own = await ownMongod();
      const server = own.process!;
      const [mirror, other] = [0, 1].map(() =>
        createMongoMirror({ uri: own.uri, database: 'nimbus' }),
      ) as [Mirror, Mirror];
      const of = header();
      await mirror.apply(queued(of));
      const items: FeedItem[] = [];
      await mirror.follow((item) => items.push(item), new AbortController().signal);
      await server.kill('SIGTERM');
      // Away for longer than the driver itself bridges: it takes up a stream that is back sooner, and nothing was missed.
      await expect(mirror.ping()).rejects.toMatchObject({ code: 'StoreUnavailable' });
      await server.start();
      await other.apply(batch(of, 2, [event(of.job_id, 2)]));
      await expect
        .poll(() => items.filter(({ kind }) => kind === 'event').length, { timeout: 15_000 })
        .toBe(1);
      expect(items.map(({ kind }) => kind)).toEqual(['gap', 'event']);
      await Promise.all([mirror.close(), other.close()]);
    });

    it('answers StoreUnavailable while its server hangs, and goes on when it wakes', async () => {
      const own = await ownMongod();
      const mirror = createMongoMirror({ uri: own.uri, database: 'nimbus' });
      const of = header();
      await mirror.apply(queued(of));
      await own.process!.kill('SIGSTOP');
      const started = performance.now();
      await expect(mirror.getJob(of.job_id)).rejects.toMatchObject({ code: 'StoreUnavailable' });
      expect(performance.now() - started).toBeLessThan(20_000);
      await own.process!.kill('SIGCONT');
      await sleep(100);
      await expect
        .poll(
          () =>
            mirror.getJob(of.job_id).then(
              () => 'up',
              () => 'down',
            ),
          { timeout: 15_000 },
        )
        .toBe('up');
      await mirror.close();
    });
  },
);
