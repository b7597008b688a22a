/** `nimbus worker`: does the jobs' work as one process; start as many as needed. A SIGTERM drains it. */
import type { Command } from 'commander';
import { startWorker } from '../../engine/worker.js';
import { createSpooledMirror } from '../../mirror/index.js';
import { createTransferEngine } from '../../transfer/index.js';
import {
  aborted,
  closeAll,
  openLogger,
  openMirror,
  openProviders,
  openStore,
  prepareWhenThere,
  spoolDirectory,
} from '../composition.js';
import type { Runner } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { withRunningStack } from '../local/running-stack.js';
import { removeReadyFile, writeReadyFile } from '../ready-file.js';

const LOOK_MS = 100;

export function addWorker(program: Command, run: Runner): void {
  program
    .command('worker')
    .option('--ready-file <path>', 'a file that is there while this worker takes work')
    .description('does the work of jobs; start as many as needed, on as many machines')
    .addHelpText(
      'after',
      `
All workers share the data directory. The first SIGTERM or Ctrl-C makes bytes under way durable, hands the work
back and ends with code 0; a second one ends at once, and another worker goes on from what is durable.`,
    )
    .action(
      run<{ readyFile?: string }>(async ({ config: read, env, stop }, { readyFile }) => {
        const config = read(withRunningStack(env));
        const logger = openLogger(config, 'worker');
        const store = openStore(config);
        await store.prepare();
        const mirror = createSpooledMirror({
          mirror: openMirror(config, logger),
          directory: spoolDirectory(config),
          logger,
        });
        const providers = openProviders(config);
        const transfers = createTransferEngine();
        const worker = startWorker(
          { ...config.temporal, ...config.worker },
          { providers, store, mirror, transfer: transfers.transfer },
          logger,
        );
        void prepareWhenThere(mirror, logger, stop.signal);
        const look = readyFile ? showReady(readyFile, worker) : null;
        await Promise.race([aborted(stop.signal), worker.ended]);
        logger.info({ signal: stop.which() }, 'worker drains');
        if (look) clearInterval(look);
        if (readyFile) removeReadyFile(readyFile);
        await worker.stop();
        await closeAll(
          () => transfers.close(),
          ...[...providers.values()].map((provider) => () => provider.close()),
          () => mirror.close(),
        );
        return EXIT.ok;
      }),
    );
}

function showReady(file: string, worker: { readonly polling: boolean }): NodeJS.Timeout {
  let shown = false;
  removeReadyFile(file);
  return setInterval(() => {
    if (worker.polling === shown) return;
    shown = worker.polling;
    if (shown) writeReadyFile(file);
    else removeReadyFile(file);
  }, LOOK_MS);
}
