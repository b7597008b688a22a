/**
 * A real S3-compatible server for tests: versitygw on loopback, serving a temporary directory. None to be had on this
 * machine (see find-versitygw.mjs) → tests skip with `versitygwMissing`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { freePorts } from '../../src/cli/local/ports.js';
import * as cache from '../../src/cli/local/cache.js';
import { silentNotes } from '../../src/cli/output/notes.js';
import { findVersitygw } from './find-versitygw.mjs';

const START_MS = 20_000;

export interface TestBucket {
  endpoint: string;
  bucket: string;
  /** Where the server keeps the bucket's objects: a directory, each object a file under its key. */
  directory: string;
  client: S3Client;
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export const testCredentials = { accessKeyId: 'nimbus', secretAccessKey: 'canary-5d1c-secret' };

// The SDK's advice about newer versions of Node is none for tests.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';

const binary = await findVersitygw(cache, {
  env: process.env,
  notes: silentNotes,
  signal: new AbortController().signal,
});

/** Why there is none, or null if there is one. */
export const versitygwMissing: string | null = binary
  ? null
  : 'no versitygw: put it on the PATH, or have go and its module proxy at hand';

/** Started and answering, with one empty bucket. */
export async function startVersitygw(bucket = 'nimbus-test'): Promise<TestBucket> {
  if (!binary) throw new Error(versitygwMissing!);
  const root = await mkdtemp(join(tmpdir(), 'nimbus-s3-'));
  const served = join(root, 'served');
  mkdirSync(served);
  const [port] = (await freePorts(1)) as [number];
  const endpoint = `http://127.0.0.1:${port}`;
  const log = openSync(join(root, 'log'), 'a');
  let child: ChildProcess | null = null;
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: testCredentials,
  });

  async function start(): Promise<void> {
    child = spawn(
      binary!,
      ['--port', `127.0.0.1:${port}`, '--keep-alive', '--health', '/health', 'posix', served],
      {
        stdio: ['ignore', log, log],
        env: {
          ROOT_ACCESS_KEY: testCredentials.accessKeyId,
          ROOT_SECRET_KEY: testCredentials.secretAccessKey,
        },
      },
    );
    const own = child;
    // A test runner that gives up must not leave it behind.
    const orphan = () => own.kill('SIGKILL');
    process.once('exit', orphan);
    own.once('exit', () => process.off('exit', orphan));
    const deadline = performance.now() + START_MS;
    while (
      !(await fetch(`${endpoint}/health`).then(
        (answer) => answer.ok,
        () => false,
      ))
    ) {
      if (performance.now() > deadline || own.exitCode !== null)
        throw new Error('versitygw does not start');
      await sleep(30);
    }
  }

  async function stop(): Promise<void> {
    const own = child;
    if (own === null || own.exitCode !== null || own.signalCode !== null) return;
    own.kill('SIGKILL');
    await once(own, 'exit');
  }

  await start();
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  return {
    endpoint,
    bucket,
    directory: join(served, bucket),
    client,
    stop,
    start,
    async close() {
      client.destroy();
      await stop();
      await rm(root, { recursive: true, force: true });
    },
  };
}
