import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { guideRequest, startApiBench, type ApiBench } from '../../support/api-bench.js';
import { openSse } from '../../support/sse-client.js';

const key = 'correct horse battery staple'.replaceAll(' ', '-');
const send = (api: ApiBench, body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(`${api.url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });

describe('the API key', () => {
  it('opens by either header, and by nothing else', async () => {
    const api = await startApiBench({ settings: { key } });
    expect((await api.get('/v1/jobs', { 'x-api-key': key })).status).toBe(200);
    expect((await api.get('/v1/jobs', { authorization: `Bearer ${key}` })).status).toBe(200);
    expect((await api.get('/v1/jobs', { authorization: `bearer ${key}` })).status).toBe(200);
    for (const headers of [
      {},
      { 'x-api-key': '' },
      { 'x-api-key': key.slice(1) },
      { 'x-api-key': `${key}x` },
      { 'x-api-key': key.toUpperCase() },
      { authorization: key },
      { authorization: `Basic ${Buffer.from(`user:${key}`).toString('base64')}` },
      { cookie: `key=${key}` },
    ] as Record<string, string>[])
      expect((await api.get('/v1/jobs', headers)).status).toBe(401);
    for (const query of [`api_key=${key}`, `key=${key}`, `ticket=${key}`, `x-api-key=${key}`])
      expect((await api.get(`/v1/jobs?${query}`)).status).toBe(401);
  });

  it('is needed everywhere but for live, and every refusal is the same', async () => {
    const api = await startApiBench({ settings: { key } });
    expect((await api.get('/v1/health/live')).status).toBe(200);
    const refusals = await Promise.all(
      [
        api.get('/v1/jobs'),
        api.get('/v1/jobs', { 'x-api-key': 'wrong' }),
        api.get('/v1/health'),
        api.get('/v1/metrics'),
        api.get('/docs'),
        api.get('/openapi.json'),
        api.get('/v1/events?ticket=wrong'),
        api.get('/nowhere'),
        fetch(`${api.url}/v1/health/live`, { method: 'DELETE' }).then(() => api.get('/v1/tiles')),
        send(api, '{"broken'),
      ].map(async (asked) => {
        const answer = await asked;
        const { instance: _path, requestId: _id, ...body } = (await answer.json()) as any;
        const {
          ['x-request-id']: _header,
          date: _date,
          ...headers
        } = Object.fromEntries(answer.headers);
        for (const name of ['content-length', 'connection', 'keep-alive']) delete headers[name];
        return JSON.stringify({ status: answer.status, body, headers });
      }),
    );
    expect(new Set(refusals).size).toBe(1);
    expect(refusals[0]).toContain('"status":401');
    expect(refusals[0]).toContain('www-authenticate');
  });

  it('F107 keeps callers with different keys apart', async () => {
    const one = await startApiBench({ settings: { key } });
    const other = await startApiBench({ settings: { key: `${key}-2` } });
    const submit = async (api: ApiBench, apiKey: string): Promise<string> => {
      const headers = { 'idempotency-key': 'same', 'x-api-key': apiKey };
      const answer = await api.post('/v1/jobs', guideRequest, headers);
      return ((await answer.json()) as { job_id: string }).job_id;
    };
    expect(await submit(one, key)).not.toBe(await submit(other, `${key}-2`));
  });

  it('F114 a ticket opens one event stream, once, for a short time', async () => {
    let nowMs = Date.now();
    const api = await startApiBench({ settings: { key }, now: () => nowMs });
    const ticket = async (): Promise<string> => {
      const answer = await api.post('/v1/events/ticket', undefined, { 'x-api-key': key });
      return ((await answer.json()) as { ticket: string }).ticket;
    };
    expect((await api.post('/v1/events/ticket')).status).toBe(401);
    const good = await ticket();
    expect((await api.get(`/v1/jobs?ticket=${good}`)).status).toBe(401);
    const stream = await openSse(`${api.url}/v1/events?ticket=${good}`);
    expect(stream.answer.status).toBe(200);
    expect((await api.get(`/v1/events?ticket=${good}`)).status).toBe(401);
    const late = await ticket();
    nowMs += 30_001;
    expect((await api.get(`/v1/events?ticket=${late}`)).status).toBe(401);
    const twice = await ticket();
    expect((await api.get(`/v1/events?ticket=${twice}&ticket=${twice}`)).status).toBe(401);
  });
});

describe('bodies', () => {
  it('F115 refuses what is too large, of another type, not JSON, not UTF-8 or too deep', async () => {
    const api = await startApiBench({ settings: { maxRequestBytes: 100_000 } });
    const status = async (body: string | Buffer, headers?: Record<string, string>) =>
      (await send(api, body, headers)).status;
    expect(await status(`"${'x'.repeat(200_000)}"`)).toBe(413);
    expect(await status('{}', { 'content-type': 'text/plain' })).toBe(415);
    expect(await status('a=b', { 'content-type': 'application/x-www-form-urlencoded' })).toBe(415);
    expect(await status('{}', { 'content-type': 'application/json; charset=latin1' })).toBe(415);
    expect(await status('{}', { 'content-encoding': 'gzip' })).toBe(415);
    expect(await status('{"a":')).toBe(400);
    expect(await status(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]))).toBe(400);
    expect(await status('')).toBe(400);
    expect(await status('null')).toBe(422);
    expect(await status('[]')).toBe(422);
    expect(await status('{}', { 'content-type': 'application/json; charset=UTF-8' })).toBe(422);
    const atOnce = performance.now();
    expect(await status('['.repeat(50_000) + ']'.repeat(50_000))).toBe(400);
    expect(performance.now() - atOnce).toBeLessThan(1000);
  });

  it('F115 refuses a million nested arrays fast', async () => {
    const api = await startApiBench({ settings: { maxRequestBytes: 4_000_000 } });
    const startedMs = performance.now();
    const answer = await send(api, '['.repeat(1e6) + ']'.repeat(1e6));
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as any).detail).toContain('nested');
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  it('F115 refuses a gigabyte by its announcement, before it comes', async () => {
    const api = await startApiBench();
    const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
    socket.write(
      'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n{',
    );
    let text = '';
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('close', () => resolve());
      socket.on('error', () => {});
    });
    expect(text).toMatch(/^HTTP\/1.1 413 /);
    expect(text.toLowerCase()).toContain('connection: close');
  });

  it('F138 refuses keys that reach for prototypes, at any depth', async () => {
    const api = await startApiBench();
    for (const body of [
      '{"__proto__":{"polluted":1}}',
      '{"aoi":{"geojson":{"type":"Point","constructor":{"prototype":{"polluted":1}}}}}',
      '{"labels":{"__proto__":"x"}}',
      '[{"prototype":1}]',
    ])
      expect((await send(api, body)).status).toBe(400);
    expect(({} as any).polluted).toBeUndefined();
  });
});

describe('browsers', () => {
  it('get headers that keep them in bounds, and no sign of the framework', async () => {
    const api = await startApiBench();
    const { headers } = await api.get('/v1/health/live');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('SAMEORIGIN');
    expect(headers.has('x-powered-by')).toBe(false);
    expect(headers.has('access-control-allow-origin')).toBe(false);
  });

  it('F122 may read from listed origins only, and never with credentials', async () => {
    const mine = 'https://ui.example';
    const api = await startApiBench({ settings: { corsOrigins: [mine], key } });
    const preflight = await fetch(`${api.url}/v1/jobs`, {
      method: 'OPTIONS',
      headers: { origin: mine, 'access-control-request-method': 'POST' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(mine);
    expect(preflight.headers.has('access-control-allow-credentials')).toBe(false);
    const foreign = await api.get('/v1/jobs', { origin: 'https://evil.example', 'x-api-key': key });
    expect(foreign.headers.has('access-control-allow-origin')).toBe(false);
  });

  it('F122 may not change anything from a foreign page', async () => {
    const api = await startApiBench();
    const id = await api.submit();
    await api.tell(id, 'job.failed', { state: 'failed' });
    const retry = (origin: string): Promise<Response> =>
      fetch(`${api.url}/v1/jobs/${id}/retry`, { method: 'POST', headers: { origin } });
    expect((await retry('https://evil.example')).status).toBe(403);
    expect((await retry('null')).status).toBe(403);
    expect((await retry(api.url)).status).toBe(202);
  });
});

describe('addresses and methods', () => {
  it('are answered with a problem where there is nothing', async () => {
    const api = await startApiBench();
    const answer = await api.get('/v1/nowhere?x=1', { 'x-request-id': 'mine-1' });
    expect(answer.status).toBe(404);
    expect(answer.headers.get('x-request-id')).toBe('mine-1');
    expect(await answer.json()).toMatchObject({
      type: '/problems/not-found',
      status: 404,
      instance: '/v1/nowhere',
      requestId: 'mine-1',
    });
    expect((await api.get('/v1/jobs/%zz')).status).toBe(404);
    const id = await api.submit();
    for (const later of ['pause', 'resume', 'priority'])
      expect((await api.post(`/v1/jobs/${id}/${later}`)).status).toBe(404);
    expect((await api.get('/v1/recipes')).status).toBe(404);
  });

  it('tell which methods they know', async () => {
    const api = await startApiBench();
    const answer = await fetch(`${api.url}/v1/jobs`, { method: 'PUT' });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET, HEAD, OPTIONS, POST');
    expect(((await answer.json()) as any).type).toBe('/problems/method-not-allowed');
    const options = await fetch(`${api.url}/v1/jobs`, { method: 'OPTIONS' });
    expect(options.status).toBe(204);
    expect(options.headers.get('allow')).toBe('GET, HEAD, OPTIONS, POST');
  });

  it('do not repeat a request id that could break a log line', async () => {
    const api = await startApiBench();
    const answer = await api.get('/v1/health/live', { 'x-request-id': 'a b"c' });
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('show nothing of an error inside', async () => {
    const api = await startApiBench();
    api.mirror.getJob = async () => {
      throw new Error('secret inner text');
    };
    const answer = await api.get('/v1/jobs/00000000-0000-4000-8000-000000000000');
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain('secret');
  });
});
