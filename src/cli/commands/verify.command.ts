/** `nimbus verify` */
import type { Command } from 'commander';
import type { Runner } from '../context.js';

export function addVerify(program: Command, run: Runner): void {
  program
    .command('verify')
    .argument('<manifest>', 'the manifest.json of a job: a path, or its s3:// address')
    .description('read every file of a manifest again and compare its digests; needs no server')
    .addHelpText(
      'after',
      `
Example:
  $ nimbus verify data/jobs/5e0c…/manifest.json

Files are looked for relative to the manifest; in a bucket, which NIMBUS_DESTINATION must name. Exit code 1 if one is missing or differs.`,
    )
    .action(
      run(async (context, _options, manifest) =>
        (await import('../actions/verify.js')).verify(context, manifest),
      ),
    );
}
