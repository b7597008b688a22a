/**
 * The members of a zip, from its central directory, and where the data of each begins. Strict: what cannot be read in one
 * way only, or would do harm when unpacked, is refused before much of it was read. Memory: the members themselves, whose
 * number and names are bounded, and one window.
 * @see APPNOTE.TXT 6.3.10 §4.3–4.5
 */
import type { ServiceError } from '../../jobs/error-codes.js';
import { findDirectory, type DirectoryPlace } from './end-record.js';
import { archiveError } from './faults.js';
import { DEFAULT_ARCHIVE_LIMITS, MOST_DEFLATE_RATIO, type ArchiveLimits } from './limits.js';
import { decodeName, NameRegister, refuseUnsafeName, shown } from './names.js';
import { readExactly, WindowReader, type ByteRange, type ByteReader } from './reader.js';

const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const LEAST_DESCRIPTOR_BYTES = 12;
const WINDOW_BYTES = 256 * 1024;
/** Read with a local header on the chance that its extra fields fit: one request instead of two. */
const SPARE_BYTES = 128;

export const STORED = 0;
export const DEFLATED = 8;

const ENCRYPTED_FLAGS = 1 | (1 << 6) | (1 << 13);
const DESCRIPTOR_FLAG = 1 << 3;

export interface Member {
  /** With forward slashes; safe to join to a folder. A directory's ends in `/`. */
  name: string;
  isDirectory: boolean;
  /** 0 = stored, 8 = deflated; others can be listed but not read. */
  method: number;
  /** Can be listed but not read. */
  isEncrypted: boolean;
  compressedBytes: number;
  /** Unpacked. */
  bytes: number;
  /** Of the unpacked bytes. */
  crc32: number;
  /** Where the local header begins, counted from the reader's first byte. */
  headerOffset: number;
  /** Where the next member or the directory begins: this one ends before. */
  limit: number;
  /** Of the name as written. */
  nameBytes: number;
}

export interface Directory {
  /** In the order of the directory. */
  members: Member[];
  range: ByteRange;
}

/**
 * Reads the last 64 KiB and the central directory, no local header: one request for most products.
 * @throws SourceRefused with `details.fault` of {@link ArchiveFault}; what `reader` throws
 */
export async function readDirectory(
  reader: ByteReader,
  limits: Partial<ArchiveLimits> = {},
): Promise<Member[]> {
  return (await openArchive(reader, limits)).members;
}

/** As {@link readDirectory}, with the place of the directory itself. */
export async function openArchive(
  reader: ByteReader,
  limits: Partial<ArchiveLimits> = {},
): Promise<Directory> {
  const bounds = { ...DEFAULT_ARCHIVE_LIMITS, ...limits };
  const window = new WindowReader(reader, WINDOW_BYTES);
  const place = await findDirectory(window, bounds);
  const members = await readEntries(window, place, bounds);
  refuseBomb(members, reader.bytes, bounds);
  separate(members, place.range.start);
  return { members, range: place.range };
}

async function readEntries(
  window: WindowReader,
  { range, entries, shift }: DirectoryPlace,
  limits: ArchiveLimits,
): Promise<Member[]> {
  const members: Member[] = [];
  const names = new NameRegister();
  const end = range.start + range.bytes;
  let at = range.start;
  for (let left = entries; left > 0; left--) {
    if (at + ENTRY_BYTES > end) throw archiveError('damaged', 'the central directory ends early');
    const fixed = await window.view({ start: at, bytes: ENTRY_BYTES }, end);
    if (fixed.readUInt32LE(0) !== 0x02014b50)
      throw archiveError('damaged', 'the central directory is damaged');
    const bytes =
      ENTRY_BYTES + fixed.readUInt16LE(28) + fixed.readUInt16LE(30) + fixed.readUInt16LE(32);
    if (at + bytes > end) throw archiveError('damaged', 'the central directory ends early');
    const entry = await window.view({ start: at, bytes }, end);
    const member = toMember(entry, shift, limits);
    names.add(member.name, member.isDirectory);
    members.push(member);
    at += bytes;
  }
  if (at !== end)
    throw archiveError('damaged', 'the central directory has another length than stated');
  return members;
}

function toMember(entry: Buffer, shift: number, limits: ArchiveLimits): Member {
  const nameBytes = entry.readUInt16LE(28);
  if (nameBytes > limits.nameBytes)
    throw archiveError('unsafe', `a name of ${nameBytes} bytes is too long`);
  const name = decodeName(entry.subarray(ENTRY_BYTES, ENTRY_BYTES + nameBytes));
  refuseUnsafeName(name, limits.depth);
  const extraAt = ENTRY_BYTES + nameBytes;
  const extra = entry.subarray(extraAt, extraAt + entry.readUInt16LE(30));
  const otherName = unicodePath(extra);
  if (otherName !== null) refuseUnsafeName(otherName, limits.depth);
  refuseSpecial(name, entry);
  const wide = zip64Values(extra, [
    [entry.readUInt32LE(24), 0xffff_ffff, 8],
    [entry.readUInt32LE(20), 0xffff_ffff, 8],
    [entry.readUInt32LE(42), 0xffff_ffff, 8],
    [entry.readUInt16LE(34), 0xffff, 4],
  ]);
  const [bytes = 0, compressedBytes = 0, offset = 0, disk = 0] = wide;
  if (disk !== 0) throw archiveError('damaged', 'it is spread over several disks');
  const member: Member = {
    name,
    isDirectory: name.endsWith('/'),
    method: entry.readUInt16LE(10),
    isEncrypted: isEncrypted(entry.readUInt16LE(8)),
    compressedBytes,
    bytes,
    crc32: entry.readUInt32LE(16),
    headerOffset: offset + shift,
    limit: 0,
    nameBytes,
  };
  refuseImpossible(member);
  return member;
}

function isEncrypted(flags: number): boolean {
  return (flags & ENCRYPTED_FLAGS) !== 0;
}

/** Symbolic links, devices and their like, as Unix marks them in the upper half of the external attributes. */
function refuseSpecial(name: string, entry: Buffer): void {
  const host = entry.readUInt8(5);
  const type = (entry.readUInt32LE(38) >>> 16) & 0o170000;
  // A zip made from a pipe calls its one member a pipe, and everybody unpacks it as a file.
  const isPlain = [0, 0o100000, 0o040000, 0o010000].includes(type);
  if ((host === 3 || host === 19) && !isPlain)
    throw archiveError(
      'unsafe',
      `${JSON.stringify(shown(name))} is a ${type === 0o120000 ? 'symbolic link' : 'special file'}`,
      { member: shown(name) },
    );
}

function refuseImpossible(member: Member): void {
  const { name, method, bytes, compressedBytes, isDirectory, isEncrypted } = member;
  const details = { member: shown(name), bytes, compressed_bytes: compressedBytes };
  const called = JSON.stringify(shown(name));
  if (isDirectory && bytes !== 0)
    throw archiveError('damaged', `the folder ${called} holds bytes`, details);
  if (method === STORED && bytes !== compressedBytes && !isEncrypted)
    throw archiveError('damaged', `${called} is stored in another length than its own`, details);
  if (method === DEFLATED && bytes > (compressedBytes + 1) * MOST_DEFLATE_RATIO)
    throw archiveError('bomb', `${called} cannot unpack to ${bytes} bytes`, details);
}

function refuseBomb(members: readonly Member[], archiveBytes: number, limits: ArchiveLimits) {
  const total = members.reduce((sum, { bytes }) => sum + bytes, 0);
  const details = { bytes: archiveBytes, unpacked_bytes: total };
  if (total > limits.totalBytes)
    throw archiveError('bomb', `${total} bytes, ${limits.totalBytes} are allowed`, details);
  if (total > limits.ratioFromBytes && total > archiveBytes * limits.ratio)
    throw archiveError('bomb', `${total} bytes from ${archiveBytes}`, details);
}

/** Sets where each member ends at the latest. @throws SourceRefused where two share bytes */
function separate(members: readonly Member[], directoryStart: number): void {
  const inOrder = [...members].sort((a, b) => a.headerOffset - b.headerOffset);
  for (const [at, member] of inOrder.entries()) {
    const next = inOrder[at + 1];
    member.limit = next?.headerOffset ?? directoryStart;
    // At the least: how long its header is, the header itself will say.
    const end = member.headerOffset + LOCAL_BYTES + member.compressedBytes;
    if (end <= member.limit) continue;
    const details = { member: shown(member.name) };
    const called = JSON.stringify(shown(member.name));
    if (next && next.headerOffset < directoryStart)
      throw archiveError('bomb', `${called} shares bytes with another member`, details);
    throw archiveError('damaged', `${called} lies outside the archive`, details);
  }
}

/**
 * Where a member's data lie, from its local header: one read, seldom two. What the header says must be what the directory
 * says, which alone decides; only the sizes and the CRC may be left to a descriptor behind the data.
 * @throws SourceRefused (`damaged`, `truncated`, `unsupported`); what `reader` throws
 */
export async function locateData(reader: ByteReader, member: Member): Promise<ByteRange> {
  if (member.isEncrypted)
    throw archiveError('unsupported', `${JSON.stringify(shown(member.name))} is encrypted`);
  const { data, disagreement } = await inspect(reader, member);
  if (disagreement !== null) throw disagrees(member, disagreement);
  return data;
}

export interface Location {
  data: ByteRange;
  /** Sizes and CRC are repeated behind the data. */
  hasDescriptor: boolean;
  /** What the header says otherwise than the directory. */
  disagreement: string | null;
}

/** As {@link locateData}, but a header that disagrees without moving the data is told instead of thrown. */
export async function inspect(reader: ByteReader, member: Member): Promise<Location> {
  const { headerOffset, limit, nameBytes } = member;
  const least = LOCAL_BYTES + nameBytes;
  const ahead = Math.min(least + SPARE_BYTES, limit - headerOffset);
  let header = await readExactly(reader, { start: headerOffset, bytes: ahead });
  if (header.readUInt16LE(26) !== nameBytes) throw disagrees(member, 'its header has another name');
  const headerBytes = least + header.readUInt16LE(28);
  const data = { start: headerOffset + headerBytes, bytes: member.compressedBytes };
  if (data.start + data.bytes > limit) throw disagrees(member, 'it reaches into what follows it');
  if (headerBytes > header.length)
    header = await readExactly(reader, { start: headerOffset, bytes: headerBytes });
  const hasDescriptor = (header.readUInt16LE(6) & DESCRIPTOR_FLAG) !== 0;
  const disagreement =
    hasDescriptor && data.start + data.bytes + LEAST_DESCRIPTOR_BYTES > limit
      ? 'it has no room for what its header says is behind it'
      : disagreementOf(header.subarray(0, headerBytes), member, hasDescriptor);
  return { data, hasDescriptor: hasDescriptor && disagreement === null, disagreement };
}

function disagreementOf(header: Buffer, member: Member, hasDescriptor: boolean): string | null {
  const least = LOCAL_BYTES + member.nameBytes;
  if (header.readUInt32LE(0) !== 0x04034b50) return 'it does not begin where the directory says';
  if (decodeName(header.subarray(LOCAL_BYTES, least)) !== member.name)
    return 'its header has another name';
  if (isEncrypted(header.readUInt16LE(6)) !== member.isEncrypted)
    return 'its header says otherwise whether it is encrypted';
  if (header.readUInt16LE(8) !== member.method) return 'its header has another method';
  let sizes: number[];
  try {
    sizes = zip64Values(header.subarray(least), [
      [header.readUInt32LE(22), 0xffff_ffff, 8],
      [header.readUInt32LE(18), 0xffff_ffff, 8],
    ]);
  } catch (error) {
    return (error as Error).message;
  }
  const isSame = (local: number | undefined, central: number): boolean =>
    local === central || (hasDescriptor && local === 0);
  if (!isSame(sizes[0], member.bytes) || !isSame(sizes[1], member.compressedBytes))
    return 'its header has another size';
  return isSame(header.readUInt32LE(14), member.crc32) ? null : 'its header has another CRC';
}

function disagrees(member: Member, what: string): ServiceError {
  return archiveError('damaged', `${JSON.stringify(shown(member.name))}: ${what}`, {
    member: shown(member.name),
  });
}

/** Fields in the order of the zip64 extra, which holds those alone that are all ones in the header. */
function zip64Values(
  extra: Buffer,
  fields: [stated: number, ones: number, bytes: 4 | 8][],
): number[] {
  if (fields.every(([stated, ones]) => stated !== ones)) return fields.map(([stated]) => stated);
  const wide = extraField(extra, 0x0001);
  if (wide === null) return fields.map(([stated]) => stated);
  let at = 0;
  return fields.map(([stated, ones, bytes]) => {
    if (stated !== ones) return stated;
    if (at + bytes > wide.length) {
      // The disk is all ones in no archive of one disk; everything else that is announced as wide must be there.
      throw archiveError('damaged', 'a zip64 field is missing');
    }
    const value = bytes === 8 ? wide.readBigUInt64LE(at) : BigInt(wide.readUInt32LE(at));
    at += bytes;
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw archiveError('damaged', `it states a length or offset of ${value}`);
    return Number(value);
  });
}

/** The name that some writers give in UTF-8 beside the one in the header, and some readers prefer. */
function unicodePath(extra: Buffer): string | null {
  const field = extraField(extra, 0x7075);
  return field && field.length > 5 ? decodeName(field.subarray(5)) : null;
}

function extraField(extra: Buffer, id: number): Buffer | null {
  for (let at = 0; at + 4 <= extra.length;) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === id) {
      if (at + 4 + length > extra.length)
        throw archiveError('damaged', 'an extra field is longer than its place');
      return extra.subarray(at + 4, at + 4 + length);
    }
    at += 4 + length;
  }
  return null;
}
