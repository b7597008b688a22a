/** Writing so that a power cut leaves the old or the new content under a name, and nothing between. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stored } from '../../transfer/index.js';

async function syncFile(path: string): Promise<void> {
  const file = await stored(open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
  try {
    await stored(file.sync());
  } finally {
    await file.close();
  }
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

/** Replaces the file at `place` by way of a temporary one in `temporaryFolder`, which is on the same file system. */
export async function writeDurably(
  place: string,
  content: string,
  temporaryFolder: string,
): Promise<void> {
  const temporary = join(temporaryFolder, randomBytes(12).toString('hex'));
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await stored(open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644));
  try {
    await stored(file.writeFile(content)).finally(() => file.close());
    await syncFile(temporary);
    await stored(rename(temporary, place));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(place));
}
