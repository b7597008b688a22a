/** F017, F022 and F024 over TLS, and that a good certificate works. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { preferredCiphers } from '../../../src/transfer/http/connection.js';
import { certificateFor, hasOpenssl, type Identity } from '../../support/certificates.js';
import { compileTransfer } from '../../support/compiled-transfer.mjs';
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
const childPath = fileURLToPath(new URL('../../support/transfer-child.mjs', import.meta.url));
const serve = useKits();

it('F017 a handshake that never ends is a connect timeout', async () => {
  const kit = await serve(() => ({ silent: true }));
  const url = kit.server.url().replace('http:', 'https:');
  const limits = { connectMs: 100, triesWithoutProgress: 2 };
  await expect(kit.fetch(kit.source(file, { url }), { limits })).rejects.toMatchObject({
    code: 'SourceUnavailable',
    message: expect.stringContaining('did not accept the connection'),
  });
});

it('prefers no cipher that this process does not allow', () => {
  const [aes128, aes256] = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'];
  expect(preferredCiphers(`${aes256}:${aes128}:HIGH`)).toBe(`${aes128}:${aes256}:HIGH`);
  expect(preferredCiphers(`${aes256}:HIGH`)).toBe(`${aes256}:HIGH`);
});

describe.skipIf(!hasOpenssl)('over TLS (skipped without openssl)', () => {
  let scratch: string;
  let compiled: Awaited<ReturnType<typeof compileTransfer>>;
  let good: Identity;
  let expired: Identity;
  let misnamed: Identity;
  let secure: LyingServer | undefined;
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'nimbus-tls-'));
    good = certificateFor('DNS:localhost');
    expired = certificateFor('DNS:localhost', -1);
    misnamed = certificateFor('DNS:elsewhere.example');
    compiled = await compileTransfer();
  });
  afterAll(async () => {
    rmSync(scratch, { recursive: true, force: true });
    await compiled.remove();
  });
  afterEach(async () => {
    await secure?.close();
    secure = undefined;
  });

  it('asks for the cheapest of the good ciphers', async () => {
    const server = tls.createServer({ ...good, honorCipherOrder: false });
    let chosen: string | undefined;
    server.on('keylog', (_line, socket) => (chosen = socket.getCipher()?.name));
    server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const kit = await serve(() => ({}));
    kit.allow({ hosts: [host] });
    const source = kit.source(file, { url: `https://${host}/file`, trustedHosts: [host] });
    // nobody here trusts the certificate, which is looked at once the cipher is settled
    await expect(kit.fetch(source)).rejects.toMatchObject({ code: 'SourceRefused' });
    await expect.poll(() => chosen).toBe('TLS_AES_128_GCM_SHA256');
    server.close();
  });

  async function serveSecurely(script: Script, identity: Identity, options?: LyingServerOptions) {
    secure = await startLyingServer(script, { ...options, identity });
    return { server: secure, host: `localhost:${new URL(secure.url()).port}` };
  }

  /** In a process of its own that trusts our certificates, for trust is settled when a process starts. */
  async function fetchTrusting(host: string, path = '/file', plainHttpHosts: string[] = []) {
    const trusted = join(scratch, 'trusted');
    writeFileSync(trusted, Buffer.concat([good.cert, expired.cert, misnamed.cert]));
    const child = fork(childPath, { env: { ...process.env, NODE_EXTRA_CA_CERTS: trusted } });
    child.send({
      entry: compiled.entry,
      source: {
        key: path,
        url: `https://${host}${path}`,
        trustedHosts: [host],
        plainHttpHosts,
        expectedBytes: file.length,
        checksums: [{ algorithm: 'md5', value: md5(file) }],
        fallbackName: 'x',
      },
      options: {
        directory: mkdtempSync(join(scratch, 'asset-')),
        limits: { blockBytes: 64 * 1024, connectMs: 2000, headersMs: 2000, idleMs: 500 },
      },
    });
    const [outcome] = (await once(child, 'message')) as [unknown];
    return outcome;
  }
  const whole = { bytes: file.length, checksum: { value: md5(file), level: 'provider' } };

  it('F024 a certificate that nobody vouches for is refused at once, without the token', async () => {
    const kit = await serve(() => ({}));
    const { server, host } = await serveSecurely((request) => honest(request, file), good);
    kit.allow({ hosts: [server.host] });
    const failure = kit.fetch(
      kit.source(file, { url: `https://${host}/file`, trustedHosts: [host] }),
    );
    await expect(failure).rejects.toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('certificate'),
    });
    expect(server.requests).toHaveLength(0);
    expect(server.connections().accepted).toBe(1);
    expect(kit.notes).toHaveLength(0);
  });

  it('F024 nor does NODE_TLS_REJECT_UNAUTHORIZED change that', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const kit = await serve(() => ({}));
    const { server, host } = await serveSecurely((request) => honest(request, file), good);
    kit.allow({ hosts: [server.host] });
    const failure = kit.fetch(
      kit.source(file, { url: `https://${host}/file`, trustedHosts: [host] }),
    );
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
    expect(server.requests).toHaveLength(0);
  });

  it.each([
    ['has expired', () => expired, 'CERT_HAS_EXPIRED'],
    ['is for another host', () => misnamed, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('F024 a certificate that %s is refused at once', async (_, identity, code) => {
    const { server, host } = await serveSecurely((request) => honest(request, file), identity());
    expect(await fetchTrusting(host)).toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining(code),
    });
    expect(server.requests).toHaveLength(0);
    expect(server.connections().accepted, 'no retry storm').toBe(1);
  });

  it('fetches from a host whose certificate is good', async () => {
    const { host } = await serveSecurely((request) => honest(request, file, { etag }), good);
    expect(await fetchTrusting(host)).toMatchObject(whole);
  });

  it('F049 never goes to http from there', async () => {
    const kit = await serve((request) => honest(request, file));
    const { host } = await serveSecurely(
      () => ({ status: 302, headers: { location: kit.server.url(), 'content-length': '0' } }),
      good,
    );
    expect(await fetchTrusting(host, '/redirect', [kit.server.host])).toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('leave https'),
    });
    expect(kit.server.requests).toHaveLength(0);
  });

  it('F022 resets in the handshake are tried again', async () => {
    const { host } = await serveSecurely((request) => honest(request, file, { etag }), good, {
      onConnection: (index) => (index < 2 ? 'reset' : 'accept'),
    });
    expect(await fetchTrusting(host)).toMatchObject(whole);
  });

  it('F001, F016 cuts, resets and silence inside of a body are gone on from', async () => {
    const { server, host } = await serveSecurely((request) => {
      const answer = honest(request, file, { etag });
      const then = (['end', 'reset', 'hang'] as const)[request.index];
      return then ? { ...answer, body: answer.body.subarray(0, 70_000), then } : answer;
    }, good);
    expect(await fetchTrusting(host)).toMatchObject(whole);
    expect(server.bytesSent()).toBeLessThanOrEqual(file.length + 3 * 64 * 1024);
  });
});
