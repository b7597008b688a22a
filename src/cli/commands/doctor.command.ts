/** `nimbus doctor` */
import type { Command } from 'commander';
import type { Runner } from '../context.js';

export function addDoctor(program: Command, run: Runner): void {
  program
    .command('doctor')
    .description('test Temporal, mirror, credentials, ports, disk and versions')
    .addHelpText(
      'after',
      '\nExit code 1 if something does not work; each line that begins with ✗ says what to do.',
    )
    .action(run(async (context) => (await import('../actions/doctor.js')).doctor(context)));
}
