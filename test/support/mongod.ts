/**
 * A MongoDB for tests: the one of NIMBUS_TEST_MONGODB_URI, else a one-node replica set of our own on a free port in a
 * temporary directory, from the mongod on the PATH or in the user's cache. None → tests skip with `mongodMissing`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { freePorts } from '../../src/cli/local/ports.js';

const REPLICA_SET = 'test';
const START_MS = 30_000;

export interface TestMongod {
  uri: string;
  /** Null for a server that is not ours. */
  process: TestMongodProcess | null;
  close(): Promise<void>;
}

export interface TestMongodProcess {
  /** Resolves once the server has ended or stands still; without /proc, that it stands still is taken on trust. */
  kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** Starts it again on the same port and data; resolves once it takes writes. */
  start(): Promise<void>;
}

const givenUri = process.env['NIMBUS_TEST_MONGODB_URI'] || null;
const binary = findMongod();

/** Why there is none, or null if there is one. */
export const mongodMissing: string | null =
  givenUri || binary
    ? null
    : 'no mongod: set NIMBUS_TEST_MONGODB_URI, or put mongod on the PATH, or run `npm run demo` once';

function findMongod(): string | null {
  const onPath = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, 'mongod'))
    .find((path) => existsSync(path));
  if (onPath) return onPath;
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return findCached(join(cache, 'nimbus'));
}

function findCached(directory: string): string | null {
  if (!existsSync(directory)) return null;
  const found = readdirSync(directory)
    .filter((name) => name.startsWith('mongod-'))
    .flatMap((name) =>
      readdirSync(join(directory, name), { recursive: true, encoding: 'utf8' })
        .filter((path) => basename(path) === 'mongod')
        .map((path) => join(directory, name, path)),
    );
  return found.sort().at(-1) ?? null;
}

/** `standalone`: without a replica set, always of our own. */
export async function startMongod(options: { standalone?: boolean } = {}): Promise<TestMongod> {
  const { standalone = false } = options;
  if (givenUri && !standalone) return { uri: givenUri, process: null, close: async () => {} };
  if (!binary) throw new Error(mongodMissing!);
  const directory = await mkdtemp(join(tmpdir(), 'nimbus-mongod-'));
  const port = await freePort();
  const replication = standalone ? [] : ['--replSet', REPLICA_SET];
  let child = await run(binary, directory, port, replication);
  if (standalone) await writable(port);
  else await initiate(port);
  return {
    uri: `mongodb://127.0.0.1:${port}/${standalone ? '' : `?replicaSet=${REPLICA_SET}`}`,
    process: {
      async kill(signal) {
        child.kill(signal);
        if (signal === 'SIGKILL' || signal === 'SIGTERM') await exited(child);
        if (signal === 'SIGSTOP') await stopped(child);
      },
      async start() {
        child = await run(binary, directory, port, replication);
        await writable(port);
      },
    },
    async close() {
      child.kill('SIGKILL');
      await exited(child);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function run(
  path: string,
  directory: string,
  port: number,
  replication: string[],
): Promise<ChildProcess> {
  const child = spawn(
    path,
    [
      ...[...replication, '--bind_ip', '127.0.0.1', '--port', String(port)],
      ...['--dbpath', directory, '--wiredTigerCacheSizeGB', '0.25', '--oplogSize', '64'],
      ...['--setParameter', 'diagnosticDataCollectionEnabled=false', '--quiet'],
    ],
    { stdio: ['ignore', 'ignore', 'ignore'] },
  );
  await once(child, 'spawn');
  // A test runner that gives up must not leave it behind.
  const orphan = () => child.kill('SIGKILL');
  process.once('exit', orphan);
  child.once('exit', () => process.off('exit', orphan));
  return child;
}

async function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

/** On a busy machine a process goes on until one of its threads has seen the signal. */
async function stopped({ pid }: ChildProcess): Promise<void> {
  const state = () => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
  while (existsSync(`/proc/${pid}/stat`) && state() !== 'T') await sleep(5);
}

async function initiate(port: number): Promise<void> {
  await eventually(port, async (client) => {
    const members = [{ _id: 0, host: `127.0.0.1:${port}` }];
    try {
      await client.db('admin').command({ replSetInitiate: { _id: REPLICA_SET, members } });
    } catch (error) {
      if ((error as { codeName?: string }).codeName !== 'AlreadyInitialized') throw error;
    }
  });
  await writable(port);
}

async function writable(port: number): Promise<void> {
  await eventually(port, async (client) => {
    const hello = await client.db('admin').command({ hello: 1 });
    if (hello['isWritablePrimary'] !== true) throw new Error('Not yet primary');
  });
}

/** A client whose first connection failed stays closed: each attempt has its own. */
async function eventually(
  port: number,
  work: (client: MongoClient) => Promise<void>,
): Promise<void> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    const client = new MongoClient(`mongodb://127.0.0.1:${port}/`, {
      directConnection: true,
      serverSelectionTimeoutMS: 500,
    });
    try {
      return await work(client);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(50);
    } finally {
      await client.close();
    }
  }
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0]!;
}
