/** `nimbus get`, run against a server that does what it is told; where it is killed or told to stop, as a process. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { get, type GetOptions } from '../../../src/cli/actions/get.js';
import { addGet } from '../../../src/cli/commands/get.command.js';
import { createNotes } from '../../../src/cli/output/notes.js';
import { createPaint } from '../../../src/cli/output/paint.js';
import type { Terminal } from '../../../src/cli/terminal.js';
import { compileTransfer, type CompiledTransfer } from '../../support/compiled-transfer.mjs';
import {
  honest,
  startLyingServer,
  type Answer,
  type LyingServer,
  type Script,
} from '../../support/lying-server.js';
import { bytesOf, md5 } from '../../support/transfer-kit.js';

const file = bytesOf(300_000);
const other = bytesOf(200_000, 7);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

let out: string;
let servers: LyingServer[];
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'nimbus-get-'));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) await server.close();
  rmSync(out, { recursive: true, force: true });
});
async function serve(script: Script): Promise<LyingServer> {
  const server = await startLyingServer(script);
  servers.push(server);
  return server;
}
const serveFile = (bytes = file) => serve((request) => honest(request, bytes));
const list = (name: string, ...lines: string[]): string => {
  writeFileSync(join(out, name), lines.map((line) => `${line}\n`).join(''));
  return join(out, name);
};
const inOut = (name: string): Buffer => readFileSync(join(out, name));

interface Outcome {
  code: number;
  stdout: string;
  words: string;
  /** JSON lines of stdout. */
  lines: any[];
}

/** The command in this process, its words caught. */
async function run(
  args: string[],
  global: { json?: boolean; env?: Record<string, string> } = {},
): Promise<Outcome> {
  let stdout = '';
  let words = '';
  const people = { write: (said: string) => void (words += said) };
  const terminal: Terminal = {
    env: global.env ?? {},
    stdout: process.stdout,
    json: global.json === true,
    people,
    notes: createNotes(people),
    paint: createPaint(false),
    stop: { signal: new AbortController().signal, which: () => null, exitCode: () => 130 },
    onForcedEnd: () => {},
    print: (line) => void (stdout += `${line}\n`),
    printJson: (value) => void (stdout += `${JSON.stringify(value)}\n`),
  };
  let parsed: { options: GetOptions; urls: string[] } | undefined;
  const program = new Command().exitOverride();
  addGet(program, () => async (...given: unknown[]) => {
    parsed = { options: given.at(-2) as GetOptions, urls: given[0] as string[] };
  });
  await program.parseAsync(['get', '--out', out, ...args], { from: 'user' });
  const code = await get(terminal, parsed!.options, ...parsed!.urls);
  const lines = global.json ? stdout.trim().split('\n') : [];
  return { code, stdout, words, lines: lines.map((line) => JSON.parse(line) as unknown) };
}

describe('nimbus get', () => {
  it('puts a file in place that has the digest it should have, and leaves nothing else', async () => {
    const server = await serveFile();
    const { code, words } = await run([server.url('/a.bin'), '--checksum', `md5:${md5(file)}`]);
    expect(code).toBe(0);
    expect(readdirSync(out)).toEqual(['a.bin']);
    expect(inOut('a.bin').equals(file)).toBe(true);
    expect(words).toMatch(/^✓ a\.bin {2}300 kB, .*, md5 matches\n$/);
  });

  it('fetches many, each checked against every list that has it', async () => {
    const server = await serve((request) => honest(request, request.path === '/a' ? file : other));
    const sums = [
      list('MD5SUMS', `${md5(file)}  a`, `${md5(other)}  b`),
      list('SHA256SUMS', `${sha256(file)}  a`),
    ];
    const { code, lines } = await run(
      [server.url('/a'), server.url('/b'), ...sums.flatMap((path) => ['--sums', path])],
      { json: true },
    );
    expect(code).toBe(0);
    expect(inOut('a').equals(file)).toBe(true);
    expect(inOut('b').equals(other)).toBe(true);
    const byName = Object.fromEntries(lines.map((line) => [line.name ?? line.kind, line]));
    expect(byName['a'].digests).toContainEqual({ algorithm: 'sha256', value: sha256(file) });
    expect(byName['b'].checksum).toEqual({
      algorithm: 'md5',
      value: md5(other),
      level: 'provider',
    });
    expect(byName['total']).toMatchObject({
      ...{ files: 2, fetched: 2, failed: 0, bytes: 500_000, bytes_fetched: 500_000, retries: 0 },
    });
    expect(readdirSync(out).sort()).toEqual(['MD5SUMS', 'SHA256SUMS', 'a', 'b']);
  });

  it('compares the cheapest digest, and every one that is given when asked to', async () => {
    const server = await serveFile();
    const checksums = ['--checksum', `sha256:${sha256(file)}`, '--checksum', `md5:${md5(other)}`];
    const cheapest = await run([server.url('/a'), ...checksums], { json: true });
    expect([cheapest.code, cheapest.lines[0].checksum.algorithm]).toEqual([0, 'sha256']);
    const every = [server.url('/a'), ...checksums, '--every-digest'];
    expect(await run(every)).toMatchObject({ code: 1, words: expect.stringContaining('is there') });
    rmSync(join(out, 'a'));
    expect(await run(every)).toMatchObject({ code: 1, words: expect.stringContaining('md5') });
    expect(existsSync(join(out, 'a'))).toBe(false);
  });

  it('ends with 1 and puts nothing in place where a digest is wrong, and still fetches the others', async () => {
    const server = await serve((request) => honest(request, request.path === '/a' ? file : other));
    const sums = list('MD5SUMS', `${md5(other)}  a`, `${md5(other)}  b`);
    const { code, lines } = await run([server.url('/a'), server.url('/b'), '--sums', sums], {
      json: true,
    });
    expect(code).toBe(1);
    expect(existsSync(join(out, 'a'))).toBe(false);
    expect(inOut('b').equals(other)).toBe(true);
    expect(lines.find(({ name }) => name === 'a')).toMatchObject({
      ...{ outcome: 'failed', path: null, error: { code: 'ChecksumDisputed' } },
    });
  });

  it('refuses a file that no list knows, where lists were given', async () => {
    const server = await serveFile();
    const sums = list('MD5SUMS', `${md5(file)}  b`);
    const first = await run([server.url('/a'), '--sums', sums]);
    expect(first.code).toBe(1);
    expect(first.words).toContain('No list has a digest for a');
    expect(existsSync(join(out, 'a'))).toBe(false);
    // What was fetched is not lost: without the list it is taken as it is.
    expect(await run([server.url('/a')])).toMatchObject({ code: 0 });
    expect(server.requests).toHaveLength(1);
  });

  it('takes the name that the server gives, made safe, and looks its digest up', async () => {
    const disposition = 'attachment; filename="../.ssh/S2A.zip"';
    const server = await serve((request) =>
      honest(request, file, { headers: { 'content-disposition': disposition } }),
    );
    const name = 'ssh_S2A.zip';
    const url = server.url('/Products(1)/$value');
    const bad = list('BAD', `${md5(other)}  ${name}`);
    expect(await run([url, '--sums', bad])).toMatchObject({ code: 1 });
    expect(existsSync(join(out, name))).toBe(false);
    const good = list('GOOD', `${md5(file)}  ${name}`);
    const { code, words } = await run([url, '--sums', good]);
    expect([code, words]).toEqual([0, expect.stringContaining('md5 matches')]);
    expect(inOut(name).equals(file)).toBe(true);
  });

  it('prefers the name that a person gave or listed', async () => {
    const headers = { 'content-disposition': 'attachment; filename="theirs.bin"' };
    const server = await serve((request) => honest(request, file, { headers }));
    await run([server.url('/a'), '--name', 'ours.bin']);
    await run([server.url('/listed'), '--sums', list('MD5SUMS', `${md5(file)}  listed`)]);
    await run([server.url('/a')]);
    expect(readdirSync(out).sort()).toEqual(['MD5SUMS', 'listed', 'ours.bin', 'theirs.bin']);
  });

  it('asks nobody for a file that is there with the right digest', async () => {
    const server = await serveFile();
    writeFileSync(join(out, 'a'), file);
    const { code, lines } = await run([server.url('/a'), '--checksum', `md5:${md5(file)}`], {
      json: true,
    });
    expect(code).toBe(0);
    expect(lines[0]).toMatchObject({ outcome: 'reused', bytes: 300_000, bytes_fetched: 0 });
    expect(server.requests).toHaveLength(0);
  });

  it('never replaces other content unless told to', async () => {
    const server = await serveFile();
    writeFileSync(join(out, 'a'), other);
    const checksum = ['--checksum', `md5:${md5(file)}`];
    const refused = await run([server.url('/a'), ...checksum]);
    expect([refused.code, refused.words]).toEqual([1, expect.stringContaining('--overwrite')]);
    expect(server.requests).toHaveLength(0);
    expect(inOut('a').equals(other)).toBe(true);
    expect(await run([server.url('/a'), ...checksum, '--overwrite'])).toMatchObject({ code: 0 });
    expect(inOut('a').equals(file)).toBe(true);
    expect(readdirSync(out)).toEqual(['a']);
  });

  it('compares with what is there where no digest tells, and fetches once for both answers', async () => {
    const server = await serveFile();
    writeFileSync(join(out, 'a'), other);
    expect(await run([server.url('/a')])).toMatchObject({ code: 1 });
    expect(inOut('a').equals(other)).toBe(true);
    expect(await run([server.url('/a'), '--overwrite'])).toMatchObject({ code: 0 });
    expect(inOut('a').equals(file)).toBe(true);
    expect(server.requests).toHaveLength(1);
    expect(await run([server.url('/a')])).toMatchObject({ code: 0 });
  });

  it('writes neither through a link nor over a folder', async () => {
    const server = await serveFile();
    mkdirSync(join(out, 'elsewhere'));
    writeFileSync(join(out, 'elsewhere', 'target'), 'untouched');
    symlinkSync(join(out, 'elsewhere', 'target'), join(out, 'link'));
    for (const name of ['link', 'elsewhere'])
      expect(await run([server.url(`/${name}`)])).toMatchObject({ code: 1 });
    expect(inOut('elsewhere/target').toString()).toBe('untouched');
  });

  it('fetches what failed when it is run again, and nothing else', async () => {
    let isGone = true;
    const server = await serve((request) =>
      request.path === '/b' && isGone
        ? { status: 404, headers: { 'content-length': '0' } }
        : honest(request, file),
    );
    const urls = [server.url('/a'), server.url('/b')];
    expect(await run(urls)).toMatchObject({ code: 1 });
    isGone = false;
    const { code, lines } = await run(urls, { json: true });
    expect(code).toBe(0);
    expect(lines.map(({ name, outcome }) => [name, outcome])).toContainEqual(['a', 'reused']);
    expect(server.requests.map(({ path }) => path).sort()).toEqual(['/a', '/b', '/b']);
    expect(readdirSync(out).sort()).toEqual(['a', 'b']);
  });

  it("sends headers to the URL's own host, and follows a redirect without them", async () => {
    const server = await serveFile();
    const seen = ({ requests }: LyingServer) =>
      requests
        .map(({ path, headers }) => [path, headers['x-key'], headers['authorization']])
        .sort((one, two) => String(one[0]).localeCompare(String(two[0])));
    const front = await serve((request): Answer =>
      request.headers['x-key'] === 'canary'
        ? { status: 302, headers: { location: server.url('/moved'), 'content-length': '0' } }
        : { status: 403, headers: { 'content-length': '0' } },
    );
    const user = front.url('/c').replace('//', '//me:pass@');
    const urls = [front.url('/a'), user, server.url('/b')];
    expect(await run([...urls, '-H', 'X-Key: canary'])).toMatchObject({ code: 0 });
    const basic = `Basic ${Buffer.from('me:pass').toString('base64')}`;
    expect(seen(front)).toEqual([
      ['/a', 'canary', undefined],
      ['/c', 'canary', basic],
    ]);
    expect(seen(server)).toEqual([
      ['/b', 'canary', undefined],
      ['/moved', undefined, undefined],
      ['/moved', undefined, undefined],
    ]);
  });

  it('speaks plain http to the hosts that were named, and to no other', async () => {
    const server = await serveFile();
    const front = await serve(() => ({
      status: 302,
      headers: { location: server.url('/moved'), 'content-length': '0' },
    }));
    const { code, words } = await run([front.url('/a')]);
    expect([code, words]).toEqual([1, expect.stringContaining('plain http')]);
    expect(server.requests).toHaveLength(0);
  });

  it('waits as long as a server asks, tells so, and goes on', async () => {
    let isFirst = true;
    const server = await serve((request) => {
      if (!isFirst) return honest(request, file);
      isFirst = false;
      return { status: 429, headers: { 'retry-after': '1', 'content-length': '0' } };
    });
    const { code, lines, words } = await run([server.url('/a')], { json: true });
    expect(code).toBe(0);
    expect(lines[0]).toMatchObject({ outcome: 'fetched', retries: 1 });
    expect(words).toContain('429');
  });

  it('counts waits from the last progress on, whatever status asks for them', async () => {
    const wait = { 'retry-after': '6', 'content-length': '0' };
    const server = await serve((request) => {
      if (request.index === 0) return { status: 429, headers: wait };
      if (request.index === 2) return { status: 502, headers: wait };
      const answer = honest(request, file, { etag: '"one"' });
      if (request.index > 2) return answer;
      return { ...answer, body: answer.body.subarray(0, file.length / 2), then: 'end' };
    });
    const { code, lines } = await run([server.url('/a'), '--tries', '2'], { json: true });
    expect([code, lines[0]]).toMatchObject([0, { outcome: 'fetched', retries: 3 }]);
    expect(server.requests).toHaveLength(4);
  });

  it('goes through the proxy that the environment names, and says when that is none', async () => {
    const server = await serveFile();
    const proxy = await serve((request) => honest(request, other));
    const env = { http_proxy: `http://${proxy.host}` };
    expect(await run([server.url('/a')], { env })).toMatchObject({ code: 0 });
    expect(inOut('a').equals(other)).toBe(true);
    expect(server.requests).toHaveLength(0);
    await expect(run([server.url('/a')], { env: { http_proxy: 'ftp://x' } })).rejects.toMatchObject(
      {
        exitCode: 78,
      },
    );
  });

  it('says what cannot be reached, with the exit code for it, and leaves no empty folder', async () => {
    const server = await serve((request) => honest(request, file));
    const url = server.url('/a');
    await server.close();
    servers = [];
    const { code, words } = await run([url, '--tries', '1']);
    expect([code, words]).toEqual([69, expect.stringMatching(/^✗ a .*ECONNREFUSED/)]);
    expect(readdirSync(out)).toEqual([]);
  });

  it('never asks for more files at once than it was given connections', async () => {
    const server = await serve((request) => ({
      ...honest(request, file),
      ...{ sliceBytes: 100_000, everyMs: 20 },
    }));
    const urls = Array.from({ length: 9 }, (_, index) => server.url(`/files/${index}`));
    const { code } = await run([...urls, '--files', '8', '--connections', '3', '--quiet']);
    expect(code).toBe(0);
    expect(readdirSync(out)).toHaveLength(9);
    expect(Math.max(...server.peaks.values())).toBeLessThanOrEqual(3);
    expect(Math.max(...server.peaks.values())).toBeGreaterThan(1);
  });

  it('fetches one large file over several connections, and no more than it was given', async () => {
    const large = bytesOf(40_000_000, 5);
    const server = await serve((request) => ({
      ...honest(request, large, { etag: '"one"' }),
      ...{ sliceBytes: 256 * 1024, everyMs: 10 },
    }));
    const { code } = await run([server.url('/a'), '--connections', '3']);
    expect(code).toBe(0);
    expect(inOut('a').equals(large)).toBe(true);
    expect([...server.peaks.values()]).toEqual([3]);
  });

  it('stays below the rate that it was given, over all files', async () => {
    const server = await serveFile(bytesOf(1_500_000, 9));
    const urls = [server.url('/a'), server.url('/b')];
    const startMs = performance.now();
    expect(await run([...urls, '--limit-rate', '2M'])).toMatchObject({ code: 0 });
    // 3 MB take 1.4 s; an idle line lets a tenth of a second through at once, and nothing waits behind the last bytes.
    expect(performance.now() - startMs).toBeGreaterThan(900);
    await expect(run([...urls, '--limit-rate', '1 MB'])).rejects.toMatchObject({ exitCode: 2 });
  });
});

describe('as a process', () => {
  const big = bytesOf(12_000_000, 3);
  let compiled: CompiledTransfer;
  let program: string;
  beforeAll(async () => {
    compiled = await compileTransfer(['src/cli', 'src/artifacts', 'src/config.ts']);
    const root = join(dirname(compiled.entry), '../..');
    writeFileSync(join(root, 'package.json'), '{"type":"module","version":"0.0.0"}');
    program = join(root, 'nimbus.mjs');
    writeFileSync(
      program,
      `const { runCli } = await import('./src/cli/main.js');\nawait runCli(process.argv);\n`,
    );
  });
  afterAll(() => compiled.remove());

  const start = (args: string[], env: Record<string, string> = {}): ChildProcess =>
    spawn(process.execPath, [program, 'get', '--out', out, ...args], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  async function endOf(child: ChildProcess) {
    const [[code], stdout, stderr] = await Promise.all([
      once(child, 'exit') as Promise<[number | null]>,
      text(child.stdout!),
      text(child.stderr!),
    ]);
    return { code, stdout, stderr };
  }
  const slow = (): Promise<LyingServer> =>
    serve((request) => ({
      ...honest(request, big, { etag: '"one"' }),
      ...{ sliceBytes: 256 * 1024, everyMs: 40 },
    }));
  const sent = async (server: LyingServer, bytes: number): Promise<void> => {
    while (server.bytesSent() < bytes) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  it('F077 goes on from what is durable after SIGKILL', async () => {
    const server = await slow();
    const args = [server.url('/big'), '--checksum', `md5:${md5(big)}`];
    for (const share of [0.5, 0.9]) {
      const child = start(args);
      const ended = endOf(child);
      await sent(server, share * big.length);
      child.kill('SIGKILL');
      await ended;
      expect(existsSync(join(out, 'big'))).toBe(false);
    }
    const { code, stdout } = await endOf(start([...args, '--json']));
    expect(code).toBe(0);
    const report = JSON.parse(stdout.split('\n')[0]!) as Record<string, number>;
    expect(report['resumed_from']).toBeGreaterThan(0);
    expect(report['bytes_fetched']).toBeLessThan(big.length);
    expect(inOut('big').equals(big)).toBe(true);
    expect(readdirSync(out)).toEqual(['big']);
  });

  it('goes on when nobody is there any longer to be told', async () => {
    const server = await serve((request) =>
      request.index === 0
        ? { status: 500, headers: { 'content-length': '0' } }
        : honest(request, big, { etag: '"one"' }),
    );
    const child = start(['--json', server.url('/big')]);
    child.stderr!.destroy();
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(0);
    expect(inOut('big').equals(big)).toBe(true);
  });

  it('does not say that all is there when whoever read its results left before', async () => {
    const server = await serve((request) =>
      request.path === '/big'
        ? { ...honest(request, big, { etag: '"one"' }), sliceBytes: 256 * 1024, everyMs: 40 }
        : honest(request, file),
    );
    const child = start(['--json', server.url('/small'), server.url('/big')]);
    child.stdout!.destroy();
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(141);
    expect(existsSync(join(out, 'big'))).toBe(false);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    'stops within 2 s on %s, keeps its bytes and says how to go on',
    async (how, code) => {
      const server = await slow();
      const child = start([server.url('/big'), server.url('/more')]);
      const ended = endOf(child);
      await sent(server, big.length);
      const atMs = performance.now();
      child.kill(how);
      const end = await ended;
      expect(performance.now() - atMs).toBeLessThan(2_000);
      expect(end.code).toBe(code);
      expect(end.stdout).toMatch(/– big {2}[\d.]+ MB kept\n/);
      expect(end.stdout).toContain('the same command again goes on from there');
      expect(readdirSync(out)).toEqual(['.nimbus-get']);
      const again = await endOf(start([server.url('/big'), server.url('/more'), '--json']));
      expect(again.code).toBe(0);
      const reports = again.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(reports.find(({ name }) => name === 'big').resumed_from).toBeGreaterThan(0);
      expect(readdirSync(out).sort()).toEqual(['big', 'more']);
    },
  );

  it('reads URLs from standard input, and is silent when it is to be', async () => {
    const server = await serveFile();
    const child = start(['--input', '-', '--quiet']);
    child.stdin!.end(`${server.url('/a')}\n${server.url('/b')}\n`);
    expect(await endOf(child)).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readdirSync(out).sort()).toEqual(['a', 'b']);
  });

  it('stops on SIGINT while it waits for standard input', async () => {
    const child = start(['--input', '-']);
    const ended = endOf(child);
    // More than fits between two processes: it is through once the command reads, and listens for the signal.
    const lines = 'http://127.0.0.1:1/a\n'.repeat(100_000);
    await new Promise((resolve) => child.stdin!.write(lines, resolve));
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
  });

  it('starts without the rest of the product', async () => {
    const server = await serveFile();
    const packagesOf = async (args: string[]): Promise<string[]> => {
      const coverage = mkdtempSync(join(tmpdir(), 'nimbus-get-loaded-'));
      expect((await endOf(start(args, { NODE_V8_COVERAGE: coverage }))).code).toBe(0);
      const urls = readdirSync(coverage).flatMap((name) => {
        const { result } = JSON.parse(readFileSync(join(coverage, name), 'utf8')) as {
          result: { url: string }[];
        };
        return result.map(({ url }) => url);
      });
      rmSync(coverage, { recursive: true });
      expect(urls.some((url) => url.endsWith('/src/cli/main.js'))).toBe(true);
      const packages = urls.map(
        (url) => /node_modules\/(?!\.cache)((@[^/]+\/)?[^/]+)/.exec(url)?.[1],
      );
      return [...new Set(packages.filter((name) => name !== undefined))].sort();
    };
    expect(await packagesOf(['--help'])).toEqual(['commander']);
    expect(await packagesOf([server.url('/a')])).toEqual(['commander']);
  });
});
