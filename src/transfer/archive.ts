/**
 * Is this zip whole? Reads the end record (also zip64) and walks the central directory, from disk and in constant memory:
 * it must lie where the end record says, hold as many entries, and point at local headers before it.
 * @see APPNOTE.TXT 6.3.10 §4.3
 */
import type { FileHandleLike } from './files.js';

const END_BYTES = 22;
const MAX_COMMENT = 0xffff;
const ENTRY_BYTES = 46;
const WINDOW = 256 * 1024;

interface Directory {
  entries: number;
  size: number;
  offset: number;
  /** Where the end records begin: the directory must end there. */
  limit: number;
}

/** @returns null when the archive is sound, else what is wrong with it. */
export async function zipFault(file: FileHandleLike, bytes: number): Promise<string | null> {
  const directory = await findDirectory(file, bytes);
  if (typeof directory === 'string') return directory;
  const { entries, size, offset, limit } = directory;
  if (offset + size > limit) return 'the central directory does not fit into the file';
  let at = offset;
  let window: Buffer = Buffer.alloc(0);
  let windowAt = 0;
  for (let entry = 0; entry < entries; entry++) {
    if (at + ENTRY_BYTES > offset + size) return 'the central directory ends early';
    if (at + ENTRY_BYTES > windowAt + window.length || at < windowAt) {
      windowAt = at;
      window = await readAt(file, at, Math.min(WINDOW, limit - at));
    }
    const header = window.subarray(at - windowAt);
    if (header.length < ENTRY_BYTES || header.readUInt32LE(0) !== 0x02014b50)
      return 'the central directory is damaged';
    const local = header.readUInt32LE(42);
    if (local !== 0xffffffff && local >= offset) return 'an entry lies outside the archive';
    if (entry === 0 && local !== 0xffffffff) {
      const start = await readAt(file, local, 4);
      if (start.length < 4 || start.readUInt32LE(0) !== 0x04034b50)
        return 'the first entry is not where the directory says';
    }
    at += ENTRY_BYTES + header.readUInt16LE(28) + header.readUInt16LE(30) + header.readUInt16LE(32);
  }
  return at === offset + size ? null : 'the central directory has another length than stated';
}

async function findDirectory(file: FileHandleLike, bytes: number): Promise<Directory | string> {
  const tailAt = Math.max(0, bytes - END_BYTES - MAX_COMMENT);
  const tail = await readAt(file, tailAt, bytes - tailAt);
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== 0x06054b50) continue;
    if (at + END_BYTES + tail.readUInt16LE(at + 20) !== tail.length) continue;
    const plain: Directory = {
      entries: tail.readUInt16LE(at + 10),
      size: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
      limit: tailAt + at,
    };
    const isZip64 =
      plain.entries === 0xffff || plain.size === 0xffffffff || plain.offset === 0xffffffff;
    return isZip64 ? await findZip64(file, plain) : plain;
  }
  return 'it has no end of central directory';
}

async function findZip64(file: FileHandleLike, plain: Directory): Promise<Directory | string> {
  const locator = await readAt(file, Math.max(0, plain.limit - 20), 20);
  if (locator.length < 20 || locator.readUInt32LE(0) !== 0x07064b50) return plain;
  const at = Number(locator.readBigUInt64LE(8));
  const end = await readAt(file, at, 56);
  if (end.length < 56 || end.readUInt32LE(0) !== 0x06064b50)
    return 'its zip64 end record is missing';
  return {
    entries: Number(end.readBigUInt64LE(32)),
    size: Number(end.readBigUInt64LE(40)),
    offset: Number(end.readBigUInt64LE(48)),
    limit: at,
  };
}

async function readAt(file: FileHandleLike, position: number, length: number): Promise<Buffer> {
  const memory = Buffer.alloc(Math.max(0, length));
  let fill = 0;
  while (fill < memory.length) {
    const { bytesRead } = await file.read(memory, fill, memory.length - fill, position + fill);
    if (bytesRead === 0) break;
    fill += bytesRead;
  }
  return memory.subarray(0, fill);
}
