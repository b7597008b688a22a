/**
 * A Temporal server for this machine: found on the PATH or in the cache, else downloaded, else built by `go install`.
 * Its state is one SQLite file; the settings below are those that docs/architecture.md measures.
 */
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { channelArgs } from '../../engine/connection.js';
import type { Notes } from '../output/notes.js';
import { cacheDirectory, obtain, onPath, runs, step, type Environment, type Way } from './cache.js';
import { download } from './download.js';
import type { ProcessSpec } from './supervised-process.js';

const VERSION = '1.5.1';
const MODULE = `github.com/temporalio/cli/cmd/temporal@v${VERSION}`;

export interface TemporalPorts {
  grpc: number;
  ui: number;
  http: number;
  metrics: number;
}

interface Context {
  env: Environment;
  notes: Notes;
  signal: AbortSignal;
}

/** Absolute path of a `temporal` that runs, or null when none can be had. */
export async function findTemporal(context: Context): Promise<string | null> {
  const { env } = context;
  const installed = onPath('temporal', env);
  if (installed && (await runs(installed, env))) return installed;
  const cached = join(cacheDirectory(env), `temporal-${VERSION}`, 'bin', 'temporal');
  return obtain(cached, [officialRelease(context), goInstall(context)], context);
}

function officialRelease({ env, signal }: Context): Way {
  const system = { linux: 'linux', darwin: 'darwin' }[process.platform as string];
  const machine = { x64: 'amd64', arm64: 'arm64' }[process.arch as string];
  return {
    what: `the Temporal CLI ${VERSION} to be downloaded from github.com`,
    async make(target, scratch) {
      if (!system || !machine)
        throw new Error(`there is no release for ${process.platform} ${process.arch}`);
      const archive = join(scratch, 'temporal.tar.gz');
      await download(
        `https://github.com/temporalio/cli/releases/download/v${VERSION}/temporal_cli_${VERSION}_${system}_${machine}.tar.gz`,
        archive,
        signal,
      );
      await step('tar', ['-xzf', archive, '-C', scratch, 'temporal'], { env, signal });
      await rename(join(scratch, 'temporal'), target);
    },
  };
}

function goInstall({ env, signal }: Context): Way {
  return {
    what: `the Temporal CLI ${VERSION} to be built by go install: about three minutes, once`,
    async make(target, scratch) {
      const bin = join(scratch, 'bin');
      await mkdir(bin);
      await step('go', ['install', MODULE], { env: { ...env, GOBIN: bin }, signal });
      await rename(join(bin, 'temporal'), target);
    },
  };
}

/** How to run it; data, log and ports are the caller's. */
export function temporalServer(options: {
  binary: string;
  dataDir: string;
  logDir: string;
  ports: TemporalPorts;
  env: Environment;
  restart: boolean;
}): ProcessSpec {
  const { binary, dataDir, logDir, ports, env, restart } = options;
  const settings = ['transferProcessor', 'timerProcessor', 'visibilityProcessor'].flatMap(
    (queue) => ['--dynamic-config-value', `history.${queue}MaxPollRPS=2000`],
  );
  return {
    name: 'temporal',
    command: binary,
    args: [
      ...['server', 'start-dev', '--ip', '127.0.0.1', '--color', 'never'],
      ...['--port', String(ports.grpc), '--ui-port', String(ports.ui)],
      ...['--http-port', String(ports.http), '--metrics-port', String(ports.metrics)],
      ...(env['TEMPORAL_NAMESPACE'] ? ['--namespace', env['TEMPORAL_NAMESPACE']] : []),
      ...['--db-filename', join(dataDir, 'temporal.db')],
      ...settings,
      ...['--dynamic-config-value', 'system.enableActivityEagerExecution=true'],
      ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL'],
    ],
    env: withoutTemporalVariables(env),
    logFile: join(logDir, 'temporal.log'),
    graceMs: 10_000,
    isReady: () => temporalAnswers(`127.0.0.1:${ports.grpc}`),
    readyTimeoutMs: 60_000,
    restart,
  };
}

/** The server's own CLI reads these for its client side: a profile or address of the user's must not reach it. */
function withoutTemporalVariables(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}

/** True if a server answers there and its default namespace is registered. */
export async function temporalAnswers(address: string): Promise<boolean> {
  const connection = await Connection.connect({
    address,
    channelArgs: channelArgs(address),
    connectTimeout: 2_000,
  }).catch(() => null);
  if (!connection) return false;
  try {
    await connection.workflowService.describeNamespace({ namespace: 'default' });
    return true;
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}
