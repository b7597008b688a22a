/** `nimbus api` */
import type { Command } from 'commander';
import type { Runner } from '../context.js';

export function addApi(program: Command, run: Runner): void {
  program
    .command('api')
    .description('the HTTP API; configured by the environment, logs JSON lines to stderr')
    .addHelpText(
      'after',
      `
The first SIGTERM or Ctrl-C answers what has been asked, then ends with code 0; a second one ends at once.`,
    )
    .action(run(async (context) => (await import('../actions/api.js')).runApi(context)));
}
