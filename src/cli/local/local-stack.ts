/**
 * The whole product on one machine, as `up` and `demo` run it: Temporal, MongoDB and the sandbox where nobody gave others,
 * the API and a worker; each a supervised process of its own. What was given (an address, a URI, credentials) is used
 * as it is and never started, stopped or written down.
 */
import { join } from 'node:path';
import type { Config } from '../../config.js';
import { CommandError, EXIT } from '../exit-codes.js';
import type { Notes } from '../output/notes.js';
import { nimbusProgram } from '../project.js';
import { readReadyFile } from '../ready-file.js';
import type { Environment } from './cache.js';
import { findMongod, mongodServer, mongodUri } from './mongod.js';
import { makeDirectory } from './make-directory.js';
import { loopbackOf } from './ports.js';
import { supervise, type ProcessSpec, type SupervisedProcess } from './supervised-process.js';
import { findTemporal, temporalServer } from './temporal-server.js';

export type PortName =
  | 'temporal'
  | 'temporalUi'
  | 'mongodb'
  | 'sandboxCatalogue'
  | 'sandboxDownload'
  | 'sandboxControl'
  | 'internal';

export interface StackPlan {
  /** Of the user's environment. */
  config: Config;
  /** What API and worker inherit. */
  env: Environment;
  dataDir: string;
  apiPort: number;
  /** Asked only for what is started. */
  port: (name: PortName) => Promise<number>;
  /** Arguments of `nimbus sandbox`; null: the provider that the environment names. */
  sandbox: string[] | null;
  notes: Notes;
  signal: AbortSignal;
}

export interface LocalStack {
  /** Of what was started here, for further processes: the running-stack file. */
  started: Record<string, string>;
  temporalUi: string | null;
  mirror: string;
  sandboxUrl: string | null;
  logDir: string;
}

/** Processes in the order in which they are stopped, several at a time. */
type Layers = [work: SupervisedProcess[], front: SupervisedProcess[], ground: SupervisedProcess[]];

export interface StackHandle {
  /** Rejects when a part cannot be had or does not start; what runs by then is ended by `stop`. */
  start(): Promise<LocalStack>;
  /** Worker, then API and sandbox, then Temporal and MongoDB. Resolves when nothing is left. */
  stop(): Promise<void>;
}

export function createLocalStack(plan: StackPlan): StackHandle {
  const layers: Layers = [[], [], []];
  const begin = (layer: SupervisedProcess[], spec: ProcessSpec): Promise<void> => {
    plan.signal.throwIfAborted();
    const child = supervise(spec, (line) => plan.notes.say(line));
    layer.push(child);
    return child.start();
  };
  return {
    start: () => start(plan, layers, begin),
    async stop() {
      for (const layer of layers) await Promise.all(layer.map((child) => child.stop()));
    },
  };
}

type Begin = (layer: SupervisedProcess[], spec: ProcessSpec) => Promise<void>;

async function start(plan: StackPlan, [work, front, ground]: Layers, begin: Begin) {
  const { config, dataDir, notes, sandbox } = plan;
  const logDir = join(dataDir, 'logs');
  const runDir = join(dataDir, 'run');
  for (const folder of [runDir, logDir]) makeDirectory(folder);
  const temporal = await planTemporal(plan, logDir);
  const mongod = await planMirror(plan, logDir);
  const sandboxFile = join(runDir, 'sandbox.json');
  const specs = [temporal.spec, mongod.spec].filter((spec) => spec !== null);
  const parts = [
    ...specs.map(({ name }) => title[name] ?? name),
    ...(sandbox ? ['the sandbox'] : []),
  ];
  let facts: Record<string, unknown> = {};
  if (parts.length > 0)
    await notes.during(`${list(parts)} to answer`, async () => {
      const starting = specs.map((spec) => begin(ground, spec));
      if (sandbox)
        starting.push(
          begin(
            front,
            await planSandbox(plan, sandbox, logDir, sandboxFile, (read) => (facts = read)),
          ),
        );
      await Promise.all(starting);
    });
  const started = { ...temporal.env, ...mongod.env, ...sandboxEnv(facts, plan.env) };
  const env = {
    ...plan.env,
    ...started,
    NIMBUS_DATA_DIR: dataDir,
    NIMBUS_API_PORT: String(plan.apiPort),
  };
  const apiUrl = `http://${loopbackOf(config.api.host)}:${plan.apiPort}`;
  const roles: [string, Promise<void>][] = [];
  if (config.role !== 'worker')
    roles.push(['the API', begin(front, apiProcess(env, logDir, apiUrl))]);
  if (config.role !== 'api')
    roles.push(['a worker', begin(work, workerProcess(env, logDir, join(runDir, 'worker.json')))]);
  await notes.during(`${list(roles.map(([name]) => name))} to be ready`, () =>
    Promise.all(roles.map(([, ready]) => ready)),
  );
  return {
    started,
    temporalUi: temporal.env['NIMBUS_TEMPORAL_UI_URL'] ?? config.temporal.uiUrl,
    mirror: mongod.title,
    sandboxUrl: typeof facts['baseUrl'] === 'string' ? facts['baseUrl'] : null,
    logDir,
  };
}

const title: Record<string, string> = { temporal: 'Temporal', mongod: 'MongoDB' };

const list = (parts: string[]): string =>
  parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;

interface PlannedPart {
  spec: ProcessSpec | null;
  env: Record<string, string>;
}

async function planTemporal(plan: StackPlan, logDir: string): Promise<PlannedPart> {
  const { config, env, notes, signal, dataDir, port } = plan;
  const given = config.temporal.env;
  if (given['TEMPORAL_ADDRESS'] || given['TEMPORAL_PROFILE'] || given['TEMPORAL_CONFIG_FILE']) {
    notes.say(`Temporal: ${given['TEMPORAL_ADDRESS'] ?? 'as its profile says'} (given)`);
    return { spec: null, env: {} };
  }
  const binary = await findTemporal({ env, notes, signal });
  if (!binary)
    throw new CommandError(
      'No Temporal server can be had on this machine',
      EXIT.unavailable,
      'Install the Temporal CLI (https://docs.temporal.io/cli) or Go, or set TEMPORAL_ADDRESS',
    );
  const dataPath = join(dataDir, 'temporal');
  makeDirectory(dataPath);
  const grpc = await port('temporal');
  const ui = await port('temporalUi');
  const ports = { grpc, ui, http: await port('internal'), metrics: await port('internal') };
  return {
    spec: temporalServer({ binary, dataDir: dataPath, logDir, ports, env, restart: true }),
    env: {
      TEMPORAL_ADDRESS: `127.0.0.1:${grpc}`,
      NIMBUS_TEMPORAL_UI_URL: config.temporal.uiUrl ?? `http://127.0.0.1:${ui}`,
    },
  };
}

async function planMirror(
  plan: StackPlan,
  logDir: string,
): Promise<PlannedPart & { title: string }> {
  const { config, env, notes, signal, dataDir, port } = plan;
  if (config.mirror.backend === 'sqlite')
    return { spec: null, env: {}, title: `SQLite, ${config.mirror.path}` };
  if (env['NIMBUS_MONGODB_URI'])
    return { spec: null, env: {}, title: 'MongoDB, as NIMBUS_MONGODB_URI says' };
  const binary = await findMongod({ env, notes, signal });
  if (!binary) {
    const path = join(dataDir, 'nimbus.db');
    notes.say(
      `No MongoDB can be had on this machine: the mirror is SQLite, ${path}; install mongod or set NIMBUS_MONGODB_URI to change that`,
    );
    return {
      spec: null,
      env: { NIMBUS_DB_BACKEND: 'sqlite', NIMBUS_DB_PATH: path },
      title: `SQLite, ${path}`,
    };
  }
  const dataPath = join(dataDir, 'mongodb');
  makeDirectory(dataPath);
  const own = await port('mongodb');
  return {
    spec: mongodServer({ binary, dataDir: dataPath, logDir, port: own, env, restart: true }),
    env: { NIMBUS_MONGODB_URI: mongodUri(own) },
    title: `MongoDB, ${mongodUri(own)}`,
  };
}

async function planSandbox(
  { env, port }: StackPlan,
  args: string[],
  logDir: string,
  readyFile: string,
  onReady: (facts: Record<string, unknown>) => void,
): Promise<ProcessSpec> {
  const ports = [
    ...['--port', String(await port('sandboxCatalogue'))],
    ...['--download-port', String(await port('sandboxDownload'))],
    ...['--control-port', String(await port('sandboxControl'))],
  ];
  return {
    ...nimbusProcess('sandbox', env, logDir),
    args: [nimbusProgram, 'sandbox', ...ports, ...args, '--ready-file', readyFile],
    graceMs: 3_000,
    isReady: async (pid) => {
      const facts = readReadyFile(readyFile, pid);
      if (facts) onReady(facts);
      return facts !== null;
    },
  };
}

/** No proxy of the user's can reach the sandbox. */
function sandboxEnv(facts: Record<string, unknown>, env: Environment): Record<string, string> {
  const names = {
    NIMBUS_COPERNICUS_BASE_URL: 'baseUrl',
    NIMBUS_COPERNICUS_DOWNLOAD_URL: 'downloadUrl',
    NIMBUS_COPERNICUS_TOKEN_URL: 'tokenUrl',
    NIMBUS_COPERNICUS_USERNAME: 'username',
    NIMBUS_COPERNICUS_PASSWORD: 'password',
  };
  const given = Object.entries(names).flatMap(([variable, name]): [string, string][] => {
    const value = facts[name];
    return typeof value === 'string' ? [[variable, value]] : [];
  });
  if (given.length === 0) return {};
  const spared = [env['no_proxy'] ?? env['NO_PROXY'] ?? '', 'localhost', '127.0.0.1'];
  return { ...Object.fromEntries(given), no_proxy: spared.filter(Boolean).join(',') };
}

function apiProcess(env: Environment, logDir: string, url: string): ProcessSpec {
  return {
    ...nimbusProcess('api', env, logDir),
    graceMs: 12_000,
    isReady: async () => (await fetch(`${url}/v1/health/live`)).ok,
  };
}

function workerProcess(env: Environment, logDir: string, readyFile: string): ProcessSpec {
  return {
    ...nimbusProcess('worker', env, logDir),
    args: [nimbusProgram, 'worker', '--ready-file', readyFile],
    graceMs: 20_000,
    isReady: async (pid) => readReadyFile(readyFile, pid) !== null,
  };
}

function nimbusProcess(
  name: string,
  env: Environment,
  logDir: string,
): Omit<ProcessSpec, 'graceMs' | 'isReady'> {
  return {
    name,
    command: process.execPath,
    args: [nimbusProgram, name],
    env,
    logFile: join(logDir, `${name}.log`),
    readyTimeoutMs: 60_000,
    restart: true,
  };
}
