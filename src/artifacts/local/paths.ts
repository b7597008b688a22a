/**
 * Relative paths from outside, made safe. A path names a place inside the root, with forward slashes, without hidden parts
 * and without a link on the way: the text is checked first, then each component on disk.
 */
import { lstat, mkdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ServiceError } from '../../jobs/error-codes.js';
import { errnoOf, stored } from '../../transfer/index.js';

const MAX_PATH_BYTES = 3000;
const MAX_SEGMENT_BYTES = 255;

/** The parts of a safe relative path, or null for one that is not. */
export function safeSegments(path: string): string[] | null {
  if (path === '' || Buffer.byteLength(path) > MAX_PATH_BYTES) return null;
  if (/[\u0000-\u001f\u007f\\]/.test(path)) return null;
  const segments = path.split('/');
  return segments.every(isSafeSegment) ? segments : null;
}

function isSafeSegment(segment: string): boolean {
  return (
    segment !== '' && !segment.startsWith('.') && Buffer.byteLength(segment) <= MAX_SEGMENT_BYTES
  );
}

/** Absolute place for a path that is to be written; throws InvalidInput. Touches nothing. */
export function placeFor(base: string, path: string): string {
  const segments = safeSegments(path);
  if (!segments)
    throw new ServiceError('InvalidInput', 'The path leads outside the data directory', {
      details: { path: path.slice(0, 300) },
    });
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
    await stored(mkdir(folder).catch(ignoreExisting));
    const facts = await stored(lstat(folder));
    if (!facts.isDirectory())
      throw new ServiceError('Conflict', 'A folder of the path is a file or a link', {
        details: { path },
      });
    folders.push(folder);
  }
  return folders;
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
  if (!segments) throw notFound(path);
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
  throw notFound(path);
}

function notFound(path: string): ServiceError {
  return new ServiceError('NotFound', 'There is no such file', {
    details: { path: path.slice(0, 300) },
  });
}
