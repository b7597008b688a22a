/**
 * Opening the unfinished file of a directory: never through a symlink, never a file that has another name too, and on a
 * copy of its own when an earlier owner may still hold the old one open.
 */
import { constants } from 'node:fs';
import { lstat, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from '../jobs/error-codes.js';
import { errnoOf, PartialLost, stored } from './errors.js';
import type { FileHandleLike, Files } from './files.js';
import type { Owner } from './owner.js';

export interface PartFile {
  file: FileHandleLike;
  path: string;
  /** Bytes it had when opened. */
  size: number;
}

/** Creates what is missing; refuses a directory that is a symlink. */
export async function prepareDirectory(directory: string): Promise<void> {
  await stored(mkdir(directory, { recursive: true }));
  const facts = await stored(lstat(directory));
  if (!facts.isDirectory())
    throw new ServiceError('StoreUnavailable', 'The directory of the partial file is a link');
}

/** Opens or creates the owner's partial file; where an earlier owner may live, a copy of it. */
export async function openPart(files: Files, directory: string, owner: Owner): Promise<PartFile> {
  if (owner.shared) await makeOwnCopy(files, directory, owner);
  const path = join(directory, owner.part);
  const existing = await openIfThere(files, path);
  if (existing) {
    const { size, nlink } = await stored(existing.stat());
    if (nlink === 1) return { file: existing, path, size };
    await existing.close();
    await stored(files.remove(path));
  }
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await stored(files.open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW));
  await stored(files.syncDirectory(directory));
  return { file, path, size: 0 };
}

/** For reading and writing, or null when there is none. Refuses a link. */
export async function openIfThere(files: Files, path: string): Promise<FileHandleLike | null> {
  try {
    return await files.open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    if (errnoOf(error) === 'ELOOP' || errnoOf(error) === 'EISDIR')
      throw new ServiceError('StoreUnavailable', 'The partial file is a link or a directory', {
        cause: error,
      });
    return await stored(Promise.reject(error as Error));
  }
}

async function makeOwnCopy(files: Files, directory: string, owner: Owner): Promise<void> {
  const name = `part.${files.token()}`;
  try {
    await files.copy(join(directory, owner.part), join(directory, name));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') {
      await files.remove(join(directory, name)).catch(() => undefined);
      await stored(Promise.reject(error as Error));
    }
  }
  await owner.usePart(name);
}

/** Throws PartialLost when the path no longer leads to the open file. */
export async function assertStillThere(part: PartFile): Promise<void> {
  const ours = await stored(part.file.stat());
  const there = await stat(part.path).catch(() => null);
  if (ours.nlink === 0 || there?.ino !== ours.ino)
    throw new PartialLost('The partial file was removed');
}
