/** Connections that are kept from one answer to the next, straight and through proxies. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Checksum } from '../../../src/jobs/product.js';
import { Exchange, type BodySink } from '../../../src/transfer/http/exchange.js';
import { HttpClient } from '../../../src/transfer/http/client.js';
import { open } from '../../../src/transfer/http/open.js';
import { proxyFromEnvironment, type ProxyFor } from '../../../src/transfer/http/proxy.js';
import { DEFAULT_LIMITS } from '../../../src/transfer/limits.js';
import { certificateFor, hasOpenssl, trust, type Identity } from '../../support/certificates.js';
import { compileTransfer } from '../../support/compiled-transfer.mjs';
import {
  startForwardProxy,
  type ForwardProxy,
  type ForwardProxyOptions,
} from '../../support/forward-proxy.js';
import {
  honest,
  startLyingServer,
  type LyingServer,
  type LyingServerOptions,
  type Script,
} from '../../support/lying-server.js';
import { bytesOf, md5, useKits } from '../../support/transfer-kit.js';

const file = bytesOf(300_000);
const etag = '"one"';
const serveKit = useKits();
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(script: Script, options?: LyingServerOptions): Promise<LyingServer> {
  const server = await startLyingServer(script, options);
  cleanups.push(() => server.close());
  return server;
}

function clientOf(proxyFor: ProxyFor = () => null): HttpClient {
  const client = new HttpClient(proxyFor);
  cleanups.push(() => client.close());
  return client;
}

interface Asking {
  signal?: AbortSignal;
  range?: string;
  trustedHosts?: string[];
}

async function ask(client: HttpClient, url: string, asking: Asking = {}) {
  const { signal = new AbortController().signal, range, trustedHosts } = asking;
  const { host } = new URL(url);
  const { exchange } = await open({
    url,
    rules: { trustedHosts: trustedHosts ?? [host], plainHttpHosts: [host] },
    headers: { ...(range && { range }) },
    trustedHeaders: {},
    limits: { ...DEFAULT_LIMITS, connectMs: 2_000, headersMs: 2_000, idleMs: 2_000 },
    signal,
    client,
  });
  const parts: Buffer[] = [];
  const memory = Buffer.alloc(16 * 1024);
  const sink: BodySink = {
    space: () => memory,
    filled: (bytes) => parts.push(Buffer.from(memory.subarray(0, bytes))) > 0,
    onDrain: () => undefined,
  };
  await exchange.body(sink);
  return { status: exchange.status, body: Buffer.concat(parts) };
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a kept connection', () => {
  it('brings one answer after another', async () => {
    const server = await serve((request) => honest(request, file));
    const client = clientOf();
    for (let i = 0; i < 4; i++)
      expect((await ask(client, server.url())).body.equals(file)).toBe(true);
    expect(server.requests.map(({ connection }) => connection)).toEqual([0, 0, 0, 0]);
  });

  it.each([1, 4])(
    'does not bring the first answer of a file that no digest proves (%i connections)',
    async (connections) => {
      const other = bytesOf(file.length, 2);
      const kit = await serveKit(
        // as a server answers that is one answer late
        (request) => {
          const isLate = request.connection === 0 && request.path === '/unproven';
          return honest(request, isLate ? other : file);
        },
        { connections },
      );
      const fetch = (name: string, checksums: Checksum[]) => {
        const source = kit.source(file, { checksums, url: kit.server.url(`/${name}`) });
        return kit.fetch(source, { directory: join(kit.directory, name) });
      };
      await fetch('proven', [{ algorithm: 'md5', value: md5(file) }]);
      const result = await fetch('unproven', []);
      expect((await kit.content(result)).equals(file)).toBe(true);
    },
  );

  it('does not make it believed that the object changed', async () => {
    const other = bytesOf(100_000, 2);
    const kit = await serveKit(
      (request) => {
        const isLate = request.connection === 0 && request.path === '/late' && request.index > 0;
        return isLate
          ? honest(request, other, { etag: '"other"' })
          : { ...honest(request, file, { etag: '"one"' }), sliceBytes: 50_000 };
      },
      { connections: 2 },
    );
    const source = kit.source(file, { url: kit.server.url('/late') });
    const result = await kit.fetch(source, { limits: { blockBytes: 64 * 1024 } });
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(kit.notes.map((note) => (note.type === 'retried' ? note.reason : ''))).toEqual([
      'The answer may belong to an earlier request',
    ]);
  });

  it('is not used again when something came behind the answer', async () => {
    const server = await serve((request) => {
      const answer = honest(request, file);
      return {
        ...answer,
        body: Buffer.concat([file, Buffer.from('HTTP/1.1 200 OK\r\n')]),
        then: 'hang',
      };
    });
    const client = clientOf();
    for (let i = 0; i < 2; i++)
      expect((await ask(client, server.url())).body.equals(file)).toBe(true);
    expect(server.requests.map(({ connection }) => connection)).toEqual([0, 1]);
  });

  it('is dropped when the server says something unasked later', async () => {
    const late = 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nlie';
    const server = await serve((request) => ({ ...honest(request, file), late }));
    const client = clientOf();
    await ask(client, server.url());
    await expect.poll(() => server.connections().open).toBe(0);
    expect((await ask(client, server.url())).body.equals(file)).toBe(true);
    expect(server.requests.map(({ connection }) => connection)).toEqual([0, 1]);
  });

  it('that the server closes costs no failed try, also at the moment of asking', async () => {
    const server = await startLyingServer((request) => honest(request, file));
    await server.close();
    const sockets: net.Socket[] = [];
    let dropped = 0;
    const plain = http.createServer((request, response) => {
      const { socket } = request;
      if (sockets.includes(socket)) {
        dropped++;
        return socket.resetAndDestroy();
      }
      sockets.push(socket);
      response.end(file);
    });
    plain.listen(0, '127.0.0.1');
    await once(plain, 'listening');
    cleanups.push(
      () => plain.closeAllConnections(),
      () => plain.close(),
    );
    const url = `http://127.0.0.1:${(plain.address() as net.AddressInfo).port}/`;
    const client = clientOf();
    for (let i = 0; i < 3; i++) expect((await ask(client, url)).body.equals(file)).toBe(true);
    expect(dropped).toBeGreaterThan(0);
  });

  it('to a host that one source names is not for another that does not', async () => {
    const server = await serve((request) => honest(request, file));
    const client = clientOf();
    const { port } = new URL(server.url());
    const url = `http://localhost:${port}/file`;
    const plainHttpHosts = [`localhost:${port}`];
    const connect = (trusted: string[]) =>
      client.connect(new URL(url), { trustedHosts: trusted, plainHttpHosts }, false);
    await ask(client, url);
    const again = connect(plainHttpHosts);
    again.destroy();
    await ask(client, url);
    const stranger = client.connect(new URL(url), { trustedHosts: [], plainHttpHosts: [] }, false);
    expect(stranger.served).toBe(0);
    stranger.destroy();
  });

  it.each([
    ['without a digest', { checksums: [], expectedBytes: null }],
    ['with one', {}],
  ])('makes no wrong file of what the server says unasked, %s', async (_, known) => {
    const other = bytesOf(60_000, 4);
    const stray = `HTTP/1.1 200 OK\r\ncontent-length: ${other.length}\r\n\r\n`;
    const kit = await serveKit(async (request) => {
      if (request.index > 0) {
        await sleep(600);
        return honest(request, file);
      }
      const body = Buffer.concat([file, Buffer.from(stray), other]);
      return {
        ...honest(request, file),
        body,
        then: 'keep',
        sliceBytes: file.length,
        everyMs: 300,
      };
    });
    const source = kit.source(file, known);
    const limits = { headersMs: 5_000, idleMs: 5_000 };
    await kit.fetch(source, { limits });
    const directory = `${kit.directory}-again`;
    const again = await kit.fetch({ ...source, key: 'again' }, { directory, limits });
    expect((await kit.content(again)).equals(file)).toBe(true);
    expect(kit.server.requests.length).toBeGreaterThan(1);
  });

  it('keeps no process from ending', async () => {
    const server = await serve((request) => honest(request, file));
    const compiled = await compileTransfer();
    cleanups.push(() => compiled.remove());
    const path = join(compiled.entry, '../../../idle.mjs');
    writeFileSync(
      path,
      `import { HttpClient } from ${JSON.stringify(compiled.urlOf('src/transfer/http/client.ts'))};
      import { open } from ${JSON.stringify(compiled.urlOf('src/transfer/http/open.ts'))};
      import { DEFAULT_LIMITS } from ${JSON.stringify(compiled.urlOf('src/transfer/limits.ts'))};
      const { exchange } = await open({ url: process.argv[2], headers: {}, trustedHeaders: {}, limits: DEFAULT_LIMITS,
        rules: { trustedHosts: [process.argv[3]], plainHttpHosts: [process.argv[3]] },
        signal: new AbortController().signal, client: new HttpClient(() => null) });
      await exchange.text(1e6);
      process.send('done');
      process.disconnect();`,
    );
    const child = fork(path, [server.url(), server.host]);
    const exited = once(child, 'exit');
    expect((await once(child, 'message'))[0]).toBe('done');
    const startedMs = performance.now();
    expect((await exited)[0]).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(3_000);
  });
});

it('an exchange that is aborted before it begins leaves no timer', async () => {
  const server = await serve((request) => honest(request, file));
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const abort = new AbortController();
  abort.abort();
  for (let i = 0; i < 20; i++)
    await expect(ask(clientOf(), server.url(), { signal: abort.signal })).rejects.toMatchObject({
      code: 'Cancelled',
    });
  expect(timers() - before).toBeLessThan(10);
});

describe('the environment', () => {
  const through = (environment: Record<string, string>, url: string) =>
    proxyFromEnvironment(environment)(new URL(url))?.host ?? null;

  it.each([
    [{ http_proxy: 'http://p:1' }, 'http://h/', 'p:1'],
    [{ http_proxy: 'http://p:1' }, 'https://h/', null],
    [{ https_proxy: 'http://p:1' }, 'https://h/', 'p:1'],
    [{ HTTPS_PROXY: 'p:1' }, 'https://h/', 'p:1'],
    [{ HTTP_PROXY: 'p:1' }, 'http://h/', 'p:1'],
    [{ HTTP_PROXY: 'p:1', REQUEST_METHOD: 'GET' }, 'http://h/', null],
    [{ all_proxy: 'http://p:1' }, 'http://h/', 'p:1'],
    [{ ALL_PROXY: 'http://p:1', https_proxy: 'http://q:2' }, 'https://h/', 'q:2'],
    [{}, 'https://h/', null],
    [{ all_proxy: 'http://p:1' }, 'ftp://h/', null],
  ])('%j, %s: %s', (environment, url, expected) => {
    expect(through(environment as unknown as Record<string, string>, url)).toBe(expected);
  });

  it.each([
    ['*', 'https://h/', true],
    ['h', 'https://h/', true],
    ['h', 'https://a.h/', true],
    ['.h', 'https://a.h/', true],
    ['*.h', 'https://a.h/', true],
    ['h', 'https://oh/', false],
    ['H.example', 'https://a.h.EXAMPLE/', true],
    ['h:443', 'https://h/', true],
    ['h:8443', 'https://h/', false],
    ['h:8443', 'https://h:8443/', true],
    ['a, h b', 'https://h/', true],
    ['127.0.0.1', 'http://127.0.0.1:9/', true],
    ['::1', 'http://[::1]:9/', true],
    ['[::1]', 'http://[::1]/', true],
    ['[::1]:9', 'http://[::1]:9/', true],
    ['[::1]:8', 'http://[::1]:9/', false],
    ['', 'https://h/', false],
  ])('no_proxy=%s spares %s: %s', (entry, url, isSpared) => {
    expect(through({ all_proxy: 'http://p:1', NO_PROXY: entry }, url) === null).toBe(isSpared);
  });

  it('refuses a proxy that is none, and keeps its password out of the message', () => {
    for (const all_proxy of [
      'https://u:secret@p',
      'socks5://u:secret@p',
      'http://u:secret@:x',
      'http://u:secret%@p',
    ]) {
      const make = () => proxyFromEnvironment({ all_proxy });
      expect(make).toThrow(TypeError);
      expect(errorOf(make)).not.toContain('secret');
    }
  });
});

/** Everything that a thrown error holds, hidden or not. */
function errorOf(make: () => unknown): string {
  try {
    make();
  } catch (error) {
    return inspect(error, { showHidden: true });
  }
  return '';
}

async function startProxy(options?: ForwardProxyOptions): Promise<ForwardProxy> {
  const proxy = await startForwardProxy(options);
  cleanups.push(() => proxy.close());
  return proxy;
}

describe('plain http through a proxy', () => {
  it('is asked for in absolute form, again and again on one connection', async () => {
    const server = await serve((request) => honest(request, file));
    const proxy = await startProxy({ credentials: 'me:p@:ss' });
    const client = clientOf(proxy.proxyFor);
    for (let i = 0; i < 3; i++)
      expect((await ask(client, server.url())).body.equals(file)).toBe(true);
    expect(proxy.heads.length).toBe(1);
    expect(proxy.heads[0]).toMatch(new RegExp(`^GET http://${server.host}/file HTTP/1.1`));
  });

  it('a proxy that wants to know who asks is a refusal, typed', async () => {
    const server = await serve((request) => honest(request, file));
    const proxy = await startProxy({ credentials: 'me:right' });
    const proxyFor = (url: URL) => new URL(proxy.proxyFor(url)!.href.replace('right', 'wrong'));
    const kit = await serveKit((request) => honest(request, file), { proxyFor });
    kit.allow({ hosts: [proxy.proxyFor(new URL(server.url()))!.host] });
    const failure: unknown = await kit.fetch(kit.source(file)).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('407'),
    });
    expect(String((failure as Error).message)).not.toMatch(/me|wrong/);
  });
});

describe.skipIf(!hasOpenssl)('https through a proxy (skipped without openssl)', () => {
  let identity: Identity;
  beforeAll(() => {
    identity = certificateFor('DNS:localhost,IP:127.0.0.1');
  });

  async function serveSecurely(script: Script, own = identity) {
    cleanups.push(trust(own));
    const server = await serve(script, { identity: own });
    return { server, url: `https://localhost:${new URL(server.url()).port}/file` };
  }

  it('ranges come through one tunnel, kept between them', async () => {
    const { server, url } = await serveSecurely((request) => honest(request, file, { etag }));
    const proxy = await startProxy({ credentials: 'me:secret' });
    const client = clientOf(proxy.proxyFor);
    for (const from of [0, 100_000, 299_999]) {
      const { status, body } = await ask(client, url, { range: `bytes=${from}-` });
      expect(status).toBe(206);
      expect(body.equals(file.subarray(from))).toBe(true);
    }
    expect(proxy.heads.length).toBe(1);
    expect(proxy.heads[0]).toMatch(/^CONNECT localhost:\d+ HTTP\/1\.1\r\nhost: localhost:\d+/);
    expect(server.requests[0]?.headers['proxy-authorization']).toBeUndefined();
  });

  it('a whole transfer over several connections', async () => {
    const large = bytesOf(3_000_000);
    const { server, url } = await serveSecurely((request) => ({
      ...honest(request, large, { etag }),
      sliceBytes: 64 * 1024,
      everyMs: 20,
    }));
    const proxy = await startProxy();
    const kit = await serveKit(() => ({ status: 500 }), {
      proxyFor: proxy.proxyFor,
      connections: 4,
    });
    kit.allow({ hosts: [proxy.proxyFor(new URL(url))!.host, server.host] });
    const { host } = new URL(url);
    const result = await kit.fetch(kit.source(large, { url, trustedHosts: [host] }));
    expect(md5(await kit.content(result))).toBe(md5(large));
    for (const head of proxy.heads) expect(head).toMatch(/^CONNECT /);
    expect(proxy.heads.length).toBeGreaterThan(0);
  });

  it('the certificate is held against the address that was asked for, not the proxy', async () => {
    const local = certificateFor('DNS:localhost');
    const { url } = await serveSecurely((request) => honest(request, file), local);
    const proxy = await startProxy();
    const byAddress = url.replace('localhost', '127.0.0.1');
    await expect(ask(clientOf(proxy.proxyFor), byAddress)).rejects.toMatchObject({
      message: expect.stringContaining('certificate'),
    });
  });

  it.each([
    ['answered 407', 'HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n'],
    ['answered 502', 'HTTP/1.1 502 Bad\r\n\r\n'],
    ['answered something else than HTTP', 'SSH-2.0-hello\r\n\r\n'],
    ['closed the connection', ''],
    ['talks too much', 'x'.repeat(20_000)],
  ])('a proxy that %s is named, and no credentials', async (message, refuses) => {
    const { url } = await serveSecurely((request) => honest(request, file));
    const proxy = await startProxy({ credentials: 'me:secret', refuses });
    const failure: unknown = await ask(clientOf(proxy.proxyFor), url).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ error: { code: 'SourceUnavailable' } });
    expect((failure as Error).message).toContain(`The proxy ${message}`);
    expect((failure as Error).message).not.toMatch(/secret/);
  });

  it('a tunnel that is cut is a cut like any other', async () => {
    const { url } = await serveSecurely((request) => ({
      ...honest(request, file),
      sliceBytes: 1_000,
      everyMs: 5,
    }));
    const proxy = await startProxy();
    const failed = ask(clientOf(proxy.proxyFor), url).catch((error: unknown) => error);
    await sleep(300);
    for (const tunnel of proxy.tunnels) tunnel.resetAndDestroy();
    expect(await failed).toMatchObject({ error: { code: 'SourceUnavailable' } });
  });

  it('whoever gives up while the proxy is silent keeps no connection to it', async () => {
    const silent = net.createServer((socket) => socket.on('error', () => undefined));
    const open: net.Socket[] = [];
    silent.on('connection', (socket) => open.push(socket));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    cleanups.push(() => silent.close());
    const { port } = silent.address() as net.AddressInfo;
    const abort = new AbortController();
    const client = clientOf(() => new URL(`http://127.0.0.1:${port}`));
    const failed = ask(client, 'https://localhost:1/', { signal: abort.signal }).catch(
      (error: unknown) => error,
    );
    await expect.poll(() => open.length).toBe(1);
    open[0]?.resume();
    abort.abort();
    expect(await failed).toMatchObject({ code: 'Cancelled' });
    await expect.poll(() => open[0]?.destroyed, { timeout: 3_000 }).toBe(true);
  });
});

describe.skipIf(!hasOpenssl)('over TLS (skipped without openssl)', () => {
  it('a small answer is whole although the server closes right behind it', async () => {
    const identity = certificateFor('DNS:localhost');
    cleanups.push(trust(identity));
    const small = file.subarray(0, 500);
    const server = await serve(
      () => ({
        head: `HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${small.length}\r\n\r\n${small.toString('latin1')}`,
        then: 'end',
      }),
      { identity },
    );
    const url = `https://localhost:${new URL(server.url()).port}/`;
    const client = clientOf();
    const exchange = () =>
      new Exchange({
        url: new URL(url),
        rules: { trustedHosts: ['localhost'], plainHttpHosts: [] },
        headers: {},
        limits: DEFAULT_LIMITS,
        signal: new AbortController().signal,
        client,
      });
    for (let i = 0; i < 5; i++) {
      const one = exchange();
      await one.head();
      // As when the journal is written between head and body.
      await sleep(30);
      expect(await one.text(10_000)).toBe(small.toString('utf8'));
    }
  });
});

it.each(['Bearer abc\n', 'v\r\nx-injected: yes', 'v\u010d\u010ax-injected: yes'])(
  'a header value that is none ends the transfer, not the process, and is not sent: %j',
  async (value) => {
    const kit = await serveKit((request) => honest(request, file));
    const source = kit.source(file, { headers: async () => ({ authorization: value }) });
    await expect(kit.fetch(source)).rejects.toMatchObject({ code: 'Internal' });
    expect(kit.server.requests).toHaveLength(0);
  },
);

it.each(['http', 'https'])(
  'so does a proxy whose password cannot be read, for %s',
  async (scheme) => {
    const kit = await serveKit((request) => honest(request, file), {
      proxyFor: () => new URL(`http://user:50%off@${kit.server.host}`),
    });
    const url = kit.server.url().replace(/^http/, scheme);
    await expect(kit.fetch(kit.source(file, { url }))).rejects.toBeInstanceOf(Error);
    expect(kit.server.requests).toHaveLength(0);
  },
);
