/**
 * What every mirror must do. An adapter's test calls describeMirror with a way to make fresh ones; a fault found in one
 * adapter becomes a case here, for all.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { manifestPath } from '../../src/jobs/ids.js';
import { jobStates, type JobHeader, type JobState } from '../../src/jobs/job.js';
import type { FeedItem, JobListQuery, JobSort, Mirror } from '../../src/mirror/mirror.js';
import {
  artifact,
  batch,
  event,
  header,
  instant,
  progress,
  queued,
  storedData,
} from './mirror.fixtures.js';

export interface MirrorHarness {
  mirror: Mirror;
  /** A further instance on the same data, as of another process. */
  another(): Mirror;
  /** One whose database can not be reached. */
  unreachable(): Promise<Mirror>;
  /** Drops the whole mirror while it is in use. */
  drop(): Promise<void>;
  close(): Promise<void>;
}

export interface MirrorContract {
  name: string;
  create: () => Promise<MirrorHarness>;
  /** Reason for which none can be made here. */
  skip?: string | null;
}

const query = (changes: Partial<JobListQuery> = {}): JobListQuery => ({
  filter: {},
  sort: '-created_at',
  pageSize: 50,
  page: 1,
  ...changes,
});
const problem = {
  type: '/problems/checksum-mismatch',
  title: 'Checksum mismatch',
  status: 502,
  detail: 'Differs',
  code: 'ChecksumMismatch',
};
const hostileKeys = JSON.parse(
  '{"a.b": 1, "$set": {"state": "failed"}, "__proto__": {"polluted": true}, "": "empty", "constructor": 1}',
) as Record<string, unknown>;

export function describeMirror({ name, create, skip }: MirrorContract): void {
  if (skip) console.warn(`${name}: skipped, ${skip}`);
  describe.skipIf(skip)(`mirror: ${name}${skip ? ` (${skip})` : ''}`, () => {
    let harness: MirrorHarness;
    let mirror: Mirror;
    beforeEach(async () => {
      harness = await create();
      mirror = harness.mirror;
    });
    afterEach(() => harness.close());

    const listIds = async (changes: Partial<JobListQuery> = {}): Promise<string[]> =>
      (await mirror.listJobs(query(changes))).items.map((job) => job.header.job_id);

    /** Follows until the test ends. */
    async function collect(from: Mirror): Promise<FeedItem[]> {
      const items: FeedItem[] = [];
      await from.follow((item) => items.push(item), new AbortController().signal);
      return items;
    }

    describe('jobs', () => {
      it('answers null, nothing or no for a job that it does not know', async () => {
        const id = randomUUID();
        expect(await mirror.getJob(id)).toBeNull();
        expect(await mirror.getHeader(id)).toBeNull();
        expect(await mirror.getResult(id)).toBeNull();
        expect(await mirror.listEvents(id, 0, 10)).toEqual([]);
        expect(await mirror.fileOf(id, 'a')).toBeNull();
        expect(await mirror.eventAt(1)).toBeNull();
        expect(await mirror.eventsAfter(0, { limit: 10 })).toEqual([]);
        expect(await mirror.listJobs(query())).toEqual({ items: [], total: 0, nextCursor: null });
      });

      it('gives back what was stored, word for word', async () => {
        const of = header({ retry_of: randomUUID(), of: { labels: { field: 'Grün "a"\n$x.y' } } });
        const given = batch(of, 1, [event(of.job_id, 1, 'job.queued', hostileKeys)], {
          state: 'running',
          in_flight: ['p'],
          waiting: { reason: 'quota', since: instant(0), until: null, detail: '$where' },
          bytes_total: 5_000_000_000,
        });
        await mirror.apply(given);
        expect(await mirror.getJob(of.job_id)).toEqual({
          header: of,
          snapshot: given.snapshot,
          live: [],
        });
        expect(await mirror.getHeader(of.job_id)).toEqual(of);
        expect(await mirror.listEvents(of.job_id, 0, 10)).toEqual(given.events);
      });

      it('takes the same batch twice, also at once and from two writers, as one', async () => {
        const other = harness.another();
        const given = queued(header());
        await Promise.all(
          Array.from({ length: 20 }, (_, index) => (index % 2 ? mirror : other).apply(given)),
        );
        await mirror.apply(given);
        expect(await mirror.listEvents(given.header.job_id, 0, 10)).toEqual(given.events);
        expect(await mirror.head()).toMatchObject({ seq: 1 });
        expect((await mirror.listJobs(query())).total).toBe(1);
      });

      it('F099 keeps the newest snapshot, whatever comes late', async () => {
        const of = header();
        const at = (version: number, state: JobState) =>
          batch(of, version, [event(of.job_id, version)], { state, updated_at: instant(version) });
        await mirror.apply(at(3, 'succeeded'));
        await mirror.apply(at(1, 'queued'));
        await mirror.apply(at(2, 'running'));
        expect((await mirror.getJob(of.job_id))?.snapshot).toMatchObject({
          version: 3,
          state: 'succeeded',
        });
        expect((await mirror.listEvents(of.job_id, 0, 10)).map(({ number }) => number)).toEqual([
          1, 2, 3,
        ]);
        expect(await listIds({ filter: { states: ['queued', 'running'] } })).toEqual([]);
        expect(await listIds({ filter: { states: ['succeeded'] } })).toEqual([of.job_id]);
      });

      it('F099 ends at the newest snapshot when versions arrive shuffled and at once', async () => {
        const of = header();
        const versions = [5, 2, 8, 1, 7, 3, 6, 4];
        const other = harness.another();
        await Promise.all(
          versions.map((version, index) =>
            (index % 2 ? mirror : other).apply(
              batch(of, version, [event(of.job_id, version)], { products_done: version }),
            ),
          ),
        );
        expect((await mirror.getJob(of.job_id))?.snapshot).toMatchObject({
          version: 8,
          products_done: 8,
        });
        expect(await mirror.listEvents(of.job_id, 0, 10)).toHaveLength(8);
      });

      it('stores a snapshot without events', async () => {
        const of = header();
        await mirror.apply(batch(of, 0, []));
        expect((await mirror.getJob(of.job_id))?.snapshot.version).toBe(0);
        expect(await mirror.head()).toMatchObject({ seq: 0 });
      });

      it('counts jobs by state', async () => {
        for (const state of ['queued', 'queued', 'failed'] as const)
          await mirror.apply(queued(header(), { state }));
        const zero = Object.fromEntries(jobStates.map((state) => [state, 0]));
        expect(await mirror.countByState()).toEqual({ ...zero, queued: 2, failed: 1 });
      });
    });

    describe('live progress', () => {
      it('keeps the newest report of each product', async () => {
        const of = header();
        await mirror.apply(batch(of, 1, [], { state: 'running', in_flight: ['p.$1', 'q'] }));
        await mirror.reportProgress(of.job_id, progress('p.$1', 100, 2_000));
        await mirror.reportProgress(of.job_id, progress('q', 7, 1_000));
        await mirror.reportProgress(of.job_id, progress('p.$1', 50, 1_000));
        const live = (await mirror.getJob(of.job_id))?.live ?? [];
        expect(live).toHaveLength(2);
        expect(live).toContainEqual(progress('p.$1', 100, 2_000));
        expect(live).toContainEqual(progress('q', 7, 1_000));
      });

      it('F099 ignores a report on a job that has ended or is unknown', async () => {
        const of = header();
        await mirror.apply(batch(of, 1, [], { state: 'succeeded', in_flight: ['p'] }));
        await mirror.reportProgress(of.job_id, progress('p', 80, 9_000));
        await mirror.reportProgress(randomUUID(), progress('p', 80, 9_000));
        expect((await mirror.getJob(of.job_id))?.live).toEqual([]);
        expect((await mirror.listJobs(query())).total).toBe(1);
      });

      it('forgets a product that is no longer in flight', async () => {
        const of = header();
        await mirror.apply(batch(of, 1, [], { state: 'running', in_flight: ['p', 'q'] }));
        await mirror.reportProgress(of.job_id, progress('p', 1, 1_000));
        await mirror.reportProgress(of.job_id, progress('q', 2, 1_000));
        await mirror.apply(batch(of, 2, [], { state: 'running', in_flight: ['q', 'r'] }));
        expect((await mirror.getJob(of.job_id))?.live).toEqual([progress('q', 2, 1_000)]);
        await mirror.apply(batch(of, 3, [], { state: 'failed' }));
        expect((await mirror.getJob(of.job_id))?.live).toEqual([]);
      });

      it('takes reports and snapshots of one job at once', async () => {
        const of = header();
        await mirror.apply(batch(of, 1, [], { state: 'running', in_flight: ['p'] }));
        await Promise.all(
          Array.from({ length: 30 }, (_, index) =>
            index % 2
              ? mirror.reportProgress(of.job_id, progress('p', index, index * 100))
              : mirror.apply(
                  batch(of, index + 2, [event(of.job_id, index + 2)], {
                    state: 'running',
                    in_flight: ['p'],
                  }),
                ),
          ),
        );
        const job = await mirror.getJob(of.job_id);
        expect(job?.snapshot.version).toBe(30);
        expect(job?.live).toEqual([progress('p', 29, 2_900)]);
      });
    });

    describe('lists', () => {
      const many = async (count: number, of: (index: number) => JobHeader): Promise<string[]> => {
        const headers = Array.from({ length: count }, (_, index) => of(index));
        await Promise.all(headers.map((each) => mirror.apply(queued(each))));
        return headers.map((each) => each.job_id);
      };

      it('sorts by either time, both ways', async () => {
        const [first, second, third] = [0, 1, 2].map((index) =>
          header({ created_at: instant(index * 1_000) }),
        ) as [JobHeader, JobHeader, JobHeader];
        await mirror.apply(queued(second, { updated_at: instant(9_000) }));
        await mirror.apply(queued(first, { updated_at: instant(7_000) }));
        await mirror.apply(queued(third, { updated_at: instant(8_000) }));
        const ids = (sort: JobSort) => listIds({ sort });
        const order = (...headers: JobHeader[]) => headers.map((each) => each.job_id);
        expect(await ids('created_at')).toEqual(order(first, second, third));
        expect(await ids('-created_at')).toEqual(order(third, second, first));
        expect(await ids('updated_at')).toEqual(order(first, third, second));
        expect(await ids('-updated_at')).toEqual(order(second, third, first));
      });

      it('orders instants, not their spelling', async () => {
        const spelled = (created_at: string) => header({ created_at });
        const early = spelled('2025-01-01T02:00:00+02:00');
        const late = spelled('2025-01-01T00:30:00.5Z');
        await mirror.apply(queued(late));
        await mirror.apply(queued(early));
        expect(await listIds({ sort: 'created_at' })).toEqual([early.job_id, late.job_id]);
      });

      it('pages by number, with a total', async () => {
        const ids = await many(7, (index) => header({ created_at: instant(index) }));
        const pages = await Promise.all(
          [1, 2, 3, 4].map((page) =>
            mirror.listJobs(query({ sort: 'created_at', pageSize: 3, page })),
          ),
        );
        expect(pages.map(({ total }) => total)).toEqual([7, 7, 7, 7]);
        expect(pages.map(({ items }) => items.length)).toEqual([3, 3, 1, 0]);
        expect(pages.flatMap(({ items }) => items.map((job) => job.header.job_id))).toEqual(ids);
        expect(pages[2]!.nextCursor).toBeNull();
      });

      it.each(['created_at', '-created_at', 'updated_at', '-updated_at'] as const)(
        'F156 pages by cursor in order of %s without loss or repeat while jobs are added',
        async (sort) => {
          // Many in the same instant: the id decides.
          const ids = await many(23, (index) =>
            header({ created_at: instant(Math.floor(index / 10)) }),
          );
          const seen: string[] = [];
          let cursor: string | undefined;
          do {
            const page = await mirror.listJobs(
              query({ sort, pageSize: 4, ...(cursor === undefined ? {} : { cursor }) }),
            );
            seen.push(...page.items.map((job) => job.header.job_id));
            cursor = page.nextCursor ?? undefined;
            await many(1, () => header({ created_at: instant(seen.length % 2 ? -5 : 5_000) }));
          } while (cursor !== undefined);
          expect(new Set(seen).size).toBe(seen.length);
          expect(seen.filter((id) => ids.includes(id)).toSorted()).toEqual(ids.toSorted());
        },
      );

      it('filters by each field, and by all at once', async () => {
        const wanted = header({ of: { provider: 'usgs', collection: 'landsat_ot_c2_l2' } });
        await mirror.apply(queued(wanted, { state: 'paused' }));
        await mirror.apply(queued(header(), { state: 'running' }));
        await mirror.apply(queued(header()));
        const found = (filter: JobListQuery['filter']) => mirror.listJobs(query({ filter }));
        for (const filter of [
          { states: ['paused' as const] },
          { provider: 'usgs' },
          { collection: 'landsat_ot_c2_l2' },
          { states: ['paused' as const], provider: 'usgs', jobType: 'search_download' },
          { q: 'LANDSAT', states: ['paused' as const, 'failed' as const] },
        ]) {
          const { items, total } = await found(filter);
          expect(items.map((job) => job.header.job_id)).toEqual([wanted.job_id]);
          expect(total).toBe(1);
        }
        expect((await found({ jobType: 'search_download' })).total).toBe(3);
        expect((await found({ states: ['paused', 'running'] })).total).toBe(2);
        expect((await found({ states: [] })).total).toBe(3);
        expect((await found({ jobType: 'video' })).total).toBe(0);
        expect((await found({ collection: 'landsat' })).total).toBe(0);
      });

      it('pages a filtered list of several states by cursor, in order', async () => {
        const states = ['queued', 'running', 'failed'] as const;
        const headers = Array.from({ length: 12 }, (_, index) =>
          header({ created_at: instant(index) }),
        );
        for (const [index, each] of headers.entries())
          await mirror.apply(queued(each, { state: states[index % 3]! }));
        const filter = { states: ['queued' as const, 'failed' as const] };
        const first = await mirror.listJobs(query({ filter, sort: 'created_at', pageSize: 5 }));
        const second = await mirror.listJobs(
          query({ filter, sort: 'created_at', pageSize: 5, cursor: first.nextCursor! }),
        );
        const seen = [...first.items, ...second.items].map((job) => job.header.job_id);
        expect(seen).toEqual(
          headers.filter((_, index) => index % 3 !== 1).map((each) => each.job_id),
        );
        expect([first.total, second.total, second.nextCursor]).toEqual([8, 8, null]);
      });

      it('finds q in id, collection, product type and label values, in any case', async () => {
        const of = header({ of: { labels: { project: 'Olive Grove 7', other: 'Ærø' } } });
        await mirror.apply(queued(of));
        await mirror.apply(queued(header({ of: { collection: 'OTHER', product_type: 'X' } })));
        for (const q of [of.job_id.slice(5, 20).toUpperCase(), 'tinel-2', 'msi2', 'GROVE', 'æRØ'])
          expect(await listIds({ filter: { q } })).toEqual([of.job_id]);
        for (const q of ['project', 'copernicus', 'S2MSI2A Olive', 'a\u001fo', '\u0000'])
          expect(await listIds({ filter: { q } })).toEqual([]);
      });

      it('F103 takes every character of q literally', async () => {
        const value = String.raw`a.b*c+d?e^f$g{h}i(j)k[l]m|n\o/p-q_r%s'u"v#w&x,y~z :=!@<>;é😀`;
        const of = header({ of: { labels: { value } } });
        await mirror.apply(queued(of));
        await mirror.apply(queued(header({ of: { labels: { value: 'aXbbbbc plain text' } } })));
        expect(await listIds({ filter: { q: value } })).toEqual([of.job_id]);
        for (const character of value.replace(/[a-z ]/g, ''))
          expect(await listIds({ filter: { q: character } })).toContain(of.job_id);
        for (const q of ['a.bb', '.*', '^a', '[a-z]+', '(?i)A', 'c$', String.raw`\w`, 'e|f'])
          expect(await listIds({ filter: { q } })).toEqual([]);
      });

      it.each([
        ['an object as a state', { filter: { states: [{ $ne: null }] } }],
        ['an unknown state', { filter: { states: ['lost'] } }],
        ['an object as a provider', { filter: { provider: { $ne: null } } }],
        ['a list as a collection', { filter: { collection: ['a'] } }],
        ['a pattern as q', { filter: { q: { $regex: '.*' } } }],
        ['an unknown filter', { filter: { $where: 'sleep(1000)' } }],
        ['a dotted filter', { filter: { 'live.x': 1 } }],
        ['an unknown sort', { sort: 'state' }],
        ['an object as a sort', { sort: { $natural: 1 } }],
        ['page 0', { page: 0 }],
        ['a fraction of a page', { page: 1.5 }],
        ['page_size 0', { pageSize: 0 }],
        ['a page_size beyond any use', { pageSize: 1e6 }],
      ])('F101 F118 refuses %s', async (_, changes) => {
        await mirror.apply(queued(header()));
        const refused = mirror.listJobs(query(changes as Partial<JobListQuery>));
        await expect(refused).rejects.toMatchObject({ code: 'BadRequest' });
      });

      it('refuses a cursor that is garbage or belongs to another list', async () => {
        await many(3, () => header());
        const { nextCursor } = await mirror.listJobs(query({ pageSize: 1 }));
        const json = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
        const garbage = ['', 'x', '%%', 'null', json(null), json({}), json({ after: { $gt: '' } })];
        for (const cursor of [...garbage, nextCursor!.slice(2), 'A'.repeat(5_000)])
          await expect(mirror.listJobs(query({ cursor }))).rejects.toMatchObject({
            code: 'BadRequest',
          });
        for (const other of [{ sort: 'created_at' as const }, { filter: { provider: 'usgs' } }])
          await expect(
            mirror.listJobs(query({ ...other, cursor: nextCursor! })),
          ).rejects.toMatchObject({ code: 'BadRequest' });
        expect((await mirror.listJobs(query({ cursor: nextCursor!, page: 9 }))).items).toHaveLength(
          2,
        );
      });
    });

    describe('events', () => {
      it('stores an event once, the first word counting', async () => {
        const of = header();
        await mirror.apply(batch(of, 1, [event(of.job_id, 1, 'job.queued', { word: 'first' })]));
        await mirror.apply(batch(of, 2, [event(of.job_id, 1, 'job.failed', { word: 'second' })]));
        expect(await mirror.listEvents(of.job_id, 0, 10)).toEqual([
          event(of.job_id, 1, 'job.queued', { word: 'first' }),
        ]);
      });

      it('lists those after a number, ascending, up to the limit', async () => {
        const of = header();
        await mirror.apply(batch(of, 3, [event(of.job_id, 3), event(of.job_id, 2)]));
        await mirror.apply(batch(of, 1, [event(of.job_id, 1)]));
        const numbers = async (after: number, limit: number) =>
          (await mirror.listEvents(of.job_id, after, limit)).map(({ number }) => number);
        expect(await numbers(0, 10)).toEqual([1, 2, 3]);
        expect(await numbers(1, 10)).toEqual([2, 3]);
        expect(await numbers(0, 2)).toEqual([1, 2]);
        expect(await numbers(3, 2)).toEqual([]);
      });

      it('gives each a position, growing without holes, repeats or not', async () => {
        const [a, b] = [header(), header()];
        await mirror.apply(queued(a));
        await mirror.apply(queued(a));
        await mirror.apply(batch(b, 2, [event(b.job_id, 1), event(b.job_id, 2)]));
        await mirror.apply(batch(a, 2, [event(a.job_id, 1), event(a.job_id, 2)]));
        const all = await mirror.eventsAfter(0, { limit: 10 });
        expect(all.map(({ seq, event: { job_id, number } }) => [seq, job_id, number])).toEqual([
          [1, a.job_id, 1],
          [2, b.job_id, 1],
          [3, b.job_id, 2],
          [4, a.job_id, 2],
        ]);
        expect((await mirror.head()).seq).toBe(4);
        expect(await mirror.eventAt(3)).toEqual(all[2]);
        expect(await mirror.eventAt(5)).toBeNull();
        const ofA = await mirror.eventsAfter(1, { jobId: a.job_id, limit: 10 });
        expect(ofA.map(({ seq }) => seq)).toEqual([4]);
        expect(await mirror.eventsAfter(0, { limit: 2 })).toEqual(all.slice(0, 2));
      });

      it('shows positions in their order to a reader who reads while two write', async () => {
        const other = harness.another();
        let writing = true;
        const writers = Promise.all(
          [mirror, other].map((writer) =>
            Promise.all(Array.from({ length: 60 }, () => writer.apply(queued(header())))),
          ),
        ).finally(() => (writing = false));
        const seen: number[] = [];
        const readOn = async () => {
          const rows = await mirror.eventsAfter(seen.at(-1) ?? 0, { limit: 1_000 });
          seen.push(...rows.map(({ seq }) => seq));
        };
        while (writing) {
          await readOn();
          await sleep(1);
        }
        await writers;
        await readOn();
        expect(seen).toEqual(Array.from({ length: 120 }, (_, index) => index + 1));
      });

      it('keeps its epoch over instances, and has another once it was dropped', async () => {
        await mirror.apply(queued(header()));
        const { epoch } = await mirror.head();
        expect(await harness.another().head()).toEqual({ epoch, seq: 1 });
        await harness.drop();
        const of = header();
        await mirror.apply(queued(of));
        const head = await mirror.head();
        expect(head.epoch).not.toBe(epoch);
        expect(head.seq).toBe(1);
        await mirror.apply(queued(of));
        expect(await mirror.listEvents(of.job_id, 0, 10)).toHaveLength(1);
      });
    });

    describe('results', () => {
      it('tells of each product how it ended, the last word counting', async () => {
        const of = header();
        const file = (product: string) => artifact(`jobs/${of.job_id}/${product}.zip`);
        const failed = { product_id: 'c', name: 'c.SAFE', error: problem };
        const events = [
          event(of.job_id, 1, 'product.started', { product_id: 'a', name: 'a.SAFE' }),
          event(of.job_id, 2, 'product.completed', storedData('a', [file('a')])),
          event(of.job_id, 3, 'product.reused', storedData('b', [file('b')])),
          event(of.job_id, 4, 'product.failed', failed),
          event(of.job_id, 5, 'product.failed', { ...failed, product_id: 'd', name: 'd.SAFE' }),
          event(of.job_id, 6, 'product.completed', storedData('d', [file('d'), file('d2')])),
          event(of.job_id, 7, 'product.started', { product_id: 'e', name: 'e.SAFE' }),
        ];
        const manifest = manifestPath(of.job_id);
        await mirror.apply(batch(of, 8, events, { state: 'cancelled', manifest }));
        const result = await mirror.getResult(of.job_id);
        expect(result).toMatchObject({ job_id: of.job_id, state: 'cancelled', manifest });
        expect(result?.products.map(({ id, outcome }) => [id, outcome])).toEqual([
          ['a', 'completed'],
          ['b', 'reused'],
          ['c', 'failed'],
          ['d', 'completed'],
          ['e', 'cancelled'],
        ]);
        const paths = ['a', 'b', 'd', 'd2'].map((product) => file(product).path);
        expect(result?.paths).toEqual(paths);
        expect(Object.keys(result!.checksums)).toEqual(paths);
        expect(result?.checksums[paths[0]!]).toEqual(file('a').checksum);
        expect(result?.bytes).toBe(40);
        expect(result?.products[2]?.error).toEqual(problem);
      });

      it('F119 owns its artifacts and its manifest, and nothing of another job', async () => {
        const [of, stranger] = [header(), header()];
        const path = `jobs/${of.job_id}/a.zip`;
        const manifest = manifestPath(of.job_id);
        const done = event(of.job_id, 1, 'product.completed', storedData('a', [artifact(path)]));
        await mirror.apply(batch(of, 1, [done], { state: 'succeeded', manifest }));
        await mirror.apply(queued(stranger));
        const { bytes, checksum } = artifact(path);
        const { algorithm, value } = checksum;
        expect(await mirror.fileOf(of.job_id, path)).toEqual({
          verified: { bytes, checksum: { algorithm, value } },
        });
        expect(await mirror.fileOf(of.job_id, manifest)).toEqual({ verified: null });
        expect(await mirror.fileOf(stranger.job_id, path)).toBeNull();
        for (const other of ['', '.', `${path}/`, `./${path}`, path.toUpperCase(), `${path}\u0000`])
          expect(await mirror.fileOf(of.job_id, other)).toBeNull();
        const injected = { $ne: null } as unknown as string;
        await expect(mirror.fileOf(of.job_id, injected).catch(() => null)).resolves.toBeNull();
      });
    });

    describe('feed', () => {
      it('tells every follower of events and live progress, in order, until it leaves', async () => {
        const of = header();
        await mirror.apply(queued(of, { state: 'running', in_flight: ['p'] }));
        const leaving = new AbortController();
        const left: FeedItem[] = [];
        await mirror.follow((item) => left.push(item), leaving.signal);
        const [one, two] = [await collect(mirror), await collect(harness.another())];
        leaving.abort();

        const started = performance.now();
        await mirror.apply(
          batch(of, 3, [event(of.job_id, 2), event(of.job_id, 3)], {
            state: 'running',
            in_flight: ['p'],
          }),
        );
        await expect.poll(() => one.length, { interval: 2 }).toBe(2);
        expect(performance.now() - started).toBeLessThan(2_000);
        await mirror.reportProgress(of.job_id, progress('p', 5, 1_000));
        await expect.poll(() => one.length).toBe(3);
        await expect.poll(() => two.length).toBe(3);

        const record = await mirror.getJob(of.job_id);
        expect(one).toEqual([
          { kind: 'event', seq: 2, event: event(of.job_id, 2) },
          { kind: 'event', seq: 3, event: event(of.job_id, 3) },
          { kind: 'progress', record },
        ]);
        expect(two).toEqual(one);
        expect(left).toEqual([]);
      });

      it('goes on for the others when one follower throws', async () => {
        await mirror.follow(() => {
          throw new Error('A follower’s own trouble');
        }, new AbortController().signal);
        const items = await collect(mirror);
        await mirror.apply(queued(header()));
        await mirror.apply(queued(header()));
        await expect.poll(() => items.length).toBe(2);
      });

      it('follows again after the last one left', async () => {
        const first = new AbortController();
        await mirror.follow(() => {}, first.signal);
        first.abort();
        const items = await collect(mirror);
        await mirror.apply(queued(header()));
        await expect.poll(() => items.length).toBe(1);
      });

      it('says gap when the mirror was dropped, and goes on', async () => {
        await mirror.apply(queued(header()));
        const items = await collect(mirror);
        await harness.drop();
        await expect
          .poll(
            async () => {
              await mirror.apply(queued(header()));
              return items.map(({ kind }) => kind);
            },
            { interval: 100, timeout: 10_000 },
          )
          .toEqual(expect.arrayContaining(['gap', 'event']));
      });
    });

    describe('out of reach', () => {
      it('answers StoreUnavailable to everything, soon', async () => {
        const down = await harness.unreachable();
        const of = header();
        const calls: (() => Promise<unknown>)[] = [
          () => down.prepare(),
          () => down.ping(),
          () => down.apply(queued(of)),
          () => down.reportProgress(of.job_id, progress('p', 1, 1)),
          () => down.getJob(of.job_id),
          () => down.listJobs(query()),
          () => down.getResult(of.job_id),
          () => down.countByState(),
          () => down.head(),
          () => down.eventsAfter(0, { limit: 1 }),
          () => down.follow(() => {}, new AbortController().signal),
        ];
        const started = performance.now();
        await Promise.all(
          calls.map((call) => expect(call()).rejects.toMatchObject({ code: 'StoreUnavailable' })),
        );
        expect(performance.now() - started).toBeLessThan(6_000);
        await down.close();
      });

      it('answers a ping when it can be read and written', async () => {
        await expect(mirror.ping()).resolves.toBeUndefined();
      });
    });
  });
}
