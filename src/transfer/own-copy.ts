/**
 * A partial file of one's own, where an earlier owner may still hold the old one open. Its machine may have lost power since:
 * of the blocks that the journal names, those alone are copied that the disk gives back just as they were written.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { isServiceError } from '../jobs/error-codes.js';
import type { BlockDigest } from './block-digest.js';
import { cancelledError, stored } from './errors.js';
import type { FileHandleLike, Files } from './files.js';
import type { Owner } from './owner.js';
import { openIfThere } from './part-file.js';
import type { Block } from './records.js';

/** No block is longer than what is written at once, whatever a journal says. */
const MOST_BYTES = 64 * 1024 * 1024;

export interface Copying {
  files: Files;
  directory: string;
  /** What the journal says of the owner's partial file. */
  blocks: readonly Block[];
  digestOfBlock: BlockDigest;
  signal: AbortSignal;
}

/**
 * Where there is no room for a copy, the partial file begins anew.
 * @returns the blocks that are in the copy, which is flushed, because the journal will promise of it what it promised of the first
 */
export async function makeOwnCopy(owner: Owner, copying: Copying): Promise<Block[]> {
  const { files, directory } = copying;
  const name = `part.${files.token()}`;
  const path = join(directory, name);
  try {
    const from = await openIfThere(files, join(directory, owner.part));
    const copied = from ? await copyTo(path, from, copying).finally(() => from.close()) : [];
    await owner.usePart(name);
    return copied;
  } catch (error) {
    await files.remove(path).catch(() => undefined);
    throw error;
  }
}

async function copyTo(path: string, from: FileHandleLike, copying: Copying): Promise<Block[]> {
  const { files, directory } = copying;
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const to = await stored(files.open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW));
  try {
    const copied = await copyProven(from, to, copying);
    await stored(to.datasync());
    await stored(files.syncDirectory(directory));
    return copied;
  } catch (error) {
    if (!isServiceError(error) || error.code !== 'StorageFull') throw error;
    await stored(to.truncate(0));
    return [];
  } finally {
    await to.close();
  }
}

async function copyProven(
  from: FileHandleLike,
  to: FileHandleLike,
  { files, blocks, digestOfBlock, signal }: Copying,
): Promise<Block[]> {
  const lengths = blocks.map(({ length }) => length).filter((length) => length <= MOST_BYTES);
  const memory = Buffer.allocUnsafeSlow(lengths.reduce((most, one) => Math.max(most, one), 0));
  const copied: Block[] = [];
  for (const block of blocks) {
    if (signal.aborted) throw cancelledError(signal);
    if (block.length > memory.length) continue;
    const bytes = memory.subarray(0, block.length);
    if (!(await fills(from, bytes, block.offset)) || digestOfBlock(bytes) !== block.xxh64) continue;
    await stored(files.writeAll(to, bytes, block.offset));
    copied.push(block);
  }
  return copied;
}

/** Does the file give as many bytes from `position` on? One that cannot be read has none there. */
async function fills(file: FileHandleLike, bytes: Buffer, position: number): Promise<boolean> {
  for (let fill = 0; fill < bytes.length;) {
    const read = file.read(bytes, fill, bytes.length - fill, position + fill);
    const { bytesRead } = await read.catch(() => ({ bytesRead: 0 }));
    if (bytesRead === 0) return false;
    fill += bytesRead;
  }
  return true;
}
