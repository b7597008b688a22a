import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { allOperations } from '../../../src/api/operations.js';
import { problemKinds } from '../../../src/api/http-problems.js';
import { ERROR_CODES } from '../../../src/jobs/error-codes.js';
import { problemType } from '../../../src/jobs/problem.js';
import { makeProduct } from '../../support/doubles/memory-provider.js';
import { guideRequest, startApiBench, type ApiBench } from '../../support/api-bench.js';
import { openSse } from '../../support/sse-client.js';

async function readDocument(api: ApiBench): Promise<any> {
  return (await api.get('/openapi.json')).json();
}

/** Validates against a schema of the document, its references included. */
function validator(document: any): (pointer: string, value: unknown) => void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(document, 'api');
  return (pointer, value) => {
    const check = ajv.getSchema(`api${pointer}`);
    expect(check, pointer).toBeDefined();
    expect(check!(value), `${pointer}: ${ajv.errorsText(check!.errors)}`).toBe(true);
  };
}

const escape = (path: string): string =>
  encodeURIComponent(path.replaceAll('~', '~0').replaceAll('/', '~1'));

describe('the OpenAPI document', () => {
  it('is OpenAPI 3.1 and describes every route that is mounted, and no other', async () => {
    const api = await startApiBench();
    const document = await readDocument(api);
    expect(document.openapi).toBe('3.1.0');
    const described = Object.entries<any>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(described.sort()).toEqual(
      [
        ...allOperations.map(({ method, path }) => `${method} ${path}`),
        'head /v1/jobs/{id}/files/{path}',
      ].sort(),
    );
    // Asked over HTTP: a described route answers something else than "nothing at this address".
    for (const { method, path } of allOperations) {
      const address = path.replace(/\{\w+\}/g, 'nothing');
      const answer = await fetch(`${api.url}${address}`, {
        method,
        signal: AbortSignal.timeout(5000),
      });
      const text = answer.headers.get('content-type')?.includes('event-stream')
        ? ''
        : await answer.text();
      expect(text).not.toContain('There is nothing at this address');
      await answer.body?.cancel().catch(() => {});
    }
  });

  it('has references that lead somewhere and schemas that compile', async () => {
    const document = await readDocument(await startApiBench());
    const text = JSON.stringify(document);
    const references = new Set([...text.matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1]!));
    expect(references.size).toBeGreaterThan(5);
    for (const reference of references) {
      const name = /^#\/components\/schemas\/(\w+)$/.exec(reference)?.[1];
      expect(Object.keys(document.components.schemas)).toContain(name);
    }
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(document, 'api');
    for (const name of Object.keys(document.components.schemas))
      expect(ajv.getSchema(`api#/components/schemas/${name}`)).toBeTypeOf('function');
  });

  it('tells the truth: real answers are valid against it', async () => {
    const api = await startApiBench();
    api.provider.products = [makeProduct(1)];
    const valid = validator(await readDocument(api));
    const check = async (answer: Response, method: string, path: string): Promise<any> => {
      const type = answer.headers.get('content-type')!.split(';')[0]!;
      const body: unknown = await answer.json();
      const place = `#/paths/${escape(path)}/${method}/responses/${answer.status}/content/${escape(type)}/schema`;
      valid(place, body);
      return body;
    };
    valid('#/components/schemas/JobRequest', guideRequest);
    const { aoi: _aoi, ...nowhere } = guideRequest;
    expect(() => valid('#/components/schemas/JobRequest', nowhere)).toThrow();
    const job = await check(await api.post('/v1/jobs', guideRequest), 'post', '/v1/jobs');
    await check(await api.post('/v1/jobs', {}), 'post', '/v1/jobs');
    await check(
      await api.post('/v1/jobs/batch', { jobs: [guideRequest, 1] }),
      'post',
      '/v1/jobs/batch',
    );
    await check(await api.get('/v1/jobs'), 'get', '/v1/jobs');
    await check(await api.get('/v1/jobs?page=0'), 'get', '/v1/jobs');
    const at = `/v1/jobs/${job.job_id}`;
    await check(await api.get(`${at}/result`), 'get', '/v1/jobs/{id}/result');
    await api.tell(job.job_id, 'job.started', { state: 'running', in_flight: ['a'] });
    await check(await fetch(`${api.url}${at}`, { method: 'DELETE' }), 'delete', '/v1/jobs/{id}');
    await api.putFile(job.job_id, 'a.zip', Buffer.from('a'));
    await api.tell(job.job_id, 'job.succeeded', { state: 'succeeded' });
    await check(await fetch(`${api.url}${at}`, { method: 'DELETE' }), 'delete', '/v1/jobs/{id}');
    await check(await api.get(at), 'get', '/v1/jobs/{id}');
    await check(await api.get(`${at}/result`), 'get', '/v1/jobs/{id}/result');
    await check(await api.get(`${at}/events`), 'get', '/v1/jobs/{id}/events');
    await check(await api.post(`${at}/retry`), 'post', '/v1/jobs/{id}/retry');
    await check(await api.get(`${at}/files/no`), 'get', '/v1/jobs/{id}/files/{path}');
    await check(await api.post('/v1/search', guideRequest), 'post', '/v1/search');
    await check(await api.post('/v1/events/ticket'), 'post', '/v1/events/ticket');
    await check(await api.post('/v1/events/ticket', { a: 1 }), 'post', '/v1/events/ticket');
    await check(await api.post(`${at}/retry`, { a: 1 }), 'post', '/v1/jobs/{id}/retry');
    for (const path of ['/v1/providers', '/v1/health', '/v1/health/live', '/v1/health/ready'])
      await check(await api.get(path), 'get', path);
    await check(await api.get('/v1/tiles?q=29SP'), 'get', '/v1/tiles');
    const stream = await openSse(`${api.url}/v1/events?job_id=${job.job_id}`);
    await api.tell(job.job_id, 'transfer.retried');
    await stream.until(() => stream.events.length === 2);
    for (const { data } of stream.events) valid('#/components/schemas/StreamedEvent', data);
  });

  it('gives integers, choices and requiredness of query parameters', async () => {
    const document = await readDocument(await startApiBench());
    const parameters = document.paths['/v1/jobs'].get.parameters;
    const named = (name: string): any => parameters.find((one: any) => one.name === name);
    expect(named('page_size')).toMatchObject({
      in: 'query',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: 500, default: 50 },
    });
    expect(named('state').schema).toMatchObject({ type: 'array' });
    expect(named('sort').schema.enum).toContain('-created_at');
  });
});

describe('the documentation pages', () => {
  it('need nothing from elsewhere, run nothing, and escape what they show', async () => {
    const api = await startApiBench();
    const answer = await api.get('/docs');
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'");
    const text = await answer.text();
    expect(text).not.toMatch(/<script|<link|<img|\bsrc=|@import/i);
    for (const { path } of allOperations) expect(text).toContain(path);
    expect(text).toContain('curl');
    for (const field of ['cloud_cover_max', 'on_error', 'page_size', 'Idempotency-Key'])
      expect(text).toContain(`<code>${field}</code>`);
    expect(text).not.toContain('undefined');
    expect(text).not.toContain('[object Object]');
  });

  it('have a page for every problem that an answer points to', async () => {
    const api = await startApiBench();
    for (const code of Object.keys(ERROR_CODES) as (keyof typeof ERROR_CODES)[]) {
      const answer = await api.get(problemType(code));
      expect(answer.status).toBe(200);
      expect(await answer.text()).toContain(code);
    }
    for (const { slug } of problemKinds)
      expect((await api.get(`/problems/${slug}`)).status).toBe(200);
    expect((await api.get('/problems/nothing')).status).toBe(404);
  });
});
