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
  const server = http.createServer(listener).listen(0, '127.0.0.1');
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

it('closing ends what is under way', async () => {
  const { server, requester, get } = await serve(() => undefined);
  const asked = get();
  await once(server, 'request');
  requester.close();
  await expect(asked).rejects.toMatchObject({ code: 'Interrupted' });
});

it('what may pass is unavailable: no server, and no HTTP', async () => {
  const { server, get } = await serve((request) => request.socket.end('SSH-2.0-x\r\n'));
  await expect(get()).rejects.toMatchObject({ code: 'SourceUnavailable' });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await expect(get()).rejects.toMatchObject({ code: 'SourceUnavailable' });
});
