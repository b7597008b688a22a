/** Small requests over real sockets: what is sent, what comes back, and how it ends. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, it } from 'vitest';
import { createRequester } from '../../../src/transfer/index.js';
import { bytesOf } from '../../support/transfer-kit.js';

const LIMITS = { connectMs: 5_000, headersMs: 5_000, idleMs: 5_000, sizeBytes: 2 ** 20 };
const never = new AbortController().signal;
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function serve(listener: http.RequestListener) {
  const server = http.createServer({ keepAliveTimeout: 60_000 }, listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const requester = createRequester(() => null);
  const sockets: Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket));
  cleanups.push(() => {
    requester.close();
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a?b=c`;
  const get = (limits = LIMITS) =>
    requester.send({ method: 'GET', url, headers: {} }, limits, never);
  return { server, requester, url, get, sockets };
}

it('sends a body as it is, in UTF-8, and how long it is', async () => {
  const { requester, url } = await serve((request, response) => {
    const { method, url: path, headers } = request;
    const [type, length] = [headers['content-type'], headers['content-length']];
    void text(request).then((body) =>
      response.end(JSON.stringify({ method, path, type, length, body })),
    );
  });
  const headers = { 'content-type': 'text/plain' };
  const request = { method: 'POST' as const, url, headers, body: 'schöne Grüße' };
  for (let i = 0; i < 2; i++) {
    const answer = await requester.send(request, LIMITS, never);
    expect(JSON.parse(answer.bytes.toString('utf8'))).toEqual({
      method: 'POST',
      path: '/a?b=c',
      type: 'text/plain',
      length: '15',
      body: 'schöne Grüße',
    });
  }
});

it.each([
  ['of a length', { 'content-length': '300000' }],
  ['in chunks', {}],
])('reads an answer %s whole, in however many pieces it comes', async (_, headers) => {
  const bytes = bytesOf(300_000);
  const { get } = await serve((_request, response) => {
    response.writeHead(418, headers);
    for (let at = 0; at < bytes.length; at += 70_001)
      response.write(bytes.subarray(at, at + 70_001));
    response.end();
  });
  const answer = await get();
  expect(answer.status).toBe(418);
  expect(answer.bytes.equals(bytes)).toBe(true);
});

it('uses a connection again, and another one once the server has closed it', async () => {
  const { get, sockets } = await serve((_request, response) => void response.end('x'));
  await get();
  await get();
  expect(sockets).toHaveLength(1);
  sockets[0]!.destroy();
  expect((await get()).bytes.toString()).toBe('x');
  expect(sockets).toHaveLength(2);
});

it('takes as much as is allowed, and no byte more', async () => {
  const { get, sockets } = await serve((_request, response) => void response.end(bytesOf(1_000)));
  expect((await get({ ...LIMITS, sizeBytes: 1_000 })).bytes).toHaveLength(1_000);
  await expect(get({ ...LIMITS, sizeBytes: 999 })).rejects.toMatchObject({ code: 'SourceRefused' });
  await expect.poll(() => sockets.every(({ destroyed }) => destroyed)).toBe(true);
});

it('reads chunks of a single byte', async () => {
  const { get } = await serve((request) => {
    const chunks = '1\r\nx\r\n'.repeat(150_000);
    request.socket.end(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
  });
  expect((await get()).bytes.toString()).toBe('x'.repeat(150_000));
});

it.each([
  ['headersMs', 'did not answer', undefined],
  ['idleMs', 'fell silent', 'beginning'],
] as const)('%s ends what %s', async (limit, what, beginning) => {
  const { get, sockets } = await serve((_request, response) => {
    if (beginning) response.write(beginning);
  });
  await expect(get({ ...LIMITS, [limit]: 200 })).rejects.toMatchObject({
    code: 'SourceUnavailable',
    message: expect.stringContaining(`${what} for 200 ms`),
  });
  await expect.poll(() => sockets.every(({ destroyed }) => destroyed)).toBe(true);
});

it('a silence on a kept connection is no reason to send a request again', async () => {
  let requests = 0;
  const { requester, url } = await serve((_request, response) => {
    if (++requests === 1) response.end('x');
  });
  const request = { method: 'POST' as const, url, headers: {} };
  await requester.send(request, LIMITS, never);
  const limits = { ...LIMITS, headersMs: 200 };
  await expect(requester.send(request, limits, never)).rejects.toMatchObject({
    code: 'SourceUnavailable',
  });
  expect(requests).toBe(2);
});

it('an abort is heard, and the connection closed', async () => {
  const { server, requester, url, sockets } = await serve(() => undefined);
  const stop = new AbortController();
  const asked = requester.send({ method: 'GET', url, headers: {} }, LIMITS, stop.signal);
  await once(server, 'request');
  stop.abort(new Error('enough'));
  await expect(asked).rejects.toThrow('enough');
  await expect.poll(() => sockets.every(({ destroyed }) => destroyed)).toBe(true);
});

it('closing ends what is under way, what is kept and what is asked for later', async () => {
  let requests = 0;
  const { server, requester, get, sockets } = await serve((_request, response) => {
    if (++requests === 1) response.end('x');
  });
  await get();
  const asked = [get(), get()];
  await once(server, 'request');
  requester.close();
  const outcomes = await Promise.allSettled([...asked, get()]);
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ reason: { code: 'Interrupted' } });
  await expect.poll(() => sockets.every(({ destroyed }) => destroyed)).toBe(true);
});

it('closing ends kept connections', async () => {
  const { requester, get, sockets } = await serve((_request, response) => void response.end('x'));
  await get();
  requester.close();
  await expect.poll(() => sockets[0]!.destroyed, { timeout: 3_000 }).toBe(true);
});

it.each(['not a URL', 'ftp://127.0.0.1/', 'http://user:secret@127.0.0.1/'])(
  'does not ask %s',
  async (url) => {
    const { requester } = await serve(() => undefined);
    const asked = requester.send({ method: 'GET', url, headers: {} }, LIMITS, never);
    await expect(asked).rejects.toMatchObject({ code: 'SourceRefused' });
    await expect(asked).rejects.not.toThrow('secret');
  },
);

it('what may pass is unavailable: no server, and no HTTP', async () => {
  const { server, get } = await serve((request) => request.socket.end('SSH-2.0-x\r\n'));
  await expect(get()).rejects.toMatchObject({ code: 'SourceUnavailable' });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await expect(get()).rejects.toMatchObject({ code: 'SourceUnavailable' });
});
