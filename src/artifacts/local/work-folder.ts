/** The local directory of unfinished bytes, `.partial/<key>/`: every store has one, wherever its final files go. */
import { constants } from 'node:fs';
import { access, lstat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from '../../jobs/error-codes.js';
import { stored } from '../../transfer/index.js';
import { digestName } from '../held.js';
import { syncFolder } from './durable.js';
import { makeFolder, removeFolder } from './paths.js';
import { createReservations, type Reservations } from './reserve.js';
import { sweepFolder, type SweepResult } from './sweep.js';

export interface WorkFolder {
  /** Absolute: the folder of the partial directories. */
  partials: string;
  /** Makes the root, the partials and `further` folders; refuses links and what cannot be written. */
  prepare: (further?: readonly string[]) => Promise<void>;
  partialDirectory: (key: string) => string;
  discard: (key: string) => Promise<void>;
  freeBytes: () => Promise<number>;
  reserve: Reservations['reserve'];
  sweep: (
    olderThanMs: number,
    isOwned: (directory: string) => boolean | Promise<boolean>,
  ) => Promise<SweepResult>;
}

/**
 * @param root absolute
 * @param marginBytes stays free whatever is promised; null = 2 % of the disk, at most 1 GiB
 */
export function createWorkFolder(root: string, marginBytes: number | null = null): WorkFolder {
  const partials = join(root, '.partial');
  const partialDirectory = (key: string) => join(partials, digestName(key));
  return {
    partials,
    async prepare(further = []) {
      for (const folder of [root, partials, ...further]) await prepareFolder(folder);
      await syncFolder(root);
    },
    partialDirectory,
    async discard(key) {
      await stored(removeFolder(partialDirectory(key)));
    },
    async freeBytes() {
      const { bavail, bsize } = await stored(statfs(root));
      return bavail * bsize;
    },
    ...createReservations({ partials, marginBytes }),
    sweep: (olderThanMs, isOwned) => sweepFolder(partials, olderThanMs, isOwned),
  };
}

async function prepareFolder(folder: string): Promise<void> {
  await stored(makeFolder(folder));
  const facts = await stored(lstat(folder));
  if (!facts.isDirectory())
    throw new ServiceError('StoreUnavailable', 'The data directory, or a folder in it, is a link', {
      details: { path: folder },
    });
  await stored(access(folder, constants.R_OK | constants.W_OK | constants.X_OK));
}
