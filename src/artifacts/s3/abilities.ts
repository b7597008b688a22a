/**
 * What a server can do, found out by asking for it. One that ignores conditions would let two writers overwrite each
 * other, and one that ignores checksums would keep altered bytes: neither can hold this store's promises, and both would
 * answer as if they did.
 */
import { ServiceError } from '../../jobs/error-codes.js';
import type { Bucket, Checksums } from './bucket.js';
import { crc32Of, type ChecksumKind } from './checksum.js';
import { isRefusedWith, isTaken } from './refusal.js';
import { bodyOf } from './request-body.js';

const PROBE = '.nimbus/.probe';
const CONTENT = Buffer.from('nimbus\n');
/** Right for other bytes. */
const WRONG: Record<ChecksumKind, Checksums> = {
  crc32: { crc32: crc32Of(Buffer.from('other\n')) },
  md5: { md5: Buffer.alloc(16).toString('base64') },
};

/** The checksum that the server checks, the better one first. Repeatable, and beside others who ask. */
export async function probe(bucket: Bucket, signal?: AbortSignal): Promise<ChecksumKind> {
  const write = async (checksums: Checksums, ifNew: boolean): Promise<void> => {
    const body = bodyOf(CONTENT, checksums);
    const isWrong = checksums.crc32 !== undefined || checksums.md5 !== undefined;
    const condition = ifNew ? { condition: { ifNoneMatch: '*' as const } } : {};
    await bucket.put(PROBE, body, { mediaType: 'text/plain', once: isWrong, ...condition }, signal);
  };
  await write({}, false);
  if (await write({}, true).then(() => true, unlessTaken))
    throw unfit(
      bucket,
      'ignores conditions (If-None-Match), without which two writers may overwrite each other',
    );
  for (const kind of ['crc32', 'md5'] as const)
    if (!(await write(WRONG[kind], false).then(() => true, unlessRefused))) return kind;
  throw unfit(
    bucket,
    'checks neither x-amz-checksum-crc32 nor Content-MD5, so that altered bytes would be kept',
  );
}

function unlessTaken(error: unknown): false {
  if (isTaken(error)) return false;
  throw error;
}

function unlessRefused(error: unknown): false {
  if (isRefusedWith(error, 400)) return false;
  throw error;
}

function unfit({ location }: Bucket, why: string): ServiceError {
  return new ServiceError(
    'StoreUnavailable',
    `The server of the bucket ${location.bucket} cannot be used: it ${why}`,
  );
}
