/**
 * A real Temporal server and a real mongod for tests, each on free ports with its own temporary data, stopped with the
 * test file. They come from where `nimbus up` takes them, so that a fetched one is fetched once for everything.
 * Nothing restarts by itself here: a test that kills one calls `start()` again.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findMongod, mongodServer, mongodUri } from '../../src/cli/local/mongod.js';
import { freePorts } from '../../src/cli/local/ports.js';
import { supervise, type SupervisedProcess } from '../../src/cli/local/supervised-process.js';
import { findTemporal, temporalServer } from '../../src/cli/local/temporal-server.js';
import { silentNotes } from '../../src/cli/output/notes.js';

export interface TestServer {
  process: SupervisedProcess;
  /** Stops it and removes its data. */
  close(): Promise<void>;
}

export interface TestTemporal extends TestServer {
  address: string;
  uiUrl: string;
}

export interface TestMongod extends TestServer {
  uri: string;
}

const context = { env: process.env, notes: silentNotes, signal: new AbortController().signal };

/** Started and answering. @throws Error if no Temporal server can be had on this machine */
export async function startTemporal(): Promise<TestTemporal> {
  const binary = await findTemporal(context);
  if (!binary) throw new Error('No Temporal server can be had: see `nimbus doctor`');
  const [grpc, ui, http, metrics] = (await freePorts(4)) as [number, number, number, number];
  const server = await start('temporal', (directory) =>
    temporalServer({
      binary,
      dataDir: directory,
      logDir: directory,
      ports: { grpc, ui, http, metrics },
      env: process.env,
      restart: false,
    }),
  );
  return { ...server, address: `127.0.0.1:${grpc}`, uiUrl: `http://127.0.0.1:${ui}` };
}

/** Primary of its own replica set. @throws Error if no mongod can be had on this machine */
export async function startMongod(): Promise<TestMongod> {
  const binary = await findMongod(context);
  if (!binary) throw new Error('No mongod can be had: see `nimbus doctor`');
  const [port] = (await freePorts(1)) as [number];
  const server = await start('mongod', (directory) => {
    const dataDir = join(directory, 'db');
    mkdirSync(dataDir);
    return mongodServer({
      binary,
      dataDir,
      logDir: directory,
      port,
      env: process.env,
      restart: false,
    });
  });
  return { ...server, uri: mongodUri(port) };
}

async function start(
  name: string,
  toSpec: (directory: string) => Parameters<typeof supervise>[0],
): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), `nimbus-${name}-`));
  const child = supervise(toSpec(directory), () => {});
  await child.start();
  return {
    process: child,
    async close() {
      await child.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
