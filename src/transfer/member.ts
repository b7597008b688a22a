/**
 * The last step for one file out of a product: what the engine fetched is a stretch of an archive, or a file whose digests
 * stand in the product's own manifest. A stored member is read once more for its CRC-32; a deflated one is unpacked, bounded
 * by the size that the directory states, into a second file. The bytes are proven when this returns, or gone.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { crc32, createInflateRaw } from 'node:zlib';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import type { Checksum, ChecksumAlgorithm } from '../jobs/product.js';
import { algorithmsToCompute, preferred } from './checksums.js';
import { cancelledError, codeOf, stored, toStoreError } from './errors.js';
import { mediaTypeOf } from './media-type.js';
import type { TransferResult } from './transfer.js';

/** How a file lies in an archive: what its directory says of it. */
export interface Packing {
  method: 'stored' | 'deflated';
  /** Unpacked. */
  bytes: number;
  /** Of the unpacked bytes. */
  crc32: number;
}

export interface MemberOptions {
  /** The transfer's own directory. */
  directory: string;
  /** Null for a file that has an address of its own. */
  packing: Packing | null;
  /** Of the file, as the product's manifest states them; those of a stored file were announced to the engine already. */
  checksums: Checksum[];
  /** Digests to compute besides. */
  digests: readonly ChecksumAlgorithm[];
  signal: AbortSignal;
}

const CHUNK_BYTES = 1024 * 1024;

/**
 * The file with the level that it has earned: `manifest` where a digest of the product's manifest agreed, `structure` where
 * the archive's CRC-32 did, else what the engine found.
 * @throws ChecksumMismatch, with the bytes dropped; StorageFull, StoreUnavailable; Cancelled
 */
export async function proveMember(
  fetched: TransferResult,
  options: MemberOptions,
): Promise<TransferResult> {
  const { packing, checksums } = options;
  if (packing?.method === 'deflated') return await unpack(fetched, packing, options);
  if (packing !== null) await proveCrc(fetched, packing, options.signal);
  if (checksums.length > 0 && fetched.checksum.level === 'provider')
    return withLevel(fetched, 'manifest');
  return packing === null ? fetched : withLevel(fetched, 'structure');
}

/** A file of no bytes at all, which nobody need be asked for. */
export async function emptyMember(
  fileName: string,
  options: MemberOptions,
): Promise<TransferResult> {
  await stored(mkdir(options.directory, { recursive: true }));
  const { path, target } = await createTarget(options.directory);
  await target.close();
  const sums = new Sums(options);
  const facts = { path, bytes: 0, fileName, bytesFetched: 0, resumedFrom: 0 };
  return sums.judge({ ...facts, mediaType: 'application/octet-stream' }, options);
}

async function proveCrc(
  { path, bytes }: TransferResult,
  packing: Packing,
  signal: AbortSignal,
): Promise<void> {
  let crc = 0;
  try {
    const stream = createReadStream(path, { highWaterMark: CHUNK_BYTES, signal });
    for await (const chunk of stream) crc = crc32(chunk as Buffer, crc);
  } catch (error) {
    throw signal.aborted ? cancelledError(signal) : toStoreError(error);
  }
  if (crc === packing.crc32 && bytes === packing.bytes) return;
  await stored(rm(path, { force: true }));
  throw wrongCrc(packing.crc32, crc);
}

async function unpack(
  fetched: TransferResult,
  packing: Packing,
  options: MemberOptions,
): Promise<TransferResult> {
  const { path, target } = await createTarget(options.directory);
  try {
    const sums = new Sums(options);
    const first = await inflate(fetched.path, target, packing, sums, options.signal);
    await stored(target.datasync());
    const facts = { ...fetched, path, bytes: packing.bytes, mediaType: mediaTypeOf(first) };
    return sums.judge(facts, options);
  } catch (error) {
    const isWrong = isServiceError(error) && error.code === 'ChecksumMismatch';
    await stored(rm(path, { force: true }));
    if (isWrong) await stored(rm(fetched.path, { force: true }));
    throw error;
  } finally {
    await target.close();
  }
}

/**
 * A file that nobody else has: what an earlier run made may bear its final name by now, as a second name of the same file. Of
 * no use to anybody who comes later, who removes it with the other `.tmp`.
 */
async function createTarget(directory: string): Promise<{ path: string; target: FileHandle }> {
  const path = join(directory, `unpacked.${randomUUID()}.tmp`);
  return { path, target: await stored(open(path, 'wx')) };
}

/** @returns the first bytes */
async function inflate(
  from: string,
  target: FileHandle,
  packing: Packing,
  sums: Sums,
  signal: AbortSignal,
): Promise<Buffer> {
  let first: Buffer = Buffer.alloc(0);
  let written = 0;
  // An error thrown inside a pipeline may come out of it as an abort: the first one is kept aside.
  let failure: unknown;
  const write = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of chunks) {
      if (written + chunk.length > packing.bytes)
        throw mismatch(`It unpacks to more than the ${packing.bytes} bytes that are stated`);
      if (first.length < 512) first = Buffer.concat([first, chunk.subarray(0, 512)]);
      sums.update(chunk);
      for (let at = 0; at < chunk.length;) {
        const { bytesWritten } = await stored(target.write(chunk, at));
        at += bytesWritten;
      }
      written += chunk.length;
    }
  };
  const kept = (chunks: AsyncIterable<Buffer>): Promise<void> =>
    write(chunks).catch((error: unknown) => {
      failure ??= error;
      throw error;
    });
  try {
    const source = createReadStream(from, { highWaterMark: CHUNK_BYTES });
    await pipeline(source, createInflateRaw({ chunkSize: 256 * 1024 }), kept, { signal });
  } catch (error) {
    if (signal.aborted) throw cancelledError(signal);
    const cause = failure ?? error;
    if (isServiceError(cause)) throw cause;
    if (codeOf(cause)?.startsWith('Z_'))
      throw mismatch(`What came cannot be unpacked (${codeOf(cause)})`);
    throw toStoreError(cause);
  }
  if (written !== packing.bytes)
    throw mismatch(`It unpacks to ${written} bytes, ${packing.bytes} are stated`);
  return first;
}

interface Hasher {
  update(bytes: Uint8Array): void;
  hex(): string;
}

/** CRC-32 and digests of bytes that pass once. */
class Sums {
  #crc = 0;
  readonly #hashers: Map<ChecksumAlgorithm, Hasher>;

  constructor({ checksums, digests }: Pick<MemberOptions, 'checksums' | 'digests'>) {
    const wanted = algorithmsToCompute(checksums, [...digests]);
    this.#hashers = new Map(wanted.map((algorithm) => [algorithm, createHasher(algorithm)]));
  }

  update(chunk: Buffer): void {
    this.#crc = crc32(chunk, this.#crc);
    for (const hasher of this.#hashers.values()) hasher.update(chunk);
  }

  judge(
    facts: Omit<TransferResult, 'checksum' | 'digests'>,
    { packing, checksums }: MemberOptions,
  ): TransferResult {
    if (packing !== null && packing.crc32 !== this.#crc) throw wrongCrc(packing.crc32, this.#crc);
    const digests = [...this.#hashers].map(([algorithm, hasher]) => ({
      algorithm,
      value: hasher.hex(),
    }));
    const found = new Map(digests.map(({ algorithm, value }) => [algorithm, value]));
    const compared = checksums.filter(({ algorithm }) => found.has(algorithm));
    const wrong = compared.find(({ algorithm, value }) => found.get(algorithm) !== value);
    if (wrong) throw mismatch(`Its ${wrong.algorithm} is not the one in the product’s manifest`);
    const checksum = preferred(compared) ?? preferred(digests)!;
    const level = compared.length > 0 ? 'manifest' : packing === null ? 'length' : 'structure';
    return { ...facts, checksum: { ...checksum, level }, digests };
  }
}

function createHasher(algorithm: ChecksumAlgorithm): Hasher {
  if (algorithm === 'blake3') {
    const hash = new Blake3Hasher();
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
  }
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
}

function withLevel(result: TransferResult, level: 'manifest' | 'structure'): TransferResult {
  return { ...result, checksum: { ...result.checksum, level } };
}

function wrongCrc(expected: number, actual: number): ServiceError {
  const hex = (value: number): string => value.toString(16).padStart(8, '0');
  return mismatch(`Its CRC-32 is ${hex(actual)}, the archive says ${hex(expected)}`);
}

function mismatch(message: string): ServiceError {
  return new ServiceError('ChecksumMismatch', message);
}
