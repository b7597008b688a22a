/** The jobs' work as one process. Starts before Temporal and the mirror are there; ends drained when asked to stop. */
import { createBandwidthControl } from '../../engine/bandwidth.js';
import { startWorker } from '../../engine/worker.js';
import { createSpooledMirror } from '../../mirror/index.js';
import { createTransferEngine } from '../../transfer/index.js';
import {
  closeAll,
  openLogger,
  openMirror,
  openProviders,
  openSlots,
  openStore,
  prepareWhenThere,
  spoolDirectory,
} from '../composition.js';
import type { CliContext } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { withRunningStack } from '../local/running-stack.js';
import { readProxies } from '../proxies.js';
import { removeReadyFile, writeReadyFile } from '../ready-file.js';
import { aborted } from '../signals.js';

const LOOK_MS = 100;

export interface WorkerOptions {
  /** There while this worker takes work. */
  readyFile?: string;
}

export async function runWorker(
  { config: read, env, stop }: CliContext,
  { readyFile }: WorkerOptions,
): Promise<ExitCode> {
  const known = withRunningStack(env);
  const config = read(known);
  const proxyFor = readProxies(known);
  const logger = openLogger(config, 'worker');
  const store = await openStore(config);
  await store.prepare();
  const mirror = createSpooledMirror({
    mirror: openMirror(config, logger),
    directory: spoolDirectory(config),
    logger,
  });
  const providers = openProviders(config, proxyFor);
  const transfers = createTransferEngine({ proxyFor });
  const bandwidth = createBandwidthControl(config.bandwidth, store, logger, stop.signal);
  const worker = startWorker(
    { ...config.temporal, ...config.worker },
    {
      providers,
      store,
      mirror,
      transfer: transfers.transfer,
      slots: openSlots(config, providers),
      proxyFor,
      bandwidth: bandwidth.of,
      digests: config.worker.keepDigests,
    },
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
    () => store.close(),
    () => mirror.close(),
  );
  return EXIT.ok;
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
