/**
 * The last step of a download: verified bytes get their final name. A name that is taken is never overwritten by accident:
 * a hard link is made, which fails where something is, and only then is the other name removed.
 */
import { link, lstat, rename, unlink } from 'node:fs/promises';
import { ServiceError } from '../../jobs/error-codes.js';
import type { Artifact } from '../../jobs/product.js';
import { errnoOf, hashFile, stored, type HashPool } from '../../transfer/index.js';
import type { TransferResult } from '../../transfer/transfer.js';
import { throwIfAborted } from '../aborted.js';
import type { PublishOptions } from '../artifact-store.js';
import { artifactAt } from '../artifact.js';
import { syncFolders } from './durable.js';
import { makeParents, placeFor } from './paths.js';

export async function publishFile(
  root: string,
  transfer: TransferResult,
  finalPath: string,
  options: PublishOptions,
  pool: HashPool,
): Promise<Artifact> {
  const signal = options.signal ?? new AbortController().signal;
  throwIfAborted(signal);
  const place = placeFor(root, finalPath);
  const folders = await makeParents(root, finalPath);
  if (await isThere(transfer.path)) {
    if (!(await linkNew(transfer.path, place)))
      await settleTaken(transfer, place, finalPath, options.replace ?? false, pool, signal);
    await unlink(transfer.path).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
  } else if (!(await holdsSameBytes(transfer, place, pool, signal))) {
    throw new ServiceError(
      'StoreUnavailable',
      'The verified bytes have vanished before they were published',
    );
  }
  await syncFolders(folders);
  return artifactAt(finalPath, transfer);
}

/** False when the name is taken. Where links are not to be had, looks first and then renames. */
async function linkNew(from: string, place: string): Promise<boolean> {
  try {
    await link(from, place);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errnoOf(error) ?? ''))
      return await stored(Promise.reject(error as Error));
    if (await isThere(place)) return false;
    await stored(rename(from, place));
    return true;
  }
}

async function settleTaken(
  transfer: TransferResult,
  place: string,
  finalPath: string,
  replace: boolean,
  pool: HashPool,
  signal: AbortSignal,
): Promise<void> {
  if (await holdsSameBytes(transfer, place, pool, signal)) return;
  if (!replace)
    throw new ServiceError('Conflict', 'Other bytes are stored under this name', {
      details: { path: finalPath },
    });
  await stored(rename(transfer.path, place));
}

async function holdsSameBytes(
  transfer: TransferResult,
  place: string,
  pool: HashPool,
  signal: AbortSignal,
): Promise<boolean> {
  const facts = await lstat(place).catch(() => null);
  if (!facts?.isFile() || facts.size !== transfer.bytes) return false;
  const { algorithm, value } = transfer.checksum;
  const { digests } = await hashFile(pool, place, [algorithm], signal);
  return digests.some((digest) => digest.value === value);
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null;
}
