/**
 * Where the central directory of a zip lies: the end record, in its zip64 form where there is one, found from the end.
 * Archives may have something before them (then all offsets are moved by as much) and a comment after them.
 * @see APPNOTE.TXT 6.3.10 §4.3.14–4.3.16
 */
import { archiveError, archiveFaultOf } from './faults.js';
import type { ArchiveLimits } from './limits.js';
import type { ByteRange, WindowReader } from './reader.js';

const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR_BYTES = 20;
const ENTRY_BYTES = 46;
/** The longest comment, and before it everything that ends the archive. */
const TAIL_BYTES = 0xffff + END_BYTES + LOCATOR_BYTES + END64_BYTES;
/** More places than these that look like an end were put there on purpose. */
const MAX_CANDIDATES = 16;

export interface DirectoryPlace {
  range: ByteRange;
  entries: number;
  /** Bytes before the archive's own first: to be added to every offset that it states. */
  shift: number;
}

interface EndRecord {
  entries: number;
  size: number;
  offset: number;
  /** Where the records that end the archive begin. */
  at: number;
}

/** The last bytes of an archive, as far as a damaged end can reach. */
export function tailRange(bytes: number): ByteRange {
  const start = Math.max(0, bytes - TAIL_BYTES);
  return { start, bytes: bytes - start };
}

/** @throws SourceRefused (`truncated`, `damaged`, `bomb`) */
export async function findDirectory(
  window: WindowReader,
  limits: ArchiveLimits,
): Promise<DirectoryPlace> {
  const range = tailRange(window.reader.bytes);
  const tail = await window.view(range);
  const ends = candidates(tail);
  if (ends.length === 0) throw archiveError('truncated', 'it has no end of central directory');
  if (ends.length > MAX_CANDIDATES) throw archiveError('damaged', 'it ends in too many places');
  const places: DirectoryPlace[] = [];
  let failure: unknown;
  for (const at of ends) {
    try {
      const end = await readEnd(window, tail, at, range.start);
      places.push(await placeOf(window, end, limits));
    } catch (error) {
      if (archiveFaultOf(error) === null) throw error;
      failure ??= error;
    }
  }
  const [place, other] = places;
  if (other) throw archiveError('damaged', 'it has two directories, and may be read in two ways');
  if (!place) throw failure as Error;
  return place;
}

/** Offsets in the tail of records whose comment ends where the archive does, the last first. */
function candidates(tail: Buffer): number[] {
  const found: number[] = [];
  const signature = Buffer.from('PK\x05\x06', 'latin1');
  for (
    let at = tail.lastIndexOf(signature);
    at >= 0 && found.length <= MAX_CANDIDATES;
    at = at === 0 ? -1 : tail.lastIndexOf(signature, at - 1)
  )
    if (
      at + END_BYTES <= tail.length &&
      at + END_BYTES + tail.readUInt16LE(at + 20) === tail.length
    )
      found.push(at);
  return found;
}

async function readEnd(
  window: WindowReader,
  tail: Buffer,
  at: number,
  tailStart: number,
): Promise<EndRecord> {
  const plain = {
    disk: tail.readUInt16LE(at + 4),
    directoryDisk: tail.readUInt16LE(at + 6),
    entriesHere: tail.readUInt16LE(at + 8),
    entries: tail.readUInt16LE(at + 10),
    size: tail.readUInt32LE(at + 12),
    offset: tail.readUInt32LE(at + 16),
  };
  const locatorAt = at - LOCATOR_BYTES;
  const hasLocator = locatorAt >= 0 && tail.readUInt32LE(locatorAt) === 0x07064b50;
  if (!hasLocator) {
    if (plain.disk !== 0 || plain.directoryDisk !== 0 || plain.entriesHere !== plain.entries)
      throw severalDisks();
    return { ...plain, at: tailStart + at };
  }
  const locator = tail.subarray(locatorAt, at);
  if (locator.readUInt32LE(4) !== 0 || locator.readUInt32LE(16) > 1) throw severalDisks();
  const end64 = await readEnd64(window, safe(locator, 8), tailStart + locatorAt);
  const isEqual = (narrow: number, wide: number, all: number) => narrow === all || narrow === wide;
  if (
    !isEqual(plain.entries, end64.entries, 0xffff) ||
    !isEqual(plain.entriesHere, end64.entries, 0xffff) ||
    !isEqual(plain.size, end64.size, 0xffff_ffff) ||
    !isEqual(plain.offset, end64.offset, 0xffff_ffff) ||
    !isEqual(plain.disk, 0, 0xffff) ||
    !isEqual(plain.directoryDisk, 0, 0xffff)
  )
    throw archiveError('damaged', 'its two end records contradict each other');
  return end64;
}

async function readEnd64(
  window: WindowReader,
  statedAt: number,
  locatorAt: number,
): Promise<EndRecord> {
  // Where something lies before the archive the stated place is wrong; then the record is of the usual length.
  for (const at of new Set([statedAt, locatorAt - END64_BYTES])) {
    if (at < 0 || at + END64_BYTES > locatorAt) continue;
    const end = await window.view({ start: at, bytes: END64_BYTES });
    if (end.readUInt32LE(0) !== 0x06064b50 || at + 12 + safe(end, 4) !== locatorAt) continue;
    const entries = safe(end, 32);
    if (end.readUInt32LE(16) !== 0 || end.readUInt32LE(20) !== 0 || safe(end, 24) !== entries)
      throw severalDisks();
    return { entries, size: safe(end, 40), offset: safe(end, 48), at };
  }
  throw archiveError('damaged', 'its zip64 end record is missing');
}

async function placeOf(
  window: WindowReader,
  { entries, size, offset, at }: EndRecord,
  limits: ArchiveLimits,
): Promise<DirectoryPlace> {
  if (entries > limits.members)
    throw archiveError('bomb', `it has ${entries} members, ${limits.members} are allowed`);
  if (size > limits.directoryBytes)
    throw archiveError('bomb', `its directory of ${size} bytes is too large`);
  if (entries * ENTRY_BYTES > size || offset + size > at)
    throw archiveError('damaged', 'the central directory does not fit into the file');
  // Usually the directory ends where the end records begin, and what it is moved by lies before the archive.
  for (const start of new Set([at - size, offset])) {
    const head = entries === 0 ? null : await window.view({ start, bytes: 4 });
    if (head === null ? size === 0 : head.readUInt32LE(0) === 0x02014b50)
      return { range: { start, bytes: size }, entries, shift: start - offset };
  }
  throw archiveError('damaged', 'the central directory is not where its end says');
}

function severalDisks() {
  return archiveError('damaged', 'it is spread over several disks');
}

function safe(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw archiveError('damaged', `it states a length or offset of ${value}`);
  return Number(value);
}
