/** `nimbus api`: the HTTP API as one process. Starts before Temporal and the mirror are there; a SIGTERM drains it. */
import type { Command } from 'commander';
import { startApi } from '../../api/server.js';
import { createTemporalEngine } from '../../engine/temporal-engine.js';
import {
  aborted,
  closeAll,
  openLogger,
  openMirror,
  openProviders,
  openStore,
  prepareWhenThere,
} from '../composition.js';
import type { Runner } from '../context.js';
import { CommandError, EXIT } from '../exit-codes.js';
import { withRunningStack } from '../local/running-stack.js';
import { version } from '../project.js';

export function addApi(program: Command, run: Runner): void {
  program
    .command('api')
    .description('the HTTP API; configured by the environment, logs JSON lines to stderr')
    .addHelpText(
      'after',
      `
The first SIGTERM or Ctrl-C answers what has been asked, then ends with code 0; a second one ends at once.`,
    )
    .action(
      run(async ({ config: read, env, stop }) => {
        const config = read(withRunningStack(env));
        const logger = openLogger(config, 'api');
        const store = openStore(config);
        await store.prepare();
        const mirror = openMirror(config, logger);
        const { staleSeconds } = config.worker;
        const engine = createTemporalEngine({ ...config.temporal, staleSeconds });
        const providers = openProviders(config);
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
          () => mirror.close(),
        );
        return EXIT.ok;
      }),
    );
}
