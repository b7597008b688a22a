/** Fills the mirror again from what is kept on disk and in Temporal. Harmless to repeat, and beside a running product. */
import { rebuildMirror } from '../../engine/rebuild.js';
import { closeAll, openMirror, openStore } from '../composition.js';
import type { CliContext } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { withRunningStack } from '../local/running-stack.js';

export async function rebuild(context: CliContext): Promise<ExitCode> {
  const { notes, json, printJson } = context;
  const config = context.config(withRunningStack(context.env));
  const mirror = openMirror(config);
  const store = await openStore(config);
  try {
    const report = await notes.during('the mirror to be filled again', () =>
      rebuildMirror({ mirror, store, temporal: config.temporal }),
    );
    if (json) printJson(report);
    notes.say(
      `${report.jobs} jobs with ${report.events} events restored from the data directory, ${report.fromTemporal} more known to Temporal alone`,
    );
    if (!report.temporalAsked)
      notes.say('Temporal did not answer: repeat this once it does, for jobs that had not begun');
    return EXIT.ok;
  } finally {
    await closeAll(
      () => store.close(),
      () => mirror.close(),
    );
  }
}
