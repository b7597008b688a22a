/** `nimbus worker` */
import type { Command } from 'commander';
import type { WorkerOptions } from '../actions/worker.js';
import type { Runner } from '../context.js';

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
      run<WorkerOptions>(async (context, options) =>
        (await import('../actions/worker.js')).runWorker(context, options),
      ),
    );
}
