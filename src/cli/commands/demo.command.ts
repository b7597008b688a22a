/** `nimbus demo`, which is `npm run demo` */
import type { Command } from 'commander';
import type { DemoOptions } from '../actions/demo.js';
import type { Runner } from '../context.js';

export function addDemo(program: Command, run: Runner): void {
  program
    .command('demo')
    .description('fetch and verify a small job with everything made here (npm run demo)')
    .option('--fresh', 'throw away what an earlier demo fetched')
    .addHelpText(
      'after',
      `
Starts Temporal, MongoDB, an offline Copernicus, the API and a worker on free ports, with data under
<data directory>/demo; submits a job, follows it, verifies its files again, and stops everything.`,
    )
    .action(
      run<DemoOptions>(async (context, options) =>
        (await import('../actions/demo.js')).demo(context, options),
      ),
    );
}
