/** The whole product on this machine until it is asked to stop, its data under the data directory. */
import { join } from 'node:path';
import type { Config } from '../../config.js';
import type { CliContext } from '../context.js';
import { CommandError, EXIT, type ExitCode } from '../exit-codes.js';
import { tryHold } from '../local/exclusive.js';
import {
  createLocalStack,
  type LocalStack,
  type PortName,
  type StackPlan,
} from '../local/local-stack.js';
import { freePort, loopbackOf, pickPort, type PortWish } from '../local/ports.js';
import {
  beginRunningStack,
  forgetRunningStack,
  writeRunningStack,
} from '../local/running-stack.js';
import { table } from '../output/text.js';
import { aborted } from '../signals.js';

/** Products of the sandbox are this much smaller than real ones: some 10 MB instead of a gigabyte. */
const SANDBOX_SCALE = '0.01';

export interface UpOptions {
  temporalPort?: number;
  temporalUiPort?: number;
  mongodbPort?: number;
  sandboxPort?: number;
}

export async function up(context: CliContext, options: UpOptions): Promise<ExitCode> {
  const { env, stop, notes } = context;
  const config = context.config();
  const { dataDir } = config;
  const hold = tryHold(join(dataDir, 'run', 'up.lock'));
  if (!hold)
    throw new CommandError(
      `Another \`nimbus up\` runs on ${dataDir}`,
      EXIT.temporary,
      'Stop it, or set NIMBUS_DATA_DIR and NIMBUS_API_PORT for a second one',
    );
  const useSandbox = config.copernicus.username === null;
  let stack: ReturnType<typeof createLocalStack> | null = null;
  try {
    await beginRunningStack(dataDir, notes.say);
    const plan: StackPlan = {
      config,
      env,
      dataDir,
      apiPort: await pickPort(
        { wanted: config.api.port, chosen: true, what: 'the API', changedBy: 'NIMBUS_API_PORT' },
        notes.say,
      ),
      port: portsFor(options, notes.say),
      sandbox: useSandbox ? ['--scale', SANDBOX_SCALE] : null,
      notes,
      signal: stop.signal,
    };
    if (useSandbox)
      notes.say(
        'No credentials: the offline sandbox stands in for Copernicus, with made-up products a hundredth of the real size; set NIMBUS_COPERNICUS_USERNAME and NIMBUS_COPERNICUS_PASSWORD for the real services',
      );
    stack = createLocalStack(plan);
    const running = await Promise.race([stack.start(), aborted(stop.signal)]);
    if (running) {
      writeRunningStack(dataDir, running.started);
      notes.say(describe(config, running, useSandbox));
      await aborted(stop.signal);
    }
  } finally {
    const stopping = stack;
    if (stopping)
      await notes.during('the worker, the API and the servers to stop', () => stopping.stop());
    forgetRunningStack(dataDir);
    hold.release();
  }
  notes.say('Stopped. Everything is kept in the data directory for the next start');
  return EXIT.ok;
}

/** Wanted ports, each given out once. */
function portsFor(options: UpOptions, say: (line: string) => void): StackPlan['port'] {
  const taken = new Set<number>();
  const sandbox = options.sandboxPort;
  const wishes: Record<Exclude<PortName, 'internal'>, PortWish> = {
    temporal: wish(options.temporalPort, 7233, 'Temporal', '--temporal-port'),
    temporalUi: wish(options.temporalUiPort, 8233, 'the Temporal Web UI', '--temporal-ui-port'),
    mongodb: wish(options.mongodbPort, 27_018, 'MongoDB', '--mongodb-port'),
    sandboxCatalogue: wish(sandbox, 8100, 'the sandbox', '--sandbox-port'),
    sandboxDownload: wish(sandbox && sandbox + 1, 8101, 'its download host', '--sandbox-port'),
    sandboxControl: wish(sandbox && sandbox + 2, 8102, 'its control port', '--sandbox-port'),
  };
  return async (name) => {
    const port =
      name === 'internal' ? await freePort(taken) : await pickPort(wishes[name], say, taken);
    taken.add(port);
    return port;
  };
}

const wish = (
  given: number | undefined,
  usual: number,
  what: string,
  changedBy: string,
): PortWish => ({ wanted: given ?? usual, chosen: given !== undefined, what, changedBy });

function describe(config: Config, stack: LocalStack, useSandbox: boolean): string {
  const api = `http://${loopbackOf(config.api.host)}:${config.api.port}`;
  const rows = [
    ['  API', `${api}/v1/health`],
    ['  Documentation', `${api}/docs`],
    ['  Temporal Web UI', stack.temporalUi ?? 'where your Temporal shows it'],
    ['  Copernicus', useSandbox ? `sandbox, ${stack.sandboxUrl}` : config.copernicus.baseUrl],
    ['  Mirror', stack.mirror],
    ['  Data', config.dataDir],
    ['  Logs', stack.logDir],
  ];
  return `\nNimbus runs until Ctrl-C.\n${table(rows)}
\nFetch something, in another terminal:
  npx nimbus fetch --collection SENTINEL-2 --product-type S2MSI2A --start 2025-01-01 --end 2025-01-03 --aoi 29SPT\n`;
}
