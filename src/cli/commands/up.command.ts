/** `nimbus up`, which is `npm start` */
import type { Command } from 'commander';
import type { UpOptions } from '../actions/up.js';
import type { Runner } from '../context.js';
import { toPort } from '../option-values.js';

export function addUp(program: Command, run: Runner): void {
  program
    .command('up')
    .description('the whole product on this machine until Ctrl-C (npm start)')
    .option('--temporal-port <number>', 'of the local Temporal server (default: 7233)', toPort)
    .option('--temporal-ui-port <number>', 'of its Web UI (default: 8233)', toPort)
    .option('--mongodb-port <number>', 'of the local MongoDB (default: 27018)', toPort)
    .option('--sandbox-port <number>', 'first of three of the sandbox (default: 8100)', toPort)
    .addHelpText(
      'after',
      `
Examples:
  $ nimbus up
  $ NIMBUS_API_PORT=8001 NIMBUS_DATA_DIR=/srv/nimbus nimbus up

A default port that is taken gives way to the next free one; one that was named does not. With
NIMBUS_COPERNICUS_USERNAME and _PASSWORD the real services are used, without them the sandbox.`,
    )
    .action(
      run<UpOptions>(async (context, options) =>
        (await import('../actions/up.js')).up(context, options),
      ),
    );
}
