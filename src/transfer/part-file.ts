/**
 * The unfinished file of a directory: opened never through a symlink, and never where it has another name too. Whole pages are written past the page cache where the
 * file system allows it: that costs half the work, and leaves nothing behind that a flush would have to wait for.
 */
import { constants } from 'node:fs';
import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from '../jobs/error-codes.js';
import { errnoOf, PartialLost, retry, stored, toStoreError } from './errors.js';
import { closingOnFailure, type FileHandleLike, type Files } from './files.js';
import type { Owner } from './owner.js';
import { PAGE_BYTES } from './slabs.js';

export class PartFile {
  #direct: FileHandleLike | null;
  /** Of the file at most, whatever was written and cut. */
  #length: number;
  #lengthening: Promise<void> | null = null;

  constructor(
    readonly files: Files,
    /** For reading, flushing and everything but whole pages. */
    readonly file: FileHandleLike,
    direct: FileHandleLike | null,
    readonly path: string,
    /** Bytes it had when opened. */
    readonly size: number,
    readonly inode: number,
  ) {
    this.#direct = direct;
    this.#length = size;
  }

  /** Never makes it shorter. */
  async lengthen(bytes: number): Promise<void> {
    while (this.#lengthening) await this.#lengthening.catch(() => undefined);
    if (bytes <= this.#length) return;
    this.#lengthening = this.#lengthen(bytes).finally(() => (this.#lengthening = null));
    await this.#lengthening;
  }

  async #lengthen(bytes: number): Promise<void> {
    await this.file.truncate(bytes).catch((error: unknown) => {
      // Room would not help.
      if (errnoOf(error) === 'EFBIG') throw tooLong(bytes);
      throw toStoreError(error);
    });
    this.#length = bytes;
  }

  async cut(bytes: number): Promise<void> {
    if (bytes === this.#length) return;
    this.#length = bytes;
    await stored(this.file.truncate(bytes));
  }

  /** @param memoryOffset where `bytes` start, counted from a page boundary in memory; null = unknown */
  async write(bytes: Buffer, position: number, memoryOffset: number | null): Promise<void> {
    this.#length = Math.max(this.#length, position + bytes.length);
    const skew = memoryOffset === null ? NaN : (memoryOffset - position) % PAGE_BYTES;
    if (this.#direct === null || skew !== 0) return await this.#write(bytes, position);
    const head = Math.min(bytes.length, (PAGE_BYTES - (position % PAGE_BYTES)) % PAGE_BYTES);
    const tail = Math.max(head, bytes.length - ((position + bytes.length) % PAGE_BYTES));
    if (head > 0) await this.#write(bytes.subarray(0, head), position);
    if (tail > head) await this.#writePages(bytes.subarray(head, tail), position + head);
    if (tail < bytes.length) await this.#write(bytes.subarray(tail), position + tail);
  }

  async close(): Promise<void> {
    await this.#direct?.close().catch(() => undefined);
    await this.file.close().catch(() => undefined);
  }

  async #write(bytes: Buffer, position: number): Promise<void> {
    await stored(this.files.writeAll(this.file, bytes, position));
  }

  /** Some file systems open a file for direct writes and refuse the first of them. */
  async #writePages(pages: Buffer, position: number): Promise<void> {
    const direct = this.#direct;
    // Another write has just been refused.
    if (direct === null) return await this.#write(pages, position);
    try {
      await this.files.writeAll(direct, pages, position);
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL') throw toStoreError(error);
      this.#direct = null;
      await direct.close().catch(() => undefined);
      await this.#write(pages, position);
    }
  }
}

function tooLong(bytes: number): Error {
  const message = `The server says that the file has ${bytes} bytes, more than a file can have here`;
  return retry('SourceRefused', message, { tries: 2 });
}

/** Creates what is missing; refuses a directory that is a symlink. @returns whether it was made just now */
export async function prepareDirectory(directory: string): Promise<boolean> {
  const made = await stored(mkdir(directory, { recursive: true }));
  if (made !== undefined) return true;
  const facts = await stored(lstat(directory));
  if (!facts.isDirectory())
    throw new ServiceError('StoreUnavailable', 'The directory of the partial file is a link');
  return false;
}

/** Opens or creates the owner's partial file. */
export async function openPart(files: Files, directory: string, owner: Owner): Promise<PartFile> {
  const path = join(directory, owner.part);
  const existing = await openIfThere(files, path);
  if (existing) {
    const facts = await closingOnFailure(existing, existing.stat());
    if (facts.nlink === 1) return await withDirect(files, existing, path, facts);
    await existing.close();
    await stored(files.remove(path));
  }
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await stored(files.open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW));
  return await withDirect(files, file, path, await closingOnFailure(file, file.stat()));
}

async function withDirect(
  files: Files,
  file: FileHandleLike,
  path: string,
  { ino, size }: { ino: number; size: number },
): Promise<PartFile> {
  const { O_RDWR, O_NOFOLLOW, O_DIRECT } = constants;
  // Not every platform knows the flag, and not every file system honours it.
  const direct = O_DIRECT
    ? await files.open(path, O_RDWR | O_NOFOLLOW | O_DIRECT).catch(() => null)
    : null;
  const there = await direct?.stat().catch(() => null);
  if (there?.ino === ino) return new PartFile(files, file, direct, path, size, ino);
  await direct?.close().catch(() => undefined);
  return new PartFile(files, file, null, path, size, ino);
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

/** Of no use to anybody once the file is verified. */
export function isUnfinished(name: string): boolean {
  return /^part\.|\.tmp$/.test(name);
}

/** Throws PartialLost when the path no longer leads to the open file. */
export async function assertStillThere(part: PartFile): Promise<void> {
  if ((await stored(part.files.look(part.path)))?.ino !== part.inode)
    throw new PartialLost('The partial file was removed');
}
