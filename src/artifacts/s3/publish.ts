/**
 * The last step of a download, into a bucket: the object appears under its final name at once, whole, or not at all, and
 * never in place of another by accident, because the request that makes it visible is conditional. What stands there is
 * recognised by size and by the digests in its metadata, which were written in the same act as its bytes.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import type { Checksum } from '../../jobs/product.js';
import { errnoOf, stored } from '../../transfer/index.js';
import type { TransferResult } from '../../transfer/transfer.js';
import type { Condition, StoredObject } from './bucket.js';
import { checksumOf } from './checksum.js';
import { FileBody } from './file-body.js';
import { compare, TOKEN, type Outgoing, type Publication } from './outgoing.js';
import { FOLDER_IN_THE_WAY, isTaken, isUploadGone, LookAgain, Refusal } from './refusal.js';
import { digestAt } from './read-through.js';
import { uploadInParts } from './upload.js';
import { dropUploads, isFor, readUploads, type UploadRecord } from './upload-record.js';

const DIGESTS = 'nimbus-digests';
/** How often others may be first before we say so: each has made the object anew between our look and our writing. */
const ROUNDS = 5;

/** Resolves when the object is there, durable and compared. Repeatable at every point. */
export async function publishObject(publication: Publication): Promise<void> {
  const { bucket, transfer, path, key, signal } = publication;
  // Only our own: of two who share an upload, one would end it under the other's hands.
  const isOurs = (record: UploadRecord) => record.key === key;
  const known = isLarge(publication) ? await readUploads(bucket, path, signal) : [];
  const begun = known.find((one) => isOurs(one) && one.upload_id !== '' && isFor(one, transfer));
  const token = begun?.token ?? randomBytes(9).toString('hex');
  const metadata = { [DIGESTS]: toText(digestsOf(transfer)), [TOKEN]: token };
  const tidy = async (): Promise<void> => {
    if (isLarge(publication)) await dropUploads(bucket, path, isOurs);
  };
  try {
    let again: Refusal | null = null;
    for (let round = 1; round <= ROUNDS; round++) {
      again = await tryOnce(publication, token, metadata);
      if (again === null) return await tidy();
    }
    await tidy();
    throw new ServiceError(
      'StoreUnavailable',
      `The object could not be completed in ${ROUNDS} rounds, the last time for ${again?.message}`,
      { details: { path } },
    );
  } catch (error) {
    if (isServiceError(error) && error.code === 'Conflict') await tidy();
    throw error;
  }
}

/** One look and one try; null when it is done, else why it has to be looked at anew: somebody was first, as a rule. */
async function tryOnce(
  publication: Publication,
  token: string,
  metadata: Record<string, string>,
): Promise<Refusal | null> {
  const { bucket, path, replace, signal } = publication;
  const there = await bucket.head(path, signal);
  if (there !== null) {
    if (await isSame(publication, there, token)) return null;
    if (!replace)
      throw new ServiceError('Conflict', 'Other bytes are stored under this name', {
        details: { path },
      });
  } else await refuseFolders(publication);
  const file = await openVerified(publication.transfer);
  try {
    const condition: Condition = there === null ? { ifNoneMatch: '*' } : { ifMatch: there.etag };
    await send({ ...publication, file, token, metadata, condition });
    return null;
  } catch (error) {
    if (error instanceof LookAgain) return error.reason;
    if (isTaken(error) || isUploadGone(error)) return error as Refusal;
    // Gone under an If-Match: 404, or 412, as the server likes it.
    if (there !== null && error instanceof Refusal && error.is('NoSuchKey', 'NotFound'))
      return error;
    throw error;
  } finally {
    await file.close();
  }
}

async function send(outgoing: Outgoing): Promise<void> {
  if (isLarge(outgoing)) return await uploadInParts(outgoing);
  const { bucket, transfer, path, file, checksums, metadata, condition } = outgoing;
  const { slots, slabs, signal } = outgoing;
  const { bytes, mediaType } = transfer;
  const checksum = await checksumOf(file, { start: 0, bytes }, checksums, slabs, signal);
  const open = () => (bytes === 0 ? Buffer.alloc(0) : new FileBody(file, 0, bytes, slabs));
  await slots.run(signal, () =>
    bucket.put(
      path,
      { open, bytes, [checksums]: checksum },
      { mediaType, metadata, condition },
      signal,
    ),
  );
  await compare(outgoing, checksums === 'crc32' ? { whole: checksum, parts: null } : null);
}

/**
 * Our own object by its token; an equal one by size and digests. Who replaces may do so because the bytes have rotted
 * under an honest label: then, and where labels say nothing, the bytes are read.
 */
async function isSame(
  { bucket, transfer, path, replace, signal }: Publication,
  there: StoredObject,
  token: string,
): Promise<boolean> {
  if (there.bytes !== transfer.bytes) return false;
  if (there.metadata[TOKEN] === token) return true;
  const ours = digestsOf(transfer);
  const theirs = fromText(there.metadata[DIGESTS]);
  const shared = theirs.filter(({ algorithm }) => ours.some((one) => one.algorithm === algorithm));
  const agrees = shared.every((digest) => ours.some((one) => one.value === digest.value));
  if (!agrees) return false;
  if (shared.length > 0 && !replace) return true;
  const { algorithm, value } = transfer.checksum;
  return (await digestAt(bucket, path, transfer.bytes, algorithm, signal)) === value;
}

/** A bucket would take a file and a folder of one name; a directory, to which people copy it, does not. */
async function refuseFolders({ bucket, path, signal }: Publication): Promise<void> {
  const above = path.split('/').map((_, depth, parts) => parts.slice(0, depth).join('/'));
  const taken = await Promise.all([
    ...above.slice(1).map(async (folder) => (await bucket.head(folder, signal)) !== null),
    (async () => {
      for await (const _ of bucket.list(`${path}/`, { most: 1 }, signal)) return true;
      return false;
    })(),
  ]);
  if (taken.includes(true))
    throw new ServiceError('Conflict', FOLDER_IN_THE_WAY, {
      details: { path },
    });
}

async function openVerified(transfer: TransferResult): Promise<FileHandle> {
  try {
    return await open(transfer.path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') return await stored(Promise.reject(error as Error));
    throw new ServiceError(
      'StoreUnavailable',
      'The verified bytes have vanished before they were published',
    );
  }
}

const isLarge = ({ transfer, partBytes }: Publication): boolean => transfer.bytes > partBytes;

function digestsOf({ checksum, digests }: TransferResult): Checksum[] {
  const { algorithm, value } = checksum;
  return [{ algorithm, value }, ...digests.filter((one) => one.algorithm !== algorithm)];
}

const toText = (digests: readonly Checksum[]): string =>
  digests.map(({ algorithm, value }) => `${algorithm}:${value}`).join(',');

function fromText(text: string | undefined): { algorithm: string; value: string }[] {
  return (text ?? '').split(',').flatMap((one) => {
    const match = /^([a-z0-9-]+):([0-9a-f]+)$/.exec(one);
    return match ? [{ algorithm: match[1]!, value: match[2]! }] : [];
  });
}
