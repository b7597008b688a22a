/** Where a manifest and the files beside it are: on this machine, or in the bucket that is the destination. */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, posix, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { isServiceError } from '../../jobs/error-codes.js';
import { CommandError, EXIT } from '../exit-codes.js';
import { plain } from '../output/text.js';

export interface FoundFile {
  bytes: number;
  read: (signal: AbortSignal) => AsyncIterable<unknown>;
}

export interface ManifestFiles {
  /** @throws CommandError (65) where it cannot be read */
  manifest: () => Promise<string>;
  /** Where a relative href leads: a path, or an address. */
  placeOf: (href: string) => string;
  /** Null when there is no file. */
  find: (href: string) => Promise<FoundFile | null>;
}

export const isAddress = (manifest: string): boolean => /^s3:\/\//i.test(manifest);

export function localFiles(manifest: string): ManifestFiles {
  const placeOf = (href: string) => resolve(dirname(resolve(manifest)), href);
  return {
    async manifest() {
      return await readFile(manifest, 'utf8').catch((error: NodeJS.ErrnoException) => {
        throw new CommandError(`Cannot read ${plain(manifest)}: ${error.code}`, EXIT.dataError);
      });
    },
    placeOf,
    async find(href) {
      const path = placeOf(href);
      const found = await stat(path).catch(() => null);
      if (!found?.isFile()) return null;
      const read = (signal: AbortSignal) =>
        createReadStream(path, { signal, highWaterMark: 1024 * 1024 });
      return { bytes: found.size, read };
    },
  };
}

export function storedFiles(
  store: Pick<ArtifactStore, 'open' | 'addressOf' | 'pathOf'>,
  manifest: string,
): ManifestFiles {
  const path = store.pathOf(manifest);
  if (path === null || isAddress(path))
    throw new CommandError(
      `${plain(manifest)} does not lie in the destination`,
      EXIT.dataError,
      'Set NIMBUS_DESTINATION to the bucket of the manifest',
    );
  const pathOf = (href: string) => posix.join(posix.dirname(path), href);
  return {
    async manifest() {
      try {
        return await text((await store.open(path)).read());
      } catch (error) {
        if (!isServiceError(error)) throw error;
        const reason = `Cannot read ${plain(manifest)}: ${plain(error.message)}`;
        throw new CommandError(reason, EXIT.dataError);
      }
    },
    placeOf: (href) => store.addressOf(pathOf(href)),
    async find(href) {
      try {
        const { bytes, read } = await store.open(pathOf(href));
        return {
          bytes,
          read(signal) {
            const stream = read();
            signal.addEventListener('abort', () => stream.destroy(signal.reason as Error), {
              once: true,
            });
            return stream;
          },
        };
      } catch (error) {
        if (isServiceError(error) && error.code === 'NotFound') return null;
        throw error;
      }
    },
  };
}

/** An absolute path, or an address, is nothing relative. */
export const isRelative = (href: string): boolean =>
  !/^[a-z][a-z0-9+.-]*:/i.test(href) && !isAbsolute(href);
