import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startApi, type RunningApi } from '../../../src/api/server.js';
import { guideRequest, startApiBench, type ApiBench } from '../../support/api-bench.js';
import { openSse } from '../../support/sse-client.js';

async function start(bench: ApiBench, port = 0): Promise<RunningApi> {
  const { settings, ...deps } = bench.deps;
  const api = { host: '127.0.0.1', port, ...settings, corsOrigins: [...settings.corsOrigins] };
  const running = await startApi({ ...deps, config: { api } });
  onTestFinished(() => running.close());
  return running;
}

describe('the server', () => {
  it('says which port is in use and which variable changes it', async () => {
    const bench = await startApiBench();
    const { port } = await start(bench);
    await expect(start(bench, port)).rejects.toThrow(
      new RegExp(`Port ${port} on 127.0.0.1 is in use.*NIMBUS_API_PORT`),
    );
  });

  it('drains: answers what is under way, ends streams, takes nothing new', async () => {
    const bench = await startApiBench();
    const api = await start(bench);
    const url = `http://127.0.0.1:${api.port}`;
    let arrived = (): void => {};
    let release = (): void => {};
    const underWay = new Promise<void>((resolve) => (arrived = resolve));
    const held = new Promise<void>((resolve) => (release = resolve));
    bench.engine.beforeSubmit = async () => {
      arrived();
      await held;
    };
    const stream = await openSse(`${url}/v1/events`);
    const submitted = fetch(`${url}/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(guideRequest),
    });
    await underWay;
    let closed = false;
    const closing = api.close().then(() => (closed = true));
    await stream.ended;
    await expect(fetch(`${url}/v1/health/live`)).rejects.toThrow();
    expect(closed).toBe(false);
    release();
    expect((await submitted).status).toBe(202);
    await closing;
    await api.close();
  });

  it('F110 gives a stream even to a megabyte of Last-Event-ID', async () => {
    const api = await start(await startApiBench());
    const stream = await openSse(`http://127.0.0.1:${api.port}/v1/events`, {
      'last-event-id': 'x'.repeat(1024 * 1024),
    });
    await stream.until(() => stream.events.length === 1);
    expect(stream.events[0]!.event).toBe('snapshot');
  });

  it('answers what is not HTTP with 400 and goes on', async () => {
    const api = await start(await startApiBench());
    const socket = connect(api.port, '127.0.0.1');
    socket.write('this is not http\r\n\r\n');
    const text = await new Promise<string>((resolve) =>
      socket.once('data', (chunk) => resolve(chunk.toString())),
    );
    expect(text).toContain(' 400 ');
    socket.destroy();
    expect((await fetch(`http://127.0.0.1:${api.port}/v1/health/live`)).status).toBe(200);
  });
});
