/** The HTTP API as one process. Starts before Temporal and the mirror are there; ends drained when asked to stop. */
import { startApi } from '../../api/server.js';
import { createTemporalEngine } from '../../engine/temporal-engine.js';
import {
  closeAll,
  openLogger,
  openMirror,
  openProviders,
  openStore,
  prepareWhenThere,
} from '../composition.js';
import type { CliContext } from '../context.js';
import { CommandError, EXIT, type ExitCode } from '../exit-codes.js';
import { withRunningStack } from '../local/running-stack.js';
import { version } from '../project.js';
import { readProxies } from '../proxies.js';
import { aborted } from '../signals.js';

export async function runApi({ config: read, env, stop }: CliContext): Promise<ExitCode> {
  const known = withRunningStack(env);
  const config = read(known);
  const logger = openLogger(config, 'api');
  const store = await openStore(config);
  await store.prepare();
  const mirror = openMirror(config, logger);
  const { staleSeconds } = config.worker;
  const engine = createTemporalEngine({ ...config.temporal, staleSeconds });
  const providers = openProviders(config, readProxies(known));
  const deps = { mirror, engine, providers, store, logger, version };
  const api = await startApi({ config, ...deps }).catch((error: Error) => {
    throw new CommandError(error.message, EXIT.unavailable);
  });
  void prepareWhenThere(mirror, logger, stop.signal);
  await aborted(stop.signal);
  logger.info({ signal: stop.which() }, 'API drains');
  await api.close();
  await closeAll(
    ...[...providers.values()].map((provider) => () => provider.close()),
    () => engine.close(),
    () => store.close(),
    () => mirror.close(),
  );
  return EXIT.ok;
}
