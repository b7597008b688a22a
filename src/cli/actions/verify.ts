/** Are the files still what the job's manifest says? Offline. */
import { openStore } from '../composition.js';
import type { CliContext } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { bytes, plain } from '../output/text.js';
import { isAddress, storedFiles } from '../verify/manifest-files.js';
import { verifyManifest, type VerifiedFile } from '../verify/verify-manifest.js';

export async function verify(context: CliContext, manifest: string): Promise<ExitCode> {
  const { stop, notes } = context;
  const verified = await verifyAt(context, manifest).catch((error: unknown) => {
    if (stop.which() !== null) return null;
    throw error;
  });
  if (verified === null) return stop.exitCode();
  const { files, jobId } = verified;
  const broken = files.filter(({ problem }) => problem !== null).length;
  notes.say(
    broken === 0
      ? `${files.length} files are what the manifest says`
      : `${broken} of ${files.length} files are not what the manifest says: fetch them again with \`nimbus jobs retry ${plain(jobId ?? '<id>')}\``,
  );
  return broken === 0 ? EXIT.ok : EXIT.failed;
}

/** @param manifest a path, or an address in the bucket that is the destination */
export async function verifyAt(context: CliContext, manifest: string) {
  const tell = (file: VerifiedFile) => tellFile(context, file);
  const { signal } = context.stop;
  if (!isAddress(manifest)) return await verifyManifest(manifest, tell, signal);
  const store = await openStore(context.config(context.env));
  try {
    return await verifyManifest(manifest, tell, signal, storedFiles(store, manifest));
  } finally {
    await store.close();
  }
}

export function tellFile({ json, paint, print, printJson }: CliContext, file: VerifiedFile): void {
  if (json) return printJson(file);
  const name = plain(file.href);
  if (file.problem !== null) return print(`${paint.red('✗')} ${name}: ${plain(file.problem)}`);
  const digests = file.checksums.map(({ algorithm }) => algorithm).join(', ');
  print(`${paint.green('✓')} ${name}  ${bytes(file.sizeBytes ?? 0)}  ${digests} match`);
}
