// Tells by content, not by time stamps, whether what was made from some files is still up to date: a fresh clone, a
// switched branch and a restored backup all have misleading times.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** SHA-256 over names and contents of the files below `paths` (files or folders, missing ones skipped). */
export function fingerprint(root, paths) {
  const hash = createHash('sha256').update(process.version);
  for (const file of paths.flatMap((path) => listFiles(root, path)).sort())
    hash.update(`\0${file}\0`).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

export const readMark = (path) => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '');
export const writeMark = (path, mark) => writeFileSync(path, `${mark}\n`);

function listFiles(root, path) {
  const absolute = join(root, path);
  if (!existsSync(absolute)) return [];
  if (statSync(absolute).isFile()) return [path];
  return readdirSync(absolute, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() || entry.isFile() ? listFiles(root, `${path}/${entry.name}`) : [],
  );
}
