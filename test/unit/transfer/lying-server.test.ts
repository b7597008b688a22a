/** The fault server's own ledger, which tells other tests whether the engine has left a connection open. */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startLyingServer } from '../../support/lying-server.js';

it('lets go of a connection whose end and reset are due at once', async () => {
  const server = await startLyingServer(({ index }) => ({
    headers: { 'content-length': '2' },
    body: 'ok',
    ...(index === 0 ? { late: 'HTTP/1.1 408 Request Timeout\r\n\r\n' } : { then: 'reset' }),
  }));
  const client = net.connect(Number(new URL(server.url()).port), '127.0.0.1');
  const ask = () => client.write('GET /file HTTP/1.1\r\n\r\n');
  client.on('error', () => undefined);
  client.once('data', () => {
    ask();
    // as on a loaded machine: both timers have run out before the server gets round to either
    client.once('data', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50));
  });
  ask();
  await expect.poll(() => server.requests.length).toBe(2);
  await expect.poll(() => server.connections().open).toBe(0);
  await server.close();
});

it('resets a connection when what it sent has arrived, however late the client reads', async () => {
  const body = Buffer.alloc(400_000);
  const server = await startLyingServer(() => ({ head: '', body, then: 'reset' }));
  const client = net.connect(Number(new URL(server.url()).port), '127.0.0.1');
  client.on('error', () => undefined);
  client.write('GET /file HTTP/1.1\r\n\r\n');
  await expect.poll(() => server.bytesSent()).toBe(body.length);
  await sleep(100);
  let bytes = 0;
  client.on('data', (chunk) => (bytes += chunk.length));
  await expect.poll(() => client.closed).toBe(true);
  expect(bytes).toBe(body.length);
  await server.close();
});
