/** Safe relative paths as places on disk: the text is checked first, then each component, so that no link is followed. */
import type { Stats } from 'node:fs';
import { lstat, mkdir, realpath, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ServiceError } from '../../jobs/error-codes.js';
import { errnoOf, stored } from '../../transfer/index.js';
import { missingError, outsideError, safeSegments } from '../safe-path.js';

/** Absolute place for a path that is to be written; throws InvalidInput. Touches nothing. */
export function placeFor(base: string, path: string): string {
  const segments = safeSegments(path);
  if (!segments) throw outsideError(path);
  return join(base, ...segments);
}

/**
 * Makes a folder and what is missing above it. Node's own `recursive` never ends where a parent exists and the system
 * still answers ENOENT, as /proc does.
 */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return;
    const above = dirname(folder);
    if (errnoOf(error) !== 'ENOENT' || above === folder) throw error;
    await makeFolder(above);
    await mkdir(folder).catch(ignoreExisting);
  }
}

/** Makes the folders above a place, refusing links; returns those that were there or are new, outermost first. */
export async function makeParents(base: string, path: string): Promise<string[]> {
  const folders = [base];
  for (const segment of path.split('/').slice(0, -1)) {
    const folder = join(folders.at(-1) ?? base, segment);
    const facts = (await lstat(folder).catch(() => null)) ?? (await makeAndLook(folder));
    if (!facts.isDirectory())
      throw new ServiceError('Conflict', 'A folder of the path is a file or a link', {
        details: { path },
      });
    folders.push(folder);
  }
  return folders;
}

async function makeAndLook(folder: string): Promise<Stats> {
  await stored(mkdir(folder).catch(ignoreExisting));
  return await stored(lstat(folder));
}

/** A folder with all that is in it, which is nothing most of the time; harmless when there is none. */
export async function removeFolder(folder: string): Promise<void> {
  await rmdir(folder).catch(() => rm(folder, { recursive: true, force: true }));
}

function ignoreExisting(error: unknown): void {
  if (errnoOf(error) !== 'EEXIST') throw error;
}

/** Absolute path and size of a regular file below the root; NotFound for whatever is not exactly that. */
export async function resolveFile(
  root: string,
  path: string,
): Promise<{ absolutePath: string; bytes: number }> {
  const segments = safeSegments(path);
  if (!segments) throw missingError(path);
  try {
    let absolutePath = await realpath(root);
    for (const [index, segment] of segments.entries()) {
      absolutePath = join(absolutePath, segment);
      const facts = await lstat(absolutePath);
      const isLast = index === segments.length - 1;
      if (isLast && facts.isFile()) return { absolutePath, bytes: facts.size };
      if (isLast || !facts.isDirectory()) break;
    }
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP'].includes(errnoOf(error) ?? ''))
      return await stored(Promise.reject(error as Error));
  }
  throw missingError(path);
}
