/**
 * One member's own bytes: a small one in memory, and the record behind the data of one that was written as a stream.
 * @see APPNOTE.TXT 6.3.10 §4.3.9
 */
import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import { DEFLATED, inspect, STORED, type Location, type Member } from './directory.js';
import { archiveFaultOf } from './faults.js';
import { readExactly, type ByteRange, type ByteReader } from './reader.js';

/** Of the longest descriptor, with its signature and wide sizes. */
export const DESCRIPTOR_BYTES = 24;

/**
 * One member's bytes, unpacked, in memory; null where they are not what the directory says. For small members alone.
 * @throws what `reader` throws
 */
export async function readMember(reader: ByteReader, member: Member): Promise<Buffer | null> {
  if (!isReadable(member)) return null;
  let location: Location;
  try {
    location = await inspect(reader, member);
  } catch (error) {
    if (archiveFaultOf(error) === null) throw error;
    return null;
  }
  const packed = await readExactly(reader, location.data);
  const bytes = await unpacked(packed, member);
  return bytes?.length === member.bytes && crc32(bytes) === member.crc32 ? bytes : null;
}

/** Its data can be unpacked here. */
export function isReadable({ method, isEncrypted }: Member): boolean {
  return !isEncrypted && (method === STORED || method === DEFLATED);
}

async function unpacked(packed: Buffer, { method, bytes }: Member): Promise<Buffer | null> {
  if (method === STORED) return packed;
  if (packed.length === 0) return packed;
  try {
    return await promisify(inflateRaw)(packed, { maxOutputLength: Math.max(1, bytes) });
  } catch {
    return null;
  }
}

/** What stands behind the data is what the directory says; it comes with or without a signature, in narrow sizes or wide. */
export async function hasSoundDescriptor(
  reader: ByteReader,
  member: Member,
  data: ByteRange,
): Promise<boolean> {
  const start = data.start + data.bytes;
  const bytes = Math.min(DESCRIPTOR_BYTES, member.limit - start);
  const found = await readExactly(reader, { start, bytes });
  return descriptors(member).some((form) => found.subarray(0, form.length).equals(form));
}

function descriptors({ crc32: crc, compressedBytes, bytes }: Member): Buffer[] {
  const narrow = Buffer.alloc(12);
  narrow.writeUInt32LE(crc, 0);
  narrow.writeUInt32LE(compressedBytes >>> 0, 4);
  narrow.writeUInt32LE(bytes >>> 0, 8);
  const wide = Buffer.alloc(20);
  wide.writeUInt32LE(crc, 0);
  wide.writeBigUInt64LE(BigInt(compressedBytes), 4);
  wide.writeBigUInt64LE(BigInt(bytes), 12);
  const signature = Buffer.from('PK\x07\x08', 'latin1');
  const isNarrow = compressedBytes <= 0xffff_ffff && bytes <= 0xffff_ffff;
  return [wide, ...(isNarrow ? [narrow] : [])].flatMap((form) => [
    Buffer.concat([signature, form]),
    form,
  ]);
}
