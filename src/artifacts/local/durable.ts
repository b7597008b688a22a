/** Writing so that a power cut leaves the old or the new content under a name, and nothing between. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { stored } from '../../transfer/index.js';

/** See `syncFolder`; all at once. */
export async function syncFolders(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map(syncFolder));
}

/** Makes names created in, moved into or removed from a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await stored(open(path, constants.O_RDONLY | constants.O_DIRECTORY));
  try {
    await stored(folder.sync());
  } finally {
    await folder.close();
  }
}

/**
 * Replaces the file at `place` by way of a temporary one in `temporaryFolder`, which is on the same file system.
 * @param folders above the place, whose names may be new
 */
export async function writeDurably(
  place: string,
  content: string,
  temporaryFolder: string,
  folders: readonly string[],
): Promise<void> {
  const temporary = join(temporaryFolder, randomBytes(12).toString('hex'));
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await stored(open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644));
  try {
    await writeFlushed(file, content);
    await stored(rename(temporary, place));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolders(folders);
}

async function writeFlushed(file: FileHandle, content: string): Promise<void> {
  try {
    await stored(file.writeFile(content));
    await stored(file.sync());
  } finally {
    await file.close();
  }
}
