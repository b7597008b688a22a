/** An API that answers as told, request by request. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApiClient } from '../../../src/cli/client/api-client.js';
import { submitJob } from '../../../src/cli/client/submit-job.js';
import { EXIT } from '../../../src/cli/exit-codes.js';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import { toProblem } from '../../../src/jobs/problem.js';
import { wireJob } from '../../support/wire-job.js';

const JOB = '1f6d2749-8b2b-4e03-b026-14bb98185d8c';
type Answer = { status: number; body: unknown; retryAfter?: string };
const accepted: Answer = { status: 202, body: wireJob(JOB, 'queued') };
const away: Answer = {
  status: 503,
  body: toProblem(new ServiceError('EngineUnavailable', 'Temporal does not answer')),
  retryAfter: '1',
};

let answers: Answer[];
let keys: unknown[];
let baseUrl: string;
let close: () => Promise<void>;

beforeEach(async () => {
  keys = [];
  const server = createServer((request, response) => {
    keys.push(request.headers['idempotency-key']);
    const { status, body, retryAfter } = answers.shift()!;
    if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  close = () => {
    server.closeAllConnections();
    return new Promise((done) => server.close(() => done()));
  };
});
afterEach(() => close());

function submit(said: string[] = [], signal = AbortSignal.timeout(15_000)) {
  const say = (line: string): void => void said.push(line);
  const client = createApiClient({ baseUrl, apiKey: null });
  return submitJob(client, { request: {}, idempotencyKey: 'the-key', say, signal });
}

describe('submitJob', () => {
  it('comes again with the same key when the API asks it to, and says why it waits', async () => {
    answers = [away, accepted];
    const said: string[] = [];
    expect(await submit(said)).toMatchObject({ created: true, job: { job_id: JOB } });
    expect(keys).toEqual(['the-key', 'the-key']);
    expect(said).toEqual([expect.stringMatching(/Temporal does not answer: trying again in 1 s/)]);
  });

  it.each([
    ['longer than a minute', { ...away, retryAfter: '61' }],
    ['without saying when', { status: 503, body: away.body }],
  ])('fails with 69 when the API is away %s', async (_how, answer) => {
    answers = [answer];
    await expect(submit()).rejects.toMatchObject({ exitCode: EXIT.unavailable });
    expect(keys).toHaveLength(1);
  });

  it('does not repeat what the API refused', async () => {
    const refused = toProblem(new ServiceError('InvalidInput', 'Request not accepted'));
    answers = [{ status: 422, body: refused }];
    await expect(submit()).rejects.toMatchObject({ exitCode: EXIT.usage });
    expect(keys).toHaveLength(1);
  });

  it('stops waiting when it is told to', async () => {
    answers = [{ ...away, retryAfter: '30' }];
    const stop = new AbortController();
    const submitted = submit([], stop.signal);
    setTimeout(() => stop.abort(), 100);
    await expect(submitted).rejects.toThrow(/abort/);
    expect(keys).toHaveLength(1);
  });
});
