/** Tests what Nimbus needs, one line a thing, and says what to do for each that fails. */
import { statfs } from 'node:fs/promises';
import { ConfigError, type Config } from '../../config.js';
import { createTemporalEngine } from '../../engine/temporal-engine.js';
import { isServiceError } from '../../jobs/error-codes.js';
import type { ProxyFor } from '../../transfer/index.js';
import { createApiClient } from '../client/api-client.js';
import { openMirror, openProviders, openStore } from '../composition.js';
import type { CliContext } from '../context.js';
import { CommandError, EXIT, type ExitCode } from '../exit-codes.js';
import type { Environment } from '../local/cache.js';
import { makeDirectory } from '../local/make-directory.js';
import { isPortFree, loopbackOf } from '../local/ports.js';
import { withRunningStack } from '../local/running-stack.js';
import { bytes, plain } from '../output/text.js';
import { version } from '../project.js';
import { readProxies } from '../proxies.js';

interface Check {
  name: string;
  ok: boolean;
  detail: string;
  /** What to do; null when it is well. */
  next: string | null;
}

const CHECK_MS = 15_000;
const LEAST_FREE_BYTES = 2_000_000_000;
const OLDEST_NODE = [20, 19];

export async function doctor(context: CliContext): Promise<ExitCode> {
  const checks = await examine(context);
  for (const check of checks) tell(context, check);
  const failed = checks.filter(({ ok }) => !ok).length;
  context.notes.say(failed === 0 ? 'All is well' : `${failed} of ${checks.length} need attention`);
  return failed === 0 ? EXIT.ok : EXIT.failed;
}

function tell({ json, paint, print, printJson }: CliContext, check: Check): void {
  if (json) return printJson(check);
  print(`${check.ok ? paint.green('✓') : paint.red('✗')} ${check.name}: ${plain(check.detail)}`);
  if (check.next !== null) print(`    ${plain(check.next)}`);
}

async function examine(context: CliContext): Promise<Check[]> {
  const env = withRunningStack(context.env);
  const config = readOr(context, env);
  if (!('dataDir' in config)) return [versions(), ...config.problems];
  return [
    versions(),
    { name: 'Configuration', ok: true, detail: configDetail(config), next: null },
    ...(await Promise.all([
      dataDirectory(config),
      ...destination(config),
      apiPort(config),
      temporal(config),
      mirror(config),
      ...credentials(config, env),
    ])),
  ];
}

function readOr(context: CliContext, env: Environment): Config | { problems: Check[] } {
  try {
    return context.config(env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const next = 'Correct it in the environment or in .env; .env.example describes it';
    return {
      problems: error.problems.map(({ variable, message }) => ({
        name: variable,
        ok: false,
        detail: message,
        next,
      })),
    };
  }
}

const configDetail = ({ unused }: Config): string =>
  unused.length === 0 ? 'every variable can be used' : unused.join('; ');

function versions(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > OLDEST_NODE[0]! || (major === OLDEST_NODE[0]! && minor >= OLDEST_NODE[1]!);
  return {
    name: 'Versions',
    ok,
    detail: `Nimbus ${version}, Node ${process.versions.node}, ${process.platform} ${process.arch}`,
    next: ok ? null : `Install Node ${OLDEST_NODE.join('.')} or newer`,
  };
}

async function dataDirectory({ dataDir }: Config): Promise<Check> {
  const name = 'Data directory';
  try {
    makeDirectory(dataDir);
    const { bavail, bsize } = await statfs(dataDir);
    const free = bavail * bsize;
    const ok = free >= LEAST_FREE_BYTES;
    const next = ok ? null : 'Free some space, or set NIMBUS_DATA_DIR to a larger disk';
    return { name, ok, detail: `${dataDir}, ${bytes(free)} free`, next };
  } catch (error) {
    const next = 'Set NIMBUS_DATA_DIR to a place that this user may write to';
    return { name, ok: false, detail: wordsOf(error), next };
  }
}

/** Writes a probe there, as a worker does when it starts. */
function destination(config: Config): Promise<Check>[] {
  if (config.destination === null) return [];
  const { bucket, prefix, endpoint } = config.destination;
  const where = `s3://${bucket}/${prefix}${endpoint === null ? '' : ` at ${endpoint}`}`;
  const look = async (): Promise<Check> => {
    const name = 'Destination';
    const store = await openStore(config);
    try {
      await within(store.prepare().then(() => store.ping()));
      return { name, ok: true, detail: `${where} can be written`, next: null };
    } catch (error) {
      const next =
        'docs/destinations.md says what a bucket must grant and its server be able to do';
      return { name, ok: false, detail: `${where}: ${wordsOf(error)}`, next };
    } finally {
      await store.close().catch(() => {});
    }
  };
  return [look()];
}

async function apiPort({ api }: Config): Promise<Check> {
  const baseUrl = `http://${loopbackOf(api.host)}:${api.port}`;
  const name = 'API';
  const free = await isPortFree(api.port, api.host);
  if (free) return { name, ok: true, detail: `port ${api.port} is free`, next: null };
  try {
    const health = await createApiClient({ baseUrl, apiKey: api.key }).health();
    const bad = Object.entries(health.checks).filter(([, { status }]) => status !== 'ok');
    const detail = `Nimbus ${health.version} answers at ${baseUrl}, ${health.status}`;
    if (bad.length === 0) return { name, ok: true, detail, next: null };
    const next = bad.map(([what, { detail: why }]) => `${what}: ${why ?? 'degraded'}`).join('; ');
    return { name, ok: false, detail, next };
  } catch (error) {
    const detail = `port ${api.port} on ${api.host} cannot be used, and what answers is not this Nimbus (${(error as Error).message})`;
    const next = 'Stop what listens there, or set NIMBUS_API_PORT';
    return { name, ok: false, detail, next };
  }
}

async function temporal(config: Config): Promise<Check> {
  const address = config.temporal.env['TEMPORAL_ADDRESS'] ?? '127.0.0.1:7233';
  const engine = createTemporalEngine({ ...config.temporal, staleSeconds: 15 });
  try {
    await within(engine.ping());
    return { name: 'Temporal', ok: true, detail: `${address} answers`, next: null };
  } catch (error) {
    const next = 'Start it with `npm start`, or set TEMPORAL_ADDRESS to where it runs';
    return { name: 'Temporal', ok: false, detail: `${address}: ${wordsOf(error)}`, next };
  } finally {
    await engine.close().catch(() => {});
  }
}

async function mirror(config: Config): Promise<Check> {
  const { mirror: settings } = config;
  const where = settings.backend === 'mongodb' ? withoutPassword(settings.uri) : settings.path;
  const opened = openMirror(config);
  try {
    await within(opened.ping());
    return { name: 'Mirror', ok: true, detail: `${settings.backend}, ${where}`, next: null };
  } catch (error) {
    const next =
      settings.backend === 'mongodb'
        ? 'Start it with `npm start`, set NIMBUS_MONGODB_URI, or set NIMBUS_DB_BACKEND=sqlite'
        : 'Set NIMBUS_DB_PATH to a file that this user may write to';
    return { name: 'Mirror', ok: false, detail: `${where}: ${wordsOf(error)}`, next };
  } finally {
    await opened.close().catch(() => {});
  }
}

function credentials(config: Config, env: Environment): Promise<Check>[] {
  let proxyFor: ProxyFor;
  try {
    proxyFor = readProxies(env);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const { message: detail, nextStep: next } = error;
    return [Promise.resolve({ name: 'Proxy', ok: false, detail, next })];
  }
  return [...openProviders(config, proxyFor).values()].map(async (provider) => {
    const name = `Provider ${provider.id}`;
    const where = provider.info().base_url;
    const next = `Set NIMBUS_${provider.id.toUpperCase()}_USERNAME and _PASSWORD; without them \`npm start\` uses the sandbox`;
    try {
      if (provider.credentials() === 'missing')
        return { name, ok: false, detail: `${where}: no credentials`, next };
      const { state, detail } = await provider.check(AbortSignal.timeout(CHECK_MS));
      const ok = state === 'configured';
      return { name, ok, detail: `${where}: ${detail}`, next: ok ? null : next };
    } catch (error) {
      const detail = `${where}: ${wordsOf(error)}`;
      return { name, ok: false, detail, next: 'Check the network and the NIMBUS_COPERNICUS_…_URL' };
    } finally {
      await provider.close();
    }
  });
}

function wordsOf(error: unknown): string {
  if (isServiceError(error) || error instanceof CommandError) return error.message;
  return error instanceof Error ? error.message : String(error);
}

const withoutPassword = (uri: string): string => uri.replace(/\/\/[^@/]*@/, '//');

function within(work: Promise<void>): Promise<void> {
  const timeout = new Promise<never>((_resolve, reject) =>
    setTimeout(() => reject(new Error('no answer')), CHECK_MS).unref(),
  );
  return Promise.race([work, timeout]);
}
