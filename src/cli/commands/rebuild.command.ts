/** `nimbus rebuild`: fills the mirror again from what is kept on disk and in Temporal. Harmless to repeat, and beside a running product. */
import type { Command } from 'commander';
import { rebuildMirror } from '../../engine/rebuild.js';
import { openMirror, openStore } from '../composition.js';
import type { Runner } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { withRunningStack } from '../local/running-stack.js';

export function addRebuild(program: Command, run: Runner): void {
  program
    .command('rebuild')
    .description('fill a lost or dropped mirror again; downloads go on meanwhile')
    .addHelpText(
      'after',
      `
Restores jobs, results and stored events with the same numbers, types and times. What is there already stays.`,
    )
    .action(
      run(async ({ config: read, env, json, notes, printJson }) => {
        const config = read(withRunningStack(env));
        const mirror = openMirror(config);
        try {
          const report = await notes.during('the mirror to be filled again', () =>
            rebuildMirror({ mirror, store: openStore(config), temporal: config.temporal }),
          );
          if (json) printJson(report);
          notes.say(
            `${report.jobs} jobs with ${report.events} events restored from the data directory, ${report.fromTemporal} more known to Temporal alone`,
          );
          if (!report.temporalAsked)
            notes.say(
              'Temporal did not answer: repeat this once it does, for jobs that had not begun',
            );
          return EXIT.ok;
        } finally {
          await mirror.close();
        }
      }),
    );
}
