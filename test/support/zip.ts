/**
 * Zips of every form that the format allows, and of some that it does not: wide fields, descriptors, comments, something
 * before the archive, headers that lie. Members are stored without compression unless asked otherwise, as Copernicus does.
 */
import { crc32, deflateRawSync } from 'node:zlib';
import type { ByteReader } from '../../src/transfer/archive/reader.js';

/** What one header says; each field overrides the truth. */
export interface HeaderLies {
  name?: string;
  flags?: number;
  method?: number;
  crc32?: number;
  compressedBytes?: number;
  bytes?: number;
  headerOffset?: number;
  disk?: number;
}

export interface ZipMember {
  name: string;
  data: Buffer;
  deflate?: boolean;
  /** Sizes and CRC behind the data, with or without the usual signature. */
  descriptor?: 'signed' | 'plain';
  /** Sizes and offset in the zip64 extra field, however small they are. */
  zip64?: boolean;
  /** The bytes as they lie in the archive, instead of the data stored or deflated. */
  packed?: Buffer;
  local?: HeaderLies;
  central?: HeaderLies;
  /** Upper byte of "version made by": 3 = Unix. */
  host?: number;
  /** Upper half of the external attributes, as Unix has it. */
  mode?: number;
  extra?: Buffer;
  /** Bytes between this member and the next. */
  gap?: Buffer;
}

export interface ZipOptions {
  comment?: Buffer;
  /** Bytes before the archive; offsets do not count them unless `countsPrefix`. */
  prefix?: Buffer;
  countsPrefix?: boolean;
  /** Writes the wide end records however small the archive is. */
  zip64?: boolean;
  /** What the end record says instead of the truth. */
  end?: { entries?: number; size?: number; offset?: number; disk?: number };
}

const ONES16 = 0xffff;
const ONES32 = 0xffff_ffff;
const DESCRIPTOR_FLAG = 1 << 3;
const UTF8_FLAG = 1 << 11;

export function storedZip(files: Record<string, Buffer>): Buffer {
  return makeZip(Object.entries(files).map(([name, data]) => ({ name, data })));
}

export function makeZip(members: readonly ZipMember[], options: ZipOptions = {}): Buffer {
  const prefix = options.prefix ?? Buffer.alloc(0);
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = options.countsPrefix ? prefix.length : 0;
  for (const member of members) {
    const truth = truthOf(member);
    const written = [
      localHeader(member, truth),
      truth.packed,
      descriptorOf(member, truth),
      member.gap ?? Buffer.alloc(0),
    ];
    parts.push(...written);
    directory.push(directoryEntry(member, truth, offset));
    offset += written.reduce((sum, part) => sum + part.length, 0);
  }
  const central = Buffer.concat(directory);
  return Buffer.concat([
    prefix,
    ...parts,
    central,
    zipEnd({ entries: members.length, size: central.length, offset }, options),
  ]);
}

/** The records that end an archive. */
export function zipEnd(
  truth: { entries: number; size: number; offset: number },
  { comment = Buffer.alloc(0), zip64, end: lies }: ZipOptions = {},
): Buffer {
  const { entries, size, offset, disk } = { disk: 0, ...truth, ...lies };
  const isWide = zip64 === true || entries >= ONES16 || size >= ONES32 || offset >= ONES32;
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(disk, 4);
  end.writeUInt16LE(isWide ? ONES16 : entries, 8);
  end.writeUInt16LE(isWide ? ONES16 : entries, 10);
  end.writeUInt32LE(isWide ? ONES32 : size, 12);
  end.writeUInt32LE(isWide ? ONES32 : offset, 16);
  end.writeUInt16LE(comment.length, 20);
  if (!isWide) return Buffer.concat([end, comment]);
  const wide = Buffer.alloc(56);
  wide.write('PK\x06\x06', 'latin1');
  wide.writeBigUInt64LE(44n, 4);
  wide.writeBigUInt64LE(BigInt(entries), 24);
  wide.writeBigUInt64LE(BigInt(entries), 32);
  wide.writeBigUInt64LE(BigInt(size), 40);
  wide.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.write('PK\x06\x07', 'latin1');
  locator.writeBigUInt64LE(BigInt(truth.offset + truth.size), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([wide, locator, end, comment]);
}

interface Truth {
  packed: Buffer;
  method: number;
  flags: number;
  crc32: number;
  compressedBytes: number;
  bytes: number;
}

function truthOf({ data, deflate, packed: given, descriptor }: ZipMember): Truth {
  const packed = given ?? (deflate ? deflateRawSync(data) : data);
  return {
    packed,
    method: deflate ? 8 : 0,
    flags: UTF8_FLAG | (descriptor ? DESCRIPTOR_FLAG : 0),
    crc32: crc32(data),
    compressedBytes: packed.length,
    bytes: data.length,
  };
}

function localHeader(member: ZipMember, truth: Truth): Buffer {
  const deferred = member.descriptor ? { crc32: 0, compressedBytes: 0, bytes: 0 } : {};
  const said = { name: member.name, ...truth, ...deferred, ...member.local };
  const isWide = member.zip64 ?? said.bytes >= ONES32;
  const name = Buffer.from(said.name);
  const extra = Buffer.concat([
    isWide ? zip64Extra([said.bytes, said.compressedBytes]) : Buffer.alloc(0),
    member.extra ?? Buffer.alloc(0),
  ]);
  const header = Buffer.alloc(30);
  header.write('PK\x03\x04', 'latin1');
  header.writeUInt16LE(isWide ? 45 : 20, 4);
  header.writeUInt16LE(said.flags, 6);
  header.writeUInt16LE(said.method, 8);
  header.writeUInt32LE(said.crc32, 14);
  header.writeUInt32LE(isWide ? ONES32 : said.compressedBytes, 18);
  header.writeUInt32LE(isWide ? ONES32 : said.bytes, 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, name, extra]);
}

function directoryEntry(member: ZipMember, truth: Truth, offset: number): Buffer {
  const said = { name: member.name, headerOffset: offset, disk: 0, ...truth, ...member.central };
  const isWide = member.zip64 ?? (said.bytes >= ONES32 || said.headerOffset >= ONES32);
  const name = Buffer.from(said.name);
  const extra = Buffer.concat([
    isWide ? zip64Extra([said.bytes, said.compressedBytes, said.headerOffset]) : Buffer.alloc(0),
    member.extra ?? Buffer.alloc(0),
  ]);
  const entry = Buffer.alloc(46);
  entry.write('PK\x01\x02', 'latin1');
  entry.writeUInt16LE(((member.host ?? 3) << 8) | 45, 4);
  entry.writeUInt16LE(isWide ? 45 : 20, 6);
  entry.writeUInt16LE(said.flags, 8);
  entry.writeUInt16LE(said.method, 10);
  entry.writeUInt32LE(said.crc32, 16);
  entry.writeUInt32LE(isWide ? ONES32 : said.compressedBytes, 20);
  entry.writeUInt32LE(isWide ? ONES32 : said.bytes, 24);
  entry.writeUInt16LE(name.length, 28);
  entry.writeUInt16LE(extra.length, 30);
  entry.writeUInt16LE(said.disk, 34);
  entry.writeUInt32LE(((member.mode ?? 0o100644) << 16) >>> 0, 38);
  entry.writeUInt32LE(isWide ? ONES32 : said.headerOffset, 42);
  return Buffer.concat([entry, name, extra]);
}

function descriptorOf({ descriptor, zip64 }: ZipMember, truth: Truth): Buffer {
  if (!descriptor) return Buffer.alloc(0);
  const signature = descriptor === 'signed' ? Buffer.from('PK\x07\x08', 'latin1') : '';
  const fields = Buffer.alloc(zip64 ? 20 : 12);
  fields.writeUInt32LE(truth.crc32, 0);
  if (zip64) {
    fields.writeBigUInt64LE(BigInt(truth.compressedBytes), 4);
    fields.writeBigUInt64LE(BigInt(truth.bytes), 12);
  } else {
    fields.writeUInt32LE(truth.compressedBytes, 4);
    fields.writeUInt32LE(truth.bytes, 8);
  }
  return Buffer.concat([Buffer.from(signature), fields]);
}

function zip64Extra(values: readonly number[]): Buffer {
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, at) => extra.writeBigUInt64LE(BigInt(value), 4 + 8 * at));
  return extra;
}

/** An archive in memory that counts what is asked of it. */
export function memoryReader(bytes: Buffer): CountingReader {
  const reader: CountingReader = {
    bytes: bytes.length,
    reads: 0,
    bytesRead: 0,
    async read(position, length) {
      const found = bytes.subarray(position, position + length);
      reader.reads++;
      reader.bytesRead += found.length;
      return found;
    },
  };
  return reader;
}

export interface CountingReader extends ByteReader {
  reads: number;
  bytesRead: number;
}
