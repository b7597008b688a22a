/** Removes what crashes left behind: partial directories and temporary files that no live run owns (I10). */
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface SweepResult {
  removed: number;
  bytes: number;
}

/** Entries of `folder` untouched for `olderThanMs` and not `isOwned`. A folder is as young as its youngest file. */
export async function sweepFolder(
  folder: string,
  olderThanMs: number,
  isOwned: (path: string) => boolean | Promise<boolean>,
): Promise<SweepResult> {
  const result: SweepResult = { removed: 0, bytes: 0 };
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const { touchedMs, bytes } = await measure(path);
    if (Date.now() - touchedMs < olderThanMs || (await isOwned(path))) continue;
    await rm(path, { recursive: true, force: true });
    result.removed++;
    result.bytes += bytes;
  }
  return result;
}

async function measure(path: string): Promise<{ touchedMs: number; bytes: number }> {
  const facts = await lstat(path).catch(() => null);
  if (!facts) return { touchedMs: Date.now(), bytes: 0 };
  let touchedMs = facts.mtimeMs;
  let bytes = facts.isFile() ? facts.size : 0;
  for (const name of facts.isDirectory() ? await readdir(path).catch(() => []) : []) {
    const inside = await measure(join(path, name));
    touchedMs = Math.max(touchedMs, inside.touchedMs);
    bytes += inside.bytes;
  }
  return { touchedMs, bytes };
}
