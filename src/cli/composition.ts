/** Ports → adapters, as the configuration says. The only place beside tests where they are put together. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { createLocalStore } from '../artifacts/local/local-store.js';
import type { Config } from '../config.js';
import { createMirror } from '../mirror/index.js';
import type { Mirror } from '../mirror/mirror.js';
import type { Provider } from '../providers/provider.js';
import { createProviders } from '../providers/registry.js';
import { createConnectionSlots, type ConnectionSlots, type ProxyFor } from '../transfer/index.js';
import { createLogger, type Logger } from '../telemetry/log.js';
import { version } from './project.js';

export function openLogger(config: Config, role: string): Logger {
  const logger = createLogger({ level: config.logLevel, role, version });
  for (const reason of config.unused) logger.warn({ reason }, 'variable is not used');
  return logger;
}

export const openMirror = (config: Config, logger?: Logger): Mirror =>
  createMirror(config.mirror, logger);

/** Where a worker keeps what the mirror did not take. */
export const spoolDirectory = (config: Config): string => join(config.dataDir, '.nimbus', 'spool');

/** The data directory, or the bucket that is the destination; the AWS SDK is loaded only for that. */
export async function openStore(
  config: Config,
): Promise<ArtifactStore & { close: () => Promise<void> }> {
  const { dataDir, destination, diskMarginBytes: marginBytes } = config;
  if (destination === null) return createLocalStore({ root: dataDir, marginBytes });
  // Which Node runs here is decided by our package.json: the SDK's advice for others would be in every log.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const { createS3Store } = await import('../artifacts/s3/s3-store.js');
  return createS3Store({ ...destination, workDirectory: dataDir, marginBytes });
}

export function openProviders(config: Config, proxyFor: ProxyFor): ReadonlyMap<string, Provider> {
  const connections = config.worker.providerLimits['copernicus'] ?? 4;
  return createProviders({ copernicus: { ...config.copernicus, connections, proxyFor } });
}

/** One set of connections for each provider: its transfers in this process share it. */
export function openSlots(
  { worker: { providerLimits, maxTransfers } }: Config,
  providers: ReadonlyMap<string, Provider>,
): (provider: string) => ConnectionSlots {
  const byProvider = new Map(
    [...providers.keys()].map((id) => [
      id,
      createConnectionSlots(providerLimits[id] ?? maxTransfers),
    ]),
  );
  return (provider) => byProvider.get(provider) ?? createConnectionSlots(1);
}

const PREPARE_RETRY_MS = 1_000;

/** Prepares the mirror as soon as its database is there; the process does not wait for it. */
export async function prepareWhenThere(
  mirror: Mirror,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (let said = false; !signal.aborted; said = true) {
    try {
      await mirror.prepare();
      return;
    } catch (error) {
      if (!said) logger.warn({ err: error }, 'waiting for the mirror');
      await sleep(PREPARE_RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
}

/** Closes one after the other; one that fails does not keep the others open. */
export async function closeAll(...closers: (() => Promise<unknown>)[]): Promise<void> {
  for (const close of closers) await close().catch(() => {});
}
