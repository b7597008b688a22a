/** Real sockets on loopback: a server that fails, lies, stalls and floods. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createServer as createNetServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  createHttp,
  readJson,
  sha256Of,
  type Http,
  type HttpAnswer,
  type HttpLimits,
} from '../../../src/providers/copernicus/http.js';
import { proxyFromEnvironment, type ProxyFor } from '../../../src/transfer/index.js';
import { certificateFor, hasOpenssl, trust } from '../../support/certificates.js';
import {
  startForwardProxy,
  type ForwardProxy,
  type ForwardProxyOptions,
} from '../../support/forward-proxy.js';
import { createTestClock, never } from './doubles.js';

const open: { server: Server; http: Http }[] = [];

afterEach(async () => {
  for (const { server, http } of open.splice(0)) {
    http.close();
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener, proxyFor?: ProxyFor) {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const clock = createTestClock();
  const http = createHttp({ clock, proxyFor });
  open.push({ server, http });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x?secret=canary`;
  const get = (limits: Partial<HttpLimits> = {}, signal = never) =>
    http.call(
      { method: 'GET', url },
      (answer) => readJson(answer, z.object({ ok: z.literal(true) })),
      signal,
      limits,
    );
  return { get, clock, server, http, url };
}

const GOOD = JSON.stringify({ ok: true });

describe('small answers over HTTP', () => {
  it.each([
    ['cut off by its length', GOOD.slice(0, 5), {}],
    ['HTML', '<html>Bad gateway</html>', { 'content-type': 'text/html' }],
    ['NaN', '{"ok": NaN}', {}],
    ['of another shape', '{"ok": false}', {}],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), {}],
  ])(
    'F025 asks again for an answer that is %s, and takes the good one',
    async (_, bad, headers) => {
      let requests = 0;
      const { get, clock } = await serve((_request, response) => {
        requests += 1;
        response.writeHead(200, headers).end(requests < 3 ? bad : GOOD);
      });
      expect(await get()).toEqual({ ok: true });
      expect(requests).toBe(3);
      expect(clock.slept[0]).toBeLessThan(500);
      expect(clock.slept[1]).toBeLessThan(1000);
    },
  );

  it('F025 gives up after three tries', async () => {
    let requests = 0;
    const { get } = await serve((_request, response) => {
      requests += 1;
      response.end('<html>');
    });
    await expect(get()).rejects.toMatchObject({
      code: 'SourceUnavailable',
      message: expect.stringContaining('HTML instead of JSON'),
    });
    expect(requests).toBe(3);
  });

  it('F025 refuses an endless body at its limit, without a second try', async () => {
    let requests = 0;
    const { get, server } = await serve((_request, response) => {
      requests += 1;
      const flood = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
      };
      response.on('drain', flood);
      flood();
    });
    const disconnected = new Promise((resolve) =>
      server.once('connection', (socket) => socket.once('close', resolve)),
    );
    await expect(get({ sizeBytes: 1_000_000 })).rejects.toMatchObject({ code: 'SourceRefused' });
    await disconnected;
    expect(requests).toBe(1);
  });

  it('F002 asks again when the connection breaks inside a body', async () => {
    let requests = 0;
    const { get } = await serve((_request, response) => {
      requests += 1;
      if (requests > 1) return void response.end(GOOD);
      response.writeHead(200, { 'content-length': GOOD.length });
      response.write(GOOD.slice(0, 4), () => response.destroy());
    });
    expect(await get()).toEqual({ ok: true });
  });

  it('ends a silent answer, and says which host without the query', async () => {
    const { get } = await serve(() => {});
    const error = (await get({ headersMs: 200, tries: 1 }).catch(
      (reason: unknown) => reason,
    )) as Error;
    expect(error).toMatchObject({ code: 'SourceUnavailable' });
    expect(error.message).toMatch(/^127\.0\.0\.1:\d+ did not answer for 200 ms$/);
    expect(JSON.stringify([error, String(error)])).not.toContain('canary');
  });

  it('ends a body that drips for ever', async () => {
    let left = false;
    const { get } = await serve((_request, response) => {
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => {
        clearInterval(drip);
        left = true;
      });
    });
    await expect(get({ totalMs: 300, tries: 1 })).rejects.toMatchObject({
      code: 'SourceUnavailable',
    });
    await expect.poll(() => left).toBe(true);
  });

  it('stops at once when the signal says so, with the signal’s own reason', async () => {
    const { get, server } = await serve(() => {});
    const stop = new AbortController();
    const asked = get({}, stop.signal);
    const [request] = (await once(server, 'request')) as [IncomingMessage];
    stop.abort(new Error('cancelled by the user'));
    await expect(asked).rejects.toThrow('cancelled by the user');
    await expect.poll(() => request.socket.destroyed).toBe(true);
  });

  it('asks no more once it is closed, not even after a pause', async () => {
    let requests = 0;
    const { server, url } = await serve((_request, response) => {
      requests += 1;
      response.end('<html>');
    });
    const clock = { ...createTestClock(), sleep: async () => http.close() };
    const http = createHttp({ clock });
    open.push({ server, http });
    const read = (answer: HttpAnswer) => readJson(answer, z.unknown());
    const asked = http.call({ method: 'GET', url }, read, never);
    await expect(asked).rejects.toMatchObject({ code: 'Interrupted' });
    expect(requests).toBe(1);
  });

  it('does not follow a redirect', async () => {
    const { http, url } = await serve((_request, response) =>
      response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    );
    expect(await http.call({ method: 'GET', url }, ({ status }) => status, never)).toBe(302);
  });

  it('tells the digest of the body as it came', async () => {
    const { http, url } = await serve((_request, response) => response.end('abc'));
    expect(await http.call({ method: 'GET', url }, sha256Of, never)).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });
});

describe('small answers through a proxy', () => {
  const proxies: ForwardProxy[] = [];

  afterEach(() => {
    for (const proxy of proxies.splice(0)) proxy.close();
  });

  async function startProxy(options?: ForwardProxyOptions): Promise<ForwardProxy> {
    const proxy = await startForwardProxy(options);
    proxies.push(proxy);
    return proxy;
  }

  it('plain http is asked for in absolute form, with the proxy’s credentials', async () => {
    const proxy = await startProxy({ credentials: 'me:p@:ss' });
    const { get, url } = await serve((_request, response) => response.end(GOOD), proxy.proxyFor);
    expect(await get()).toEqual({ ok: true });
    expect(proxy.heads.map((head) => head.split('\r\n')[0])).toEqual([`GET ${url} HTTP/1.1`]);
  });

  it('a host that no_proxy names is asked straight', async () => {
    const proxy = await startProxy();
    const proxyFor = proxyFromEnvironment({ all_proxy: proxy.url, no_proxy: '127.0.0.1' });
    const { get } = await serve((_request, response) => response.end(GOOD), proxyFor);
    expect(await get()).toEqual({ ok: true });
    expect(proxy.heads).toEqual([]);
  });

  it.skipIf(!hasOpenssl)('https comes through a tunnel (skipped without openssl)', async () => {
    const identity = certificateFor('DNS:localhost,IP:127.0.0.1');
    const distrust = trust(identity);
    const proxy = await startProxy({ credentials: 'me:secret' });
    const seen: IncomingHttpHeaders[] = [];
    const server = createSecureServer(identity, (request, response) => {
      seen.push(request.headers);
      response.end(GOOD);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const http = createHttp({ clock: createTestClock(), proxyFor: proxy.proxyFor });
    open.push({ server, http });
    const { port } = server.address() as AddressInfo;
    const url = `https://localhost:${port}/x`;
    expect(await http.call({ method: 'GET', url }, ({ status }) => status, never)).toBe(200);
    expect(proxy.heads[0]).toContain(`CONNECT localhost:${port} HTTP/1.1`);
    expect(seen[0]!['proxy-authorization']).toBeUndefined();
    distrust();
  });

  it('a proxy that wants to know who asks is named, its password is not', async () => {
    const proxy = await startProxy({ credentials: 'me:right' });
    const wrong = new URL(proxy.url.replace('right', 'canary'));
    const http = createHttp({ clock: createTestClock(), proxyFor: () => wrong });
    const asked = http.call({ method: 'GET', url: 'https://localhost/x' }, () => null, never);
    const error = await asked.catch((reason: unknown) => reason);
    http.close();
    expect(error).toMatchObject({ code: 'SourceUnavailable' });
    expect((error as Error).message).toBe(
      `localhost: The proxy answered 407, asked through the proxy ${wrong.host}`,
    );
    expect(JSON.stringify([error, String(error)])).not.toContain('canary');
  });

  it('a proxy that says nothing is given up', { timeout: 60_000 }, async () => {
    const silent = createNetServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const http = createHttp({
      clock: createTestClock(),
      proxyFor: () => new URL(`http://127.0.0.1:${port}`),
    });
    const asked = http.call({ method: 'GET', url: 'https://localhost/x' }, () => null, never, {
      connectMs: 500,
      tries: 2,
    });
    await expect(asked).rejects.toThrow('localhost did not accept the connection for 500 ms');
    http.close();
    silent.close();
  });
});
