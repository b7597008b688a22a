/** F017 and F024 over TLS, and that a good certificate works. Needs `openssl` to make a certificate. */
import { execFileSync, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compileTransfer } from '../../support/compiled-transfer.mjs';
import { honest, startLyingServer, type LyingServer } from '../../support/lying-server.js';
import { bytesOf, createKit, md5, type Kit } from '../../support/transfer-kit.js';

const file = bytesOf(300_000);
const childPath = fileURLToPath(new URL('../../support/transfer-child.mjs', import.meta.url));
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
let kit: Kit | undefined;
let secure: LyingServer | undefined;
afterEach(async () => {
  await kit?.close();
  await secure?.close();
  kit = secure = undefined;
});

it('F017 a handshake that never ends is a connect timeout', async () => {
  kit = await createKit(() => ({ silent: true }));
  const url = kit.server.url().replace('http:', 'https:');
  const limits = { connectMs: 100, triesWithoutProgress: 2 };
  await expect(kit.fetch(kit.source(file, { url }), { limits })).rejects.toMatchObject({
    code: 'SourceUnavailable',
    message: expect.stringContaining('did not accept the connection'),
  });
});

describe.skipIf(!hasOpenssl)('over TLS (skipped without openssl)', () => {
  let scratch: string;
  let key: Buffer;
  let cert: Buffer;
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'nimbus-tls-'));
    execFileSync(
      'openssl',
      `req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key -out cert`.split(
        ' ',
      ),
      { cwd: scratch, stdio: 'ignore' },
    );
    key = readFileSync(join(scratch, 'key'));
    cert = readFileSync(join(scratch, 'cert'));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('F024 a certificate that nobody vouches for is refused at once, without the token', async () => {
    kit = await createKit(() => ({}));
    secure = await startLyingServer((request) => honest(request, file), {
      identity: { key, cert },
    });
    kit.allow({ hosts: [secure.host] });
    const url = secure.url().replace('127.0.0.1', 'localhost');
    const trustedHosts = [new URL(url).host];
    const failure = kit.fetch(kit.source(file, { url, trustedHosts }));
    await expect(failure).rejects.toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('certificate'),
    });
    expect(secure.requests).toHaveLength(0);
    expect(kit.notes).toHaveLength(0);
  });

  it('fetches from a host whose certificate is good, and never goes to http from there', async () => {
    const compiled = await compileTransfer();
    kit = await createKit((request) => honest(request, file));
    const plain = kit.server;
    secure = await startLyingServer(
      (request) =>
        request.path === '/file'
          ? honest(request, file)
          : { status: 302, headers: { location: plain.url(), 'content-length': '0' } },
      { identity: { key, cert } },
    );
    const host = `localhost:${new URL(secure.url()).port}`;
    const outcomes: unknown[] = [];
    for (const path of ['/file', '/redirect']) {
      const child = fork(childPath, {
        env: { ...process.env, NODE_EXTRA_CA_CERTS: join(scratch, 'cert') },
      });
      const source = {
        key: path,
        url: `https://${host}${path}`,
        trustedHosts: [host],
        plainHttpHosts: [plain.host],
        expectedBytes: file.length,
        checksums: [{ algorithm: 'md5', value: md5(file) }],
        fallbackName: 'x',
      };
      const options = { directory: join(kit.directory, path.slice(1)) };
      child.send({ entry: compiled.entry, source, options });
      outcomes.push(((await once(child, 'message')) as [unknown])[0]);
    }
    await compiled.remove();
    expect(outcomes).toMatchObject([
      { bytes: file.length, checksum: { level: 'provider' } },
      { code: 'SourceRefused', message: expect.stringContaining('leave https') },
    ]);
    expect(plain.requests).toHaveLength(0);
  });
});
