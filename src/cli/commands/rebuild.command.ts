/** `nimbus rebuild` */
import type { Command } from 'commander';
import type { Runner } from '../context.js';

export function addRebuild(program: Command, run: Runner): void {
  program
    .command('rebuild')
    .description('fill a lost or dropped mirror again; downloads go on meanwhile')
    .addHelpText(
      'after',
      `
Restores jobs, results and stored events with the same numbers, types and times. What is there already stays.`,
    )
    .action(run(async (context) => (await import('../actions/rebuild.js')).rebuild(context)));
}
