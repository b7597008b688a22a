/** The fault server's own ledger, which tells other tests whether the engine has left a connection open. */
import net from 'node:net';
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
