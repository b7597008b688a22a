/**
 * Random access to the bytes of an archive, wherever they lie: a local file, or a remote one read by HTTP ranges.
 * Reading is counted in requests where the bytes are far away, so the reader below keeps what it has fetched last.
 */
import { stored } from '../errors.js';
import type { FileHandleLike } from '../files.js';
import { archiveError } from './faults.js';

/** Half-open [start, start + bytes), in bytes from the beginning of the archive. */
export interface ByteRange {
  start: number;
  bytes: number;
}

export interface ByteReader {
  /** Length of the whole archive. */
  readonly bytes: number;
  /** Exactly [position, position + length), or fewer where the archive ends. Callers stay inside `bytes`. */
  read: (position: number, length: number) => Promise<Buffer>;
}

/** @throws StoreUnavailable when reading fails */
export function fileReader(file: FileHandleLike, bytes: number): ByteReader {
  return {
    bytes,
    async read(position, length) {
      const memory = Buffer.allocUnsafe(length);
      let fill = 0;
      while (fill < length) {
        const { bytesRead } = await stored(file.read(memory, fill, length - fill, position + fill));
        if (bytesRead === 0) break;
        fill += bytesRead;
      }
      return memory.subarray(0, fill);
    },
  };
}

/** @throws SourceRefused (`truncated`) where the archive has no such bytes */
export async function readExactly(
  reader: ByteReader,
  { start, bytes }: ByteRange,
): Promise<Buffer> {
  const isInside = start >= 0 && start + bytes <= reader.bytes;
  const found = isInside ? await reader.read(start, bytes) : Buffer.alloc(0);
  if (found.length !== bytes)
    throw archiveError('truncated', `it has no ${bytes} bytes at ${start}`);
  return found;
}

/** Walks forward through a reader, fetching `windowBytes` at a time; what was fetched last is served again for nothing. */
export class WindowReader {
  #window: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(
    readonly reader: ByteReader,
    readonly windowBytes: number,
  ) {}

  /** `limit`: nothing at or behind it is fetched ahead. */
  async view(range: ByteRange, limit = this.reader.bytes): Promise<Buffer> {
    const end = range.start + range.bytes;
    if (range.start < this.#start || end > this.#start + this.#window.length) {
      const most = Math.max(range.bytes, Math.min(this.windowBytes, limit - range.start));
      this.#window = await readExactly(this.reader, { start: range.start, bytes: most });
      this.#start = range.start;
    }
    return this.#window.subarray(range.start - this.#start, end - this.#start);
  }
}
