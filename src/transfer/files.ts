/** The file operations that a transfer uses, as an object, so that tests can make each of them fail. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { errnoOf, stored, toStoreError } from './errors.js';

export interface FileFacts {
  size: number;
  ino: number;
  nlink: number;
  mtimeMs: number;
}

export interface FileHandleLike {
  readonly fd: number;
  write: (
    data: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ) => Promise<{ bytesWritten: number }>;
  read: (
    memory: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ) => Promise<{ bytesRead: number }>;
  datasync: () => Promise<void>;
  truncate: (length: number) => Promise<void>;
  stat: () => Promise<FileFacts>;
  close: () => Promise<void>;
}

export interface Files {
  /** Creates with mode 0o644. `flags` as in fs.constants. */
  open: (path: string, flags: number) => Promise<FileHandleLike>;
  /** Writes everything, over as many calls as it takes. */
  writeAll: (file: FileHandleLike, data: Uint8Array, position: number) => Promise<void>;
  /** The whole of a small file without following a link; null when there is none. */
  read: (path: string) => Promise<Buffer | null>;
  /** What a path leads to, without following a link; null when that is nothing. */
  look: (path: string) => Promise<FileFacts | null>;
  rename: (from: string, to: string) => Promise<void>;
  /** Harmless when there is none. */
  remove: (path: string) => Promise<void>;
  /** Names in a directory. */
  list: (directory: string) => Promise<string[]>;
  /** Flushes names created in, renamed into or removed from a directory. */
  syncDirectory: (path: string) => Promise<void>;
  /** A random name part. */
  token: () => string;
}

export const nodeFiles: Files = {
  open: (path, flags) => fs.open(path, flags, 0o644),
  async writeAll(file, data, position) {
    for (let at = 0; at < data.length;) {
      const { bytesWritten } = await file.write(data, at, data.length - at, position + at);
      if (bytesWritten === 0)
        throw Object.assign(new Error('nothing was written'), { code: 'EIO', syscall: 'write' });
      at += bytesWritten;
    }
  },
  async read(path) {
    try {
      return await fs.readFile(path, { flag: constants.O_RDONLY | constants.O_NOFOLLOW });
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null;
      throw error;
    }
  },
  async look(path) {
    try {
      return await fs.lstat(path);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null;
      throw error;
    }
  },
  rename: (from, to) => fs.rename(from, to),
  async remove(path) {
    try {
      await fs.unlink(path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  },
  list: (directory) => fs.readdir(directory),
  async syncDirectory(path) {
    const directory = await fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  token: () => randomBytes(6).toString('hex'),
};

/**
 * Puts a new file in the place of another at once, by way of a temporary one beside it, and hands it back open. Whoever
 * takes the directory over removes what is temporary: then the file is made again.
 */
export async function replaceFile(
  files: Files,
  path: string,
  fill: (file: FileHandleLike) => Promise<void>,
): Promise<FileHandleLike> {
  for (let tries = 1; ; tries++) {
    const temporary = `${path}.${files.token()}.tmp`;
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const file = await stored(files.open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW));
    try {
      await fill(file);
      await files.rename(temporary, path);
      return file;
    } catch (error) {
      await file.close().catch(() => undefined);
      await files.remove(temporary).catch(() => undefined);
      if (errnoOf(error) !== 'ENOENT' || tries === 3) throw toStoreError(error);
    }
  }
}

/** A step with a file that was just opened: it is closed should the step fail. */
export async function closingOnFailure<T>(file: FileHandleLike, step: Promise<T>): Promise<T> {
  try {
    return await stored(step);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}
