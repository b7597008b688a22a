/** How the local stack finds programs, keeps one holder at a time, and remembers what runs. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheDirectory, obtain, onPath } from '../../../src/cli/local/cache.js';
import { hold, tryHold } from '../../../src/cli/local/exclusive.js';
import { makeDirectory } from '../../../src/cli/local/make-directory.js';
import { findMongod, mongodServer } from '../../../src/cli/local/mongod.js';
import {
  forgetRunningStack,
  withRunningStack,
  writeRunningStack,
} from '../../../src/cli/local/running-stack.js';
import { findTemporal, temporalServer } from '../../../src/cli/local/temporal-server.js';
import { silentNotes } from '../../../src/cli/output/notes.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nimbus-local-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const signal = new AbortController().signal;
const contextOf = (env: Record<string, string>) => ({ env, notes: silentNotes, signal });
const SHELLS = '/usr/bin:/bin';

function program(path: string, script = 'exit 0'): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe('findTemporal and findMongod', () => {
  it('prefer the PATH to the cache, and pass over one that does not run', async () => {
    const bin = join(directory, 'bin');
    const cached = {
      temporal: program(join(directory, 'cache/nimbus/temporal-1.5.1/bin/temporal')),
      mongod: program(join(directory, 'cache/nimbus/mongod-6.0.5/mongod')),
    };
    const env = { PATH: `${bin}:${SHELLS}`, XDG_CACHE_HOME: join(directory, 'cache') };
    expect(await findTemporal(contextOf(env))).toBe(cached.temporal);
    expect(await findMongod(contextOf(env))).toBe(cached.mongod);
    program(join(bin, 'temporal'), 'exit 1');
    const mongod = program(join(bin, 'mongod'));
    expect(await findTemporal(contextOf(env))).toBe(cached.temporal);
    expect(await findMongod(contextOf(env))).toBe(mongod);
    const temporal = program(join(bin, 'temporal'));
    expect(await findTemporal(contextOf(env))).toBe(temporal);
  });
});

describe('obtain', () => {
  const target = () => join(directory, 'cache', 'tool', 'tool');
  const way = (what: string, make: (path: string) => void) => ({
    what,
    make: async (path: string) => make(path),
  });
  const broken = way('broken', (path) => program(path, 'exit 1'));
  const closed = way('closed', () => {
    throw new Error('no network');
  });

  it('takes the first way whose program runs, and leaves no scratch behind', async () => {
    const made = await obtain(
      target(),
      [closed, broken, way('good', (path) => program(path))],
      contextOf({ PATH: SHELLS }),
    );
    expect(made).toBe(target());
    expect(readdirSync(dirname(target())).sort()).toEqual(['.fetching', 'tool']);
  });

  it('puts nothing in place when no way works', async () => {
    expect(await obtain(target(), [closed, broken], contextOf({ PATH: SHELLS }))).toBeNull();
    expect(existsSync(target())).toBe(false);
  });

  it('makes it once when two ask at the same time', async () => {
    let made = 0;
    const slow = {
      what: 'slow',
      make: async (path: string) => {
        made += 1;
        await new Promise((resolve) => setTimeout(resolve, 200));
        program(path);
      },
    };
    const context = contextOf({ PATH: SHELLS });
    const both = await Promise.all([
      obtain(target(), [slow], context),
      obtain(target(), [slow], context),
    ]);
    expect(both).toEqual([target(), target()]);
    expect(made).toBe(1);
  });
});

describe('the cache', () => {
  it('follows XDG_CACHE_HOME, and the PATH names no folder', () => {
    expect(cacheDirectory({ XDG_CACHE_HOME: '/x' })).toBe('/x/nimbus');
    expect(cacheDirectory({ XDG_CACHE_HOME: '' })).toMatch(/\.cache\/nimbus$/);
    expect(onPath('no-such-program', { PATH: SHELLS })).toBeNull();
  });
});

describe('tryHold', () => {
  it('gives the lock to one, and to the next once it is released', async () => {
    const file = join(directory, 'up.lock');
    const first = tryHold(file);
    expect(first).not.toBeNull();
    expect(tryHold(file)).toBeNull();
    let waited = 0;
    const next = hold(file, () => (waited += 1), signal);
    setTimeout(() => first?.release(), 100);
    (await next).release();
    expect(waited).toBe(1);
  });
});

describe('makeDirectory', () => {
  it('makes what is missing, and leaves what is there', () => {
    const deep = join(directory, 'a/b/c');
    makeDirectory(deep);
    makeDirectory(deep);
    expect(readdirSync(join(directory, 'a'))).toEqual(['b']);
  });

  it.each(['file', 'file/below', 'dangling'])('names what cannot be used: %s', (name) => {
    writeFileSync(join(directory, 'file'), '');
    symlinkSync(join(directory, 'nowhere'), join(directory, 'dangling'));
    const path = join(directory, name);
    const refusal = { exitCode: 78, message: expect.stringContaining(path) };
    expect(() => makeDirectory(path)).toThrow(expect.objectContaining(refusal));
    expect(() => tryHold(join(path, 'run', 'up.lock'))).toThrow(
      expect.objectContaining({ exitCode: 78, nextStep: expect.stringMatching(/NIMBUS_DATA_DIR/) }),
    );
  });

  it.skipIf(process.platform !== 'linux')(
    'ends where the parent is there and the system says that it is not (skipped without /proc)',
    () => {
      expect(() => makeDirectory('/proc/nope/run')).toThrow(
        expect.objectContaining({ exitCode: 78, message: '/proc/nope/run cannot be used: ENOENT' }),
      );
    },
  );

  it('refuses a lock file that is none', () => {
    mkdirSync(join(directory, 'up.lock'));
    expect(() => tryHold(join(directory, 'up.lock'))).toThrow(
      expect.objectContaining({ exitCode: 78 }),
    );
  });
});

describe('withRunningStack', () => {
  it('fills in what the user did not say, while that process lives', () => {
    const env = { NIMBUS_DATA_DIR: directory, TEMPORAL_ADDRESS: 'mine:7233', NIMBUS_DB_PATH: '' };
    writeRunningStack(directory, { TEMPORAL_ADDRESS: 'up:1', NIMBUS_MONGODB_URI: 'mongodb://up' });
    expect(withRunningStack(env)).toEqual({
      NIMBUS_DATA_DIR: directory,
      TEMPORAL_ADDRESS: 'mine:7233',
      NIMBUS_MONGODB_URI: 'mongodb://up',
    });
    forgetRunningStack(directory);
    expect(withRunningStack(env)).not.toHaveProperty('NIMBUS_MONGODB_URI');
  });
});

describe('server commands', () => {
  const common = { dataDir: '/d', logDir: '/l', env: { TEMPORAL_PROFILE: 'mine', A: 'b' } };

  it('listen on loopback alone and keep the measured settings', () => {
    const ports = { grpc: 1, ui: 2, http: 3, metrics: 4 };
    const temporal = temporalServer({ ...common, binary: 't', ports, restart: true });
    const words = temporal.args.join(' ');
    expect(words).toContain('--ip 127.0.0.1');
    expect(words).toContain('history.transferProcessorMaxPollRPS=2000');
    expect(words).toContain('history.timerProcessorMaxPollRPS=2000');
    expect(words).toContain('history.visibilityProcessorMaxPollRPS=2000');
    expect(words).toContain('--sqlite-pragma journal_mode=WAL --sqlite-pragma synchronous=NORMAL');
    expect(temporal.env).toEqual({ A: 'b' });
    const mongod = mongodServer({ ...common, binary: 'm', port: 5, restart: true });
    expect(mongod.args.join(' ')).toContain('--bind_ip 127.0.0.1 --port 5');
    expect(mongod.args).toContain('--replSet');
  });
});
