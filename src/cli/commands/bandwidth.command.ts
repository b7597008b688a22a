/** `nimbus bandwidth …`: shows and changes the limits that workers keep, without a restart. */
import type { Command } from 'commander';
import type { Runner } from '../context.js';

interface LineOption {
  provider?: string;
}

export function addBandwidth(program: Command, run: Runner): void {
  const bandwidth = program
    .command('bandwidth')
    .description('show or change, while downloads run, how much of the line they may take')
    .addHelpText(
      'after',
      `
Examples:
  $ nimbus bandwidth
  $ nimbus bandwidth set 5M
  $ nimbus bandwidth set 08:00,2M 18:00,off Sat-08:00,off Sun-08:00,off
  $ nimbus bandwidth set --provider copernicus TZ=Europe/Berlin 07:00,5M 22:00,off
  $ nimbus bandwidth clear --provider copernicus

A limit is a number with k, M or G, in KiB, MiB or GiB per second, or off. Each worker keeps it for itself.`,
    );
  bandwidth
    .command('show', { isDefault: true })
    .description('the limits in force now, and until when')
    .action(
      run(async (context) => (await import('../actions/bandwidth.js')).showBandwidth(context)),
    );
  bandwidth
    .command('set')
    .argument('<limit...>', 'a limit, or a weekly table: [Day-]HH:MM,LIMIT …')
    .option('--provider <id>', 'for this provider, beside the limit for all')
    .description('set a limit for every worker; it goes before the environment')
    .action(
      run<LineOption>(async (context, { provider }, ...words) =>
        (await import('../actions/bandwidth.js')).setBandwidth(context, provider, words.join(' ')),
      ),
    );
  bandwidth
    .command('clear')
    .option('--provider <id>', 'for this provider')
    .description('forget what was set: the environment decides again')
    .action(
      run<LineOption>(async (context, { provider }) =>
        (await import('../actions/bandwidth.js')).setBandwidth(context, provider, null),
      ),
    );
}
