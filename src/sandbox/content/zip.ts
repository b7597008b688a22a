/**
 * A stored (uncompressed) zip as a source: local headers, members, central directory, and zip64 where a size,
 * an offset or the count needs it. Its length follows from names and sizes alone. @see APPNOTE.TXT 6.3.10
 */
import { bufferSource, joinedSource, type ByteSource } from './byte-source.js';

export interface ZipMember {
  path: string;
  source: ByteSource;
  crc: number;
}

const most32 = 0xffff_ffff;

/** @param modifiedMs time stamp of all members, UTC */
export function zipSource(members: readonly ZipMember[], modifiedMs: number): ByteSource {
  const stamp = dosTime(modifiedMs);
  const parts: ByteSource[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const member of members) {
    const local = localHeader(member, stamp);
    parts.push(bufferSource(local), member.source);
    directory.push(directoryEntry(member, stamp, offset));
    offset += local.length + member.source.sizeBytes;
  }
  const entries = Buffer.concat(directory);
  return joinedSource([
    ...parts,
    bufferSource(Buffer.concat([entries, ending(members.length, entries.length, offset)])),
  ]);
}

function localHeader({ path, source, crc }: ZipMember, stamp: number): Buffer {
  const big = source.sizeBytes >= most32;
  const name = Buffer.from(path);
  const extra = big ? zip64Extra([source.sizeBytes, source.sizeBytes]) : Buffer.alloc(0);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(big ? 45 : 20, 4);
  header.writeUInt16LE(0x0800, 6);
  header.writeUInt32LE(stamp, 10);
  header.writeUInt32LE(crc, 14);
  header.writeUInt32LE(big ? most32 : source.sizeBytes, 18);
  header.writeUInt32LE(big ? most32 : source.sizeBytes, 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, name, extra]);
}

function directoryEntry({ path, source, crc }: ZipMember, stamp: number, offset: number): Buffer {
  const big = source.sizeBytes >= most32;
  const far = offset >= most32;
  const name = Buffer.from(path);
  const extra = zip64Extra([
    ...(big ? [source.sizeBytes, source.sizeBytes] : []),
    ...(far ? [offset] : []),
  ]);
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50, 0);
  entry.writeUInt16LE((3 << 8) | 45, 4);
  entry.writeUInt16LE(big || far ? 45 : 20, 6);
  entry.writeUInt16LE(0x0800, 8);
  entry.writeUInt32LE(stamp, 12);
  entry.writeUInt32LE(crc, 16);
  entry.writeUInt32LE(big ? most32 : source.sizeBytes, 20);
  entry.writeUInt32LE(big ? most32 : source.sizeBytes, 24);
  entry.writeUInt16LE(name.length, 28);
  entry.writeUInt16LE(extra.length, 30);
  entry.writeUInt32LE((0o100644 << 16) >>> 0, 38);
  entry.writeUInt32LE(far ? most32 : offset, 42);
  return Buffer.concat([entry, name, extra]);
}

/** The end of the central directory, preceded by its zip64 form when anything is too large for it. */
function ending(count: number, directoryBytes: number, directoryOffset: number): Buffer {
  const big = count >= 0xffff || directoryBytes >= most32 || directoryOffset >= most32;
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(count, 0xffff), 8);
  end.writeUInt16LE(Math.min(count, 0xffff), 10);
  end.writeUInt32LE(Math.min(directoryBytes, most32), 12);
  end.writeUInt32LE(Math.min(directoryOffset, most32), 16);
  if (!big) return end;
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeUInt16LE((3 << 8) | 45, 12);
  end64.writeUInt16LE(45, 14);
  end64.writeBigUInt64LE(BigInt(count), 24);
  end64.writeBigUInt64LE(BigInt(count), 32);
  end64.writeBigUInt64LE(BigInt(directoryBytes), 40);
  end64.writeBigUInt64LE(BigInt(directoryOffset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(directoryOffset + directoryBytes), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([end64, locator, end]);
}

function zip64Extra(values: readonly number[]): Buffer {
  if (values.length === 0) return Buffer.alloc(0);
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, at) => extra.writeBigUInt64LE(BigInt(value), 4 + 8 * at));
  return extra;
}

/** Date in the high half, time in the low half. */
function dosTime(ms: number): number {
  const at = new Date(ms);
  const date =
    ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate();
  const time = (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1);
  return ((date << 16) | time) >>> 0;
}
