/**
 * The `nimbus` command as people run it: the built program, real processes, its words and its exit codes. `demo` is
 * interrupted and goes on; `up` heals what is killed, refuses what it cannot have, and leaves nothing when it is killed.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePorts } from '../../src/cli/local/ports.js';

const nimbus = fileURLToPath(new URL('../../bin/nimbus.mjs', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'nimbus-cli-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Env = Record<string, string>;

interface Running {
  child: ChildProcess;
  /** Everything it has said so far. */
  said(): string;
  /** Resolves once it has said something like this. */
  says(pattern: RegExp): Promise<void>;
  exitCode: Promise<number | null>;
}

function start(args: string[], env: Env = {}): Running {
  const { PATH = '', HOME = directory, XDG_CACHE_HOME } = process.env;
  const child = spawn(process.execPath, [nimbus, ...args], {
    cwd: directory,
    env: { PATH, HOME, ...(XDG_CACHE_HOME ? { XDG_CACHE_HOME } : {}), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr.on('data', (data: Buffer) => (text += data.toString()));
  return {
    child,
    said: () => text,
    says: (pattern) =>
      vi.waitFor(() => expect(text).toMatch(pattern), { timeout: 120_000, interval: 20 }),
    exitCode: once(child, 'close').then(([code]) => code as number | null),
  };
}

async function run(args: string[], env: Env = {}): Promise<{ code: number | null; said: string }> {
  const running = start(args, env);
  return { code: await running.exitCode, said: running.said() };
}

/** Command lines of running programs that name this directory; zombies have none. Linux only: elsewhere nothing is found. */
function programsIn(path: string): string[] {
  if (!existsSync('/proc/self/cmdline')) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`;
      } catch {
        return '';
      }
    })
    .filter((line) => line.includes(path));
}

describe('nimbus', () => {
  it('says what it can do, and how its exit codes read', async () => {
    const { code, said } = await run(['--help']);
    expect(code).toBe(0);
    for (const command of ['up', 'demo', 'fetch', 'jobs', 'verify', 'doctor', 'rebuild', 'sandbox'])
      expect(said).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    expect(said).toMatch(/^ {2}78 +a variable/m);
  });

  it('ends with 2 for what it does not know', async () => {
    expect((await run(['frobnicate'])).code).toBe(2);
    expect((await run(['sandbox', '--port', 'many'])).code).toBe(2);
  });

  it('ends with 78 and names every bad variable on its own line', async () => {
    const env = { NIMBUS_API_PORT: '99999', NIMBUS_DB_BACKEND: 'oracle' };
    for (const command of ['api', 'worker', 'up', 'demo']) {
      const { code, said } = await run([command], env);
      expect(code).toBe(78);
      expect(said).toMatch(/^nimbus: NIMBUS_API_PORT: /m);
      expect(said).toMatch(/^nimbus: NIMBUS_DB_BACKEND: /m);
    }
  });

  it('ends with 69 and a next step when no API answers', async () => {
    const [port] = (await freePorts(1)) as [number];
    const { code, said } = await run(['jobs', 'list', '--api-url', `http://127.0.0.1:${port}`]);
    expect(code).toBe(69);
    expect(said).toContain(`The API at http://127.0.0.1:${port} does not answer`);
    expect(said).toContain('npm start');
  });
});

describe('nimbus demo', () => {
  const env = { NIMBUS_DATA_DIR: join(directory, 'demo-data') };
  let manifest: string;

  it('stops cleanly in the middle, and goes on when it is run again, whatever proxy there is', async () => {
    const first = start(['demo'], env);
    await first.says(/^ +\d+ % +\d/m);
    first.child.kill('SIGTERM');
    expect(await first.exitCode).toBe(143);
    const [, job] = /goes on with job (\S+),/.exec(first.said()) ?? [];
    expect(job).toBeTruthy();
    expect(programsIn(env.NIMBUS_DATA_DIR)).toEqual([]);

    const nowhere = `http://127.0.0.1:${(await freePorts(1))[0]}`;
    const second = await run(['demo'], { ...env, HTTP_PROXY: nowhere, http_proxy: nowhere });
    expect(second.said).toContain(`Going on with job ${job}`);
    expect(second.code).toBe(0);
    expect(second.said).toMatch(/4 files fetched and verified twice/);
    expect(second.said).toMatch(/blake3 [0-9a-f]{64} {2}verified by the provider's digest/);
    expect(programsIn(env.NIMBUS_DATA_DIR)).toEqual([]);
    manifest = /manifest alone: (\S+)/.exec(second.said)![1]!;
  });

  it('leaves files that verify offline, until a bit flips', async () => {
    expect((await run(['verify', manifest])).code).toBe(0);
    const { said } = await run(['--json', 'verify', manifest]);
    const { path } = JSON.parse(said.split('\n')[0]!) as { path: string };
    const content = readFileSync(path);
    content[1000]! ^= 1;
    writeFileSync(path, content);
    const broken = await run(['verify', manifest]);
    expect(broken.code).toBe(1);
    expect(broken.said).toMatch(/1 of 4 files are not what the manifest says/);
  });
});

describe('nimbus up', () => {
  const dataDir = join(directory, 'up-data');
  let env: Env;
  let flags: string[];

  beforeAll(async () => {
    const [api, temporal, ui, mongodb, sandbox] = await freePorts(5);
    env = { NIMBUS_DATA_DIR: dataDir, NIMBUS_API_PORT: String(api) };
    flags = [
      ...['--temporal-port', String(temporal), '--temporal-ui-port', String(ui)],
      ...['--mongodb-port', String(mongodb), '--sandbox-port', String(sandbox)],
    ];
  });

  const fetchOne = () =>
    run(
      [
        ...['fetch', '--collection', 'SENTINEL-2', '--product-type', 'S2MSI2A', '--aoi', '29SPT'],
        ...['--start', '2025-01-01', '--end', '2025-01-03', '--max-products', '1'],
      ],
      env,
    );

  it('heals what is killed, refuses a second one, and keeps everything for the next start', async () => {
    const up = start(['up', ...flags], env);
    await up.says(/Nimbus runs until Ctrl-C/);
    expect(up.said()).toContain('No credentials: the offline sandbox');
    expect((await run(['doctor'], env)).said).toContain('All is well');

    const twin = await run(['up', ...flags], env);
    expect(twin.code).toBe(75);
    expect(twin.said).toContain(`Another \`nimbus up\` runs on ${dataDir}`);
    const other = await run(['up'], { ...env, NIMBUS_DATA_DIR: join(directory, 'other') });
    expect(other.code).toBe(69);
    expect(other.said).toMatch(
      new RegExp(`Port ${env['NIMBUS_API_PORT']} is in use .* the API wants it`),
    );
    expect(other.said).toContain('NIMBUS_API_PORT');

    killAllParts();
    for (const part of ['temporal', 'mongod', 'worker', 'sandbox'])
      await up.says(new RegExp(`^${part} was killed: starting it again`, 'm'));
    const fetched = await fetchOne();
    expect(fetched.said).toMatch(/Job \S+ succeeded/);
    expect(fetched.code).toBe(0);

    up.child.kill('SIGINT');
    expect(await up.exitCode).toBe(0);
    expect(programsIn(dataDir)).toEqual([]);
  });

  /** By their command lines: those that name the data directory, but not `up` itself. */
  function killAllParts(): void {
    for (const line of programsIn(dataDir)) {
      const [pid, ...command] = line.split(' ');
      if (command[0] !== 'sh') process.kill(Number(pid), 'SIGKILL');
    }
  }

  it('leaves nothing when it is killed, and starts again with the jobs of before', async () => {
    const killed = start(['up', ...flags], env);
    await killed.says(/Nimbus runs until Ctrl-C/);
    killed.child.kill('SIGKILL');
    await killed.exitCode;
    await vi.waitFor(() => expect(programsIn(dataDir)).toEqual([]), { timeout: 5_000 });

    const again = start(['up', ...flags], env);
    await again.says(/Nimbus runs until Ctrl-C/);
    expect(again.said()).toContain('The last run was cut off');
    const jobs = await run(['--json', 'jobs', 'list', '--state', 'succeeded'], env);
    expect(jobs.said.trim().split('\n')).toHaveLength(1);
    expect((await fetchOne()).said).toMatch(/0 fetched, 1 already held/);
    again.child.kill('SIGTERM');
    expect(await again.exitCode).toBe(0);
  });
});
