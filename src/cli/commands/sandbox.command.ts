/** `nimbus sandbox` */
import type { Command } from 'commander';
import type { SandboxCommandOptions } from '../actions/sandbox.js';
import type { Runner } from '../context.js';
import { toNumber, toPort } from '../option-values.js';

export function addSandbox(program: Command, run: Runner): void {
  program
    .command('sandbox')
    .description('an offline Copernicus that real clients cannot tell from the real one')
    .option('--host <address>', 'where to listen; the control port stays on loopback', '127.0.0.1')
    .option('--port <number>', 'catalogue and identity', toPort, 8100)
    .option('--download-port <number>', 'downloads, under another host name', toPort, 8101)
    .option('--control-port <number>', 'scripting of faults, and the ledger', toPort, 8102)
    .option('--seed <number>', 'the same seed makes the same catalogue and bytes', toNumber, 1)
    .option('--products <number>', 'size of the catalogue', toNumber, 4000)
    .option('--scale <factor>', 'size of products; 1 is as large as the real ones', toNumber, 1)
    .option('--token-lifetime <seconds>', 'of an access token', toNumber, 600)
    .option('--connections <number>', 'downloads at once of one account', toNumber, 4)
    .option(
      '--bytes-per-second <number>',
      'of each download (default: as fast as it goes)',
      toNumber,
    )
    .option('--ready-file <path>', 'a file that holds the addresses while it serves')
    .addHelpText(
      'after',
      `
Example:
  $ nimbus sandbox --scale 0.01 --bytes-per-second 5000000

Bytes are made while they are sent: a product of 2 GB costs no disk. Log in as sandbox with password sandbox.`,
    )
    .action(
      run<SandboxCommandOptions>(async (context, options) =>
        (await import('../actions/sandbox.js')).runSandbox(context, options),
      ),
    );
}
