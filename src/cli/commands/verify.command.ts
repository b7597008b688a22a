/** `nimbus verify`: are the files still what the job's manifest says? Offline. */
import type { Command } from 'commander';
import type { CliContext, Runner } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { bytes, plain } from '../output/text.js';
import { verifyManifest, type VerifiedFile } from '../verify/verify-manifest.js';

export function addVerify(program: Command, run: Runner): void {
  program
    .command('verify')
    .argument('<manifest>', 'the manifest.json of a job')
    .description('read every file of a manifest again and compare its digests; needs no server')
    .addHelpText(
      'after',
      `
Example:
  $ nimbus verify data/jobs/5e0c…/manifest.json

Files are looked for relative to the manifest. Exit code 1 if one is missing or differs.`,
    )
    .action(
      run(async (context, _options, manifest) => {
        const files = await verifyManifest(
          manifest,
          (file) => tellFile(context, file),
          context.stop.signal,
        ).catch((error: unknown) => {
          if (context.stop.which() !== null) return null;
          throw error;
        });
        if (files === null) return context.stop.exitCode();
        const broken = files.filter(({ problem }) => problem !== null).length;
        context.notes.say(
          broken === 0
            ? `${files.length} files are what the manifest says`
            : `${broken} of ${files.length} files are not what the manifest says: fetch them again with \`nimbus jobs retry <id>\``,
        );
        return broken === 0 ? EXIT.ok : EXIT.failed;
      }),
    );
}

export function tellFile({ json, paint, print, printJson }: CliContext, file: VerifiedFile): void {
  if (json) return printJson(file);
  const name = plain(file.href);
  if (file.problem !== null) return print(`${paint.red('✗')} ${name}: ${plain(file.problem)}`);
  const digests = file.checksums.map(({ algorithm }) => algorithm).join(', ');
  print(`${paint.green('✓')} ${name}  ${bytes(file.sizeBytes ?? 0)}  ${digests} match`);
}
