/** A small server with the stream and the stored events of one job, that cuts, skips and restarts as told. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApiClient, type ApiClient } from '../../../src/cli/client/api-client.js';
import { followJob, type Told } from '../../../src/cli/client/follow-job.js';
import { sseData } from '../../../src/cli/client/sse.js';
import { wireJob } from '../../support/wire-job.js';

const JOB = '1f6d2749-8b2b-4e03-b026-14bb98185d8c';
const at = '2025-01-01T00:00:00.000Z';
const event = (number: number, type = 'transfer.retried') => ({
  job_id: JOB,
  number,
  type,
  at,
  data: {},
});

let stored: ReturnType<typeof event>[];
let state: string;
let streams: ServerResponse[];
let unauthorized: number;
let onStream: () => void;
/** Called once the stored events were asked for. */
let onAsked: () => void;
let client: ApiClient;
let close: () => Promise<void>;

beforeEach(async () => {
  stored = [];
  state = 'running';
  streams = [];
  unauthorized = 0;
  onStream = () => {};
  onAsked = () => {};
  const server = createServer((request, response) => {
    if (request.headers['x-api-key'] !== 'secret-key') unauthorized += 1;
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname === '/v1/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': hello\n\n');
      streams.push(response);
      onStream();
    } else if (url.pathname.endsWith('/events')) {
      const after = Number(url.searchParams.get('after'));
      json(response, { items: stored.filter(({ number }) => number > after) });
      response.once('finish', () => onAsked());
    } else json(response, wireJob(JOB, state));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  client = createApiClient({ baseUrl: `http://127.0.0.1:${port}`, apiKey: 'secret-key' });
  close = () => {
    server.closeAllConnections();
    return new Promise((done) => server.close(() => done()));
  };
});
afterEach(() => close());

const json = (response: ServerResponse, body: unknown) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
};
const send = (stream: ServerResponse, message: object) =>
  stream.write(`data: ${JSON.stringify(message)}\n\n`);
const end = (number: number) => {
  state = 'succeeded';
  stored.push(event(number, 'job.succeeded'));
};

async function follow(): Promise<{ told: Told[]; numbers: number[]; state: string }> {
  const told: Told[] = [];
  const job = await followJob(client, JOB, (one) => told.push(one), AbortSignal.timeout(15_000));
  const numbers = told.flatMap((one) => (one.kind === 'event' ? [one.number] : []));
  return { told, numbers, state: job.state };
}

describe('followJob', () => {
  it('tells what was before, what comes, and progress between', async () => {
    stored = [event(1), event(2)];
    const asked = new Promise<void>((done) => (onAsked = done));
    onStream = () =>
      void asked.then(() => {
        const [stream] = streams as [ServerResponse];
        send(stream, {
          job_id: JOB,
          number: null,
          type: 'job.progress',
          at,
          data: { progress: 7 },
        });
        stored.push(event(3));
        send(stream, event(3));
        end(4);
        send(stream, stored[3]!);
      });
    const { told, numbers, state: last } = await follow();
    expect(numbers).toEqual([1, 2, 3, 4]);
    expect(told[2]).toEqual({ kind: 'progress', data: { progress: 7 } });
    expect(last).toBe('succeeded');
    expect(unauthorized).toBe(0);
  });

  it('loses and repeats nothing when the stream skips, repeats and is cut', async () => {
    stored = [event(1)];
    onStream = () => {
      const stream = streams.at(-1)!;
      if (streams.length === 1)
        setTimeout(() => {
          stored.push(event(2), event(3));
          send(stream, event(3));
          send(stream, event(2));
          stored.push(event(4));
          stream.destroy();
        }, 100);
      else
        setTimeout(() => {
          end(5);
          send(stream, stored[4]!);
        }, 100);
    };
    const { told, numbers } = await follow();
    expect(numbers).toEqual([1, 2, 3, 4, 5]);
    expect(told.filter(({ kind }) => kind === 'connection')).toEqual([
      { kind: 'connection', up: false },
      { kind: 'connection', up: true },
    ]);
  });

  it('notices the end of a job that ended before it looked', async () => {
    end(1);
    expect(await follow()).toMatchObject({ numbers: [1], state: 'succeeded' });
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    onStream = () => setTimeout(() => stop.abort(new Error('enough')), 50);
    await expect(followJob(client, JOB, () => {}, stop.signal)).rejects.toThrow();
  });
});

describe('sseData', () => {
  const parse = async (...chunks: string[]): Promise<string[]> => {
    const found: string[] = [];
    async function* body() {
      for (const chunk of chunks) yield new TextEncoder().encode(chunk);
    }
    for await (const data of sseData(body())) found.push(data);
    return found;
  };

  it('reads messages however they are cut', async () => {
    const text = ': c\nid: 1\nevent: a\ndata: {"x":"é"}\n\ndata: one\r\ndata:two\r\n\r\ndata: lost';
    const expected = ['{"x":"é"}', 'one\ntwo'];
    expect(await parse(text)).toEqual(expected);
    expect(await parse(...text)).toEqual(expected);
  });
});
