import { describe, expect, it } from 'vitest';
import { jobSchema } from '../../../src/jobs/job.js';
import { guideRequest, startApiBench } from '../../support/api-bench.js';

const json = async (answer: Response): Promise<any> => answer.json();

describe('submitting a job', () => {
  it('answers 202 with Location and a job that can be read at once', async () => {
    const api = await startApiBench();
    const answer = await api.post('/v1/jobs', guideRequest);
    expect(answer.status).toBe(202);
    const job = jobSchema.parse(await json(answer));
    expect(job).toMatchObject({ state: 'queued', progress: 0, collection: 'SENTINEL-2' });
    expect(job.request).toMatchObject({ aoi: guideRequest.aoi, order: 'newest' });
    expect(answer.headers.get('location')).toBe(`/v1/jobs/${job.job_id}`);
    const read = await json(await api.get(`/v1/jobs/${job.job_id}`));
    expect(read.job_id).toBe(job.job_id);
    const { items } = await json(await api.get(`/v1/jobs/${job.job_id}/events`));
    expect(items).toEqual([
      { job_id: job.job_id, number: 1, type: 'job.queued', at: job.created_at, data: {} },
    ]);
  });

  it('F106 a hundred equal submits with one key at once are one workflow', async () => {
    const api = await startApiBench();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () =>
        api.post('/v1/jobs', guideRequest, { 'idempotency-key': 'one' }),
      ),
    );
    const ids = await Promise.all(answers.map(async (answer) => (await json(answer)).job_id));
    expect(new Set(ids).size).toBe(1);
    expect(api.engine.started.size).toBe(1);
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 202)).toHaveLength(1);
    expect(statuses.filter((status) => status === 200)).toHaveLength(99);
  });

  it('F107 the same key with another body is 422, also while the mirror knows nothing', async () => {
    const api = await startApiBench();
    const key = { 'idempotency-key': 'one' };
    await api.post('/v1/jobs', guideRequest, key);
    const other = { ...guideRequest, end_date: '2025-01-04' };
    expect((await api.post('/v1/jobs', other, key)).status).toBe(422);
    api.mirrorDown(true);
    const refused = await api.post('/v1/jobs', other, key);
    expect(refused.status).toBe(422);
    expect((await json(refused)).errors).toEqual([
      { path: 'Idempotency-Key', message: 'Used with another request' },
    ]);
    expect((await api.post('/v1/jobs', guideRequest, key)).status).toBe(200);
  });

  it('takes the order of keys and defaults that are spelled out for the same body', async () => {
    const api = await startApiBench();
    const key = { 'idempotency-key': 'one' };
    const first = await json(await api.post('/v1/jobs', guideRequest, key));
    const turned = Object.fromEntries(Object.entries(guideRequest).reverse());
    const again = await api.post('/v1/jobs', { ...turned, order: 'newest' }, key);
    expect(again.status).toBe(200);
    expect((await json(again)).job_id).toBe(first.job_id);
  });

  it.each(['with space', '', 'ü', 'x'.repeat(256)])('refuses the key %j', async (key) => {
    const api = await startApiBench();
    const answer = await fetch(`${api.url}/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(guideRequest),
    });
    expect(answer.status).toBe(400);
  });

  it('accepts while the mirror is down, and says 503 with Retry-After while Temporal is', async () => {
    const api = await startApiBench();
    api.mirrorDown(true);
    expect((await api.post('/v1/jobs', guideRequest)).status).toBe(202);
    api.mirrorDown(false);
    api.engine.reachable = false;
    const answer = await api.post('/v1/jobs', guideRequest);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await json(answer)).toMatchObject({ code: 'EngineUnavailable', instance: '/v1/jobs' });
  });

  it('F080 knows a job that was accepted while the mirror was down, before its worker says a word', async () => {
    const api = await startApiBench();
    const accepted = async (): Promise<string> => {
      api.mirrorDown(true);
      const { job_id } = await json(await api.post('/v1/jobs', guideRequest));
      api.mirrorDown(false);
      return job_id;
    };
    const read = await api.get(`/v1/jobs/${await accepted()}`);
    expect(read.status).toBe(200);
    expect(jobSchema.parse(await json(read))).toMatchObject({ state: 'queued', progress: 0 });
    const { items } = await json(await api.get(`/v1/jobs/${await accepted()}/events`));
    expect(items).toMatchObject([{ number: 1, type: 'job.queued' }]);
    const stream = await api.get(`/v1/events?job_id=${await accepted()}`);
    expect(stream.status).toBe(200);
    await stream.body!.cancel();
    const removed = await fetch(`${api.url}/v1/jobs/${await accepted()}`, { method: 'DELETE' });
    expect(removed.status).toBe(202);
    expect((await json(await api.get('/v1/jobs'))).total).toBe(4);

    const [ended, asked] = [await accepted(), await accepted()];
    api.engine.ended.add(ended);
    expect((await api.get(`/v1/jobs/${ended}`)).status).toBe(404);
    api.engine.reachable = false;
    const unsure = await api.get(`/v1/jobs/${asked}`);
    expect(unsure.status).toBe(503);
    expect((await json(unsure)).code).toBe('EngineUnavailable');
  });

  it.each([
    [{ provider: 'nowhere' }, 'provider'],
    [{ collection: 'SENTINEL-99' }, 'collection'],
    [{ colour: 'red' }, 'colour'],
    [{ aoi: { wkt: '' } }, 'aoi.wkt'],
    [{ end_date: '2024-12-01' }, 'end_date'],
    [{ aoi: undefined }, 'aoi'],
  ])('refuses %j naming the field', async (change, path) => {
    const api = await startApiBench();
    const answer = await api.post('/v1/jobs', { ...guideRequest, ...change });
    expect(answer.status).toBe(422);
    const problem = await json(answer);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(problem.errors.map((error: { path: string }) => error.path)).toContain(path);
    expect(api.engine.started.size).toBe(0);
  });

  it.each([
    [{ aoi: { bbox: [0, 0, 1, 1] } }, 'aoi', 'Give one of wkt, geojson, tile, global'],
    [{ aoi: {} }, 'aoi', 'Give one of wkt, geojson, tile, global'],
    [{ job_type: 'weather' }, 'job_type', 'There is no such job type, only: search_download'],
  ])('says of %j what there is', async (change, path, message) => {
    const api = await startApiBench();
    const answer = await api.post('/v1/jobs', { ...guideRequest, ...change });
    expect((await json(answer)).errors).toEqual([{ path, message }]);
  });

  it('refuses an area that is none', async () => {
    const api = await startApiBench();
    const aoi = { wkt: 'POLYGON((0 0,1 1))' };
    expect((await api.post('/v1/jobs', { ...guideRequest, aoi })).status).toBe(422);
  });
});

describe('a batch', () => {
  it('answers one item a request, in order, with a problem for each that is none', async () => {
    const api = await startApiBench();
    const answer = await api.post('/v1/jobs/batch', {
      jobs: [
        guideRequest,
        { nonsense: true },
        { ...guideRequest, provider: 'nowhere' },
        guideRequest,
      ],
    });
    expect(answer.status).toBe(202);
    const { items } = await json(answer);
    expect(items.map((item: any) => item.state ?? item.error.status)).toEqual([
      'queued',
      422,
      422,
      'queued',
    ]);
    expect(api.engine.started.size).toBe(2);
  });

  it('with a key is the same jobs again, and a 422 where an item is another request', async () => {
    const api = await startApiBench();
    const key = { 'idempotency-key': 'morning' };
    const other = { ...guideRequest, end_date: '2025-01-04' };
    const send = async (jobs: object[], headers: Record<string, string>): Promise<any[]> =>
      (await json(await api.post('/v1/jobs/batch', { jobs }, headers))).items;
    const first = await send([guideRequest, guideRequest], key);
    expect(new Set(first.map(({ job_id }) => job_id)).size).toBe(2);
    expect(await send([guideRequest, guideRequest], key)).toEqual(first);
    const [same, refused] = await send([guideRequest, other], key);
    expect(same).toEqual(first[0]);
    expect(refused.error).toMatchObject({ status: 422, code: 'InvalidInput' });
    expect(api.engine.started.size).toBe(2);
    const bad = await api.post('/v1/jobs/batch', { jobs: [{}] }, { 'idempotency-key': 'a b' });
    expect(bad.status).toBe(400);
  });

  it('refuses none and more than 500', async () => {
    const api = await startApiBench();
    expect((await api.post('/v1/jobs/batch', { jobs: [] })).status).toBe(422);
    const many = Array.from({ length: 501 }, () => ({}));
    expect((await api.post('/v1/jobs/batch', { jobs: many })).status).toBe(422);
  });

  it('is refused whole, with a time to come back, while Temporal is out of reach', async () => {
    const api = await startApiBench();
    api.engine.reachable = false;
    const jobs = Array.from({ length: 40 }, () => guideRequest);
    const response = await api.post('/v1/jobs/batch', { jobs });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(await json(response)).toMatchObject({ code: 'EngineUnavailable' });
  });
});

describe('listing jobs', () => {
  it('filters, sorts and pages by number and by cursor', async () => {
    const api = await startApiBench();
    const ids: string[] = [];
    for (let index = 0; index < 5; index++)
      ids.push(await api.submit({ labels: { field: `field ${index}` } }));
    await api.tell(ids[1]!, 'job.started', { state: 'running' });
    await api.tell(ids[2]!, 'job.failed', { state: 'failed' });
    const list = async (query: string): Promise<any> => json(await api.get(`/v1/jobs?${query}`));

    expect(await list('')).toMatchObject({ page: 1, page_size: 50, total: 5, next_cursor: null });
    const some = await list('state=running&state=failed');
    expect(some.items.map((job: any) => job.job_id).sort()).toEqual([ids[1], ids[2]].sort());
    expect((await list('q=FIELD%203')).items.map((job: any) => job.job_id)).toEqual([ids[3]]);
    expect((await list('provider=usgs')).total).toBe(0);
    expect((await list('page=1&state=&provider=&job_type=&collection=&q=')).total).toBe(5);

    const seen: string[] = [];
    let cursor = '';
    do {
      const page = await list(`page_size=2&sort=created_at${cursor}`);
      seen.push(...page.items.map((job: any) => job.job_id));
      cursor = page.next_cursor === null ? '' : `&cursor=${encodeURIComponent(page.next_cursor)}`;
    } while (cursor !== '');
    expect(seen.sort()).toEqual([...ids].sort());
    expect((await list('page=3&page_size=2')).items).toHaveLength(1);
  });

  it.each([
    'page=-1',
    'page=0',
    'page=1e9',
    'page=1000000000&page_size=1',
    'page=1000000&page_size=500',
    'page=NaN',
    'colour=',
    'page=1&page=2',
    'page_size=1000000',
    'page_size=501',
    'sort=colour',
    'sort=created_at&sort=created_at',
    'colour=red',
    'state=eaten',
    'state[$ne]=queued',
    'state[]=queued',
    'provider[$gt]=',
    'provider.x=1',
    '__proto__=1',
    '__proto__[x]=1',
    'constructor=1',
    'job_type=weather',
    `q=${'x'.repeat(101)}`,
    'cursor=nonsense',
    'page=1&cursor=nonsense',
  ])('F101 F118 F138 refuses ?%s', async (query) => {
    const api = await startApiBench();
    const answer = await api.get(`/v1/jobs?${query}`);
    expect(answer.status).toBe(400);
    expect((await json(answer)).code).toBe('BadRequest');
  });

  it.each([
    [`q=${'x'.repeat(101)}`, 'q', 'Longer than 100 characters'],
    ['job_type=weather', 'job_type', 'Give one of: search_download'],
    ['page=1&cursor=x', 'page', 'Not together with cursor'],
    ['state=eaten', 'state', expect.stringContaining('queued, running')],
  ])('says what is wrong with ?%s', async (query, path, message) => {
    const api = await startApiBench();
    expect((await json(await api.get(`/v1/jobs?${query}`))).errors).toEqual([{ path, message }]);
  });

  it('is 503 with Retry-After while the mirror is down', async () => {
    const api = await startApiBench();
    api.mirrorDown(true);
    const answer = await api.get('/v1/jobs');
    expect(answer.status).toBe(503);
    expect(answer.headers.has('retry-after')).toBe(true);
  });
});

describe('cancel, retry, result', () => {
  it('cancels a job, leaves one that has ended alone, and knows no other', async () => {
    const api = await startApiBench();
    const id = await api.submit();
    const remove = (job: string): Promise<Response> =>
      fetch(`${api.url}/v1/jobs/${job}`, { method: 'DELETE' });
    expect((await remove(id)).status).toBe(202);
    expect(api.engine.cancelled).toEqual(new Set([id]));
    await api.tell(id, 'job.cancelled', { state: 'cancelled' });
    api.engine.reachable = false;
    const again = await remove(id);
    expect(again.status).toBe(200);
    expect((await json(again)).state).toBe('cancelled');
    api.engine.reachable = true;
    expect((await remove('00000000-0000-4000-8000-000000000000')).status).toBe(404);
    expect((await remove('nonsense')).status).toBe(404);
  });

  it('answers 200 for a job that ended before the mirror knew', async () => {
    const api = await startApiBench();
    const id = await api.submit();
    api.engine.ended.add(id);
    expect((await fetch(`${api.url}/v1/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
  });

  it('retries only what has ended, as a new job with the same request', async () => {
    const api = await startApiBench();
    const id = await api.submit({ labels: { field: 'north' } });
    const early = await api.post(`/v1/jobs/${id}/retry`);
    expect(early.status).toBe(409);
    expect((await json(early)).detail).toContain('queued');
    await api.tell(id, 'job.failed', { state: 'failed' });
    const answer = await api.post(`/v1/jobs/${id}/retry`);
    expect(answer.status).toBe(202);
    const job = await json(answer);
    expect(job).toMatchObject({ retry_of: id, labels: { field: 'north' }, state: 'queued' });
    expect(job.job_id).not.toBe(id);
    expect((await api.post(`/v1/jobs/${id}/retry`, { force: true })).status).toBe(422);
  });

  it.each(['succeeded', 'failed', 'cancelled'] as const)('has a result once %s', async (state) => {
    const api = await startApiBench();
    const id = await api.submit();
    expect((await api.get(`/v1/jobs/${id}/result`)).status).toBe(409);
    await api.putFile(id, 'jobs/a/file.zip', Buffer.from('abc'));
    await api.tell(id, `job.${state}`, { state });
    const result = await json(await api.get(`/v1/jobs/${id}/result`));
    expect(result).toMatchObject({ job_id: id, state, paths: ['jobs/a/file.zip'], bytes: 3 });
    expect(result.checksums['jobs/a/file.zip']).toMatchObject({ algorithm: 'md5' });
  });

  it('lists stored events after a number', async () => {
    const api = await startApiBench();
    const id = await api.submit();
    await api.tell(id, 'job.started', { state: 'running' });
    await api.tell(id, 'job.succeeded', { state: 'succeeded' });
    const { items } = await json(await api.get(`/v1/jobs/${id}/events?after=1`));
    expect(items.map((event: any) => [event.number, event.type])).toEqual([
      [2, 'job.started'],
      [3, 'job.succeeded'],
    ]);
    expect((await api.get(`/v1/jobs/${id}/events?after=-1`)).status).toBe(400);
    const nobody = '00000000-0000-4000-8000-000000000000';
    expect((await api.get(`/v1/jobs/${nobody}/events`)).status).toBe(404);
  });
});
