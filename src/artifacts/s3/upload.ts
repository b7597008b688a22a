/**
 * A large file in parts. Parts that the server has, and that agree with the file, are not sent twice, whoever sent them;
 * nothing is visible before the one request that completes the upload, which carries the condition. Several parts go at
 * once, each streamed from the file: memory does not grow with size.
 */
import { checksumOf, combineCrc32, compositeCrc32, type ChecksumKind } from './checksum.js';
import { FileBody } from './file-body.js';
import { compare, type Outgoing } from './outgoing.js';
import { agrees, md5OfETag, type Part } from './part.js';
import { isRefusedWith, isUploadGone, LookAgain } from './refusal.js';
import { forgetUpload, readUploads, writeUpload, type UploadRecord } from './upload-record.js';

const MOST_PARTS = 10_000;
const MIB = 1024 * 1024;
const PARTS_AT_ONCE = 4;

interface Begun {
  record: UploadRecord;
  /** By number, as the server has them. */
  there: Map<number, Part>;
  isWhole: boolean;
}

interface Piece {
  number: number;
  start: number;
  bytes: number;
}

/** @throws Refusal for a condition that does not hold, or an upload that somebody else ended: look again */
export async function uploadInParts(outgoing: Outgoing): Promise<void> {
  const { bucket, path, signal } = outgoing;
  const begun = (await resume(outgoing)) ?? (await begin(outgoing));
  const uploadId = begun.record.upload_id;
  const others = (await bucket.listUploads(path, signal)).filter(
    (upload) => upload.uploadId !== uploadId,
  );
  const sent = await sendAll(outgoing, begun);
  await complete(outgoing, begun, sent);
  await compare(outgoing, wholeOf(sent));
  await forgetUpload(bucket, begun.record);
  // What earlier tries left behind, killed before they could write down what they had begun.
  for (const other of others) await bucket.abortUpload(path, other.uploadId).catch(() => undefined);
}

/** Goes on with what the record of our token names, if the server still knows it. */
async function resume({ bucket, path, token, signal }: Outgoing): Promise<Begun | null> {
  const records = await readUploads(bucket, path, signal);
  const record = records.find((one) => one.token === token && one.upload_id !== '');
  if (record === undefined) return null;
  try {
    const { parts, isWhole } = await bucket.listParts(path, record.upload_id, signal);
    return { record, there: new Map(parts.map((part) => [part.number, part])), isWhole };
  } catch (error) {
    if (isUploadGone(error)) return null;
    throw error;
  }
}

async function begin(outgoing: Outgoing): Promise<Begun> {
  const { bucket, path, key, transfer, partBytes, token, metadata, checksums, signal } = outgoing;
  const { bytes, checksum, mediaType } = transfer;
  const record: UploadRecord = {
    path,
    key,
    bytes,
    checksum: { algorithm: checksum.algorithm, value: checksum.value },
    part_bytes: partBytesFor(bytes, partBytes),
    token,
    upload_id: '',
  };
  await outgoing.onBegin();
  await writeUpload(bucket, record, signal);
  const { uploadId, isWhole } = await bucket.createUpload(
    path,
    { mediaType, metadata, crc32: checksums === 'crc32' },
    signal,
  );
  record.upload_id = uploadId;
  await writeUpload(bucket, record, signal);
  return { record, there: new Map(), isWhole };
}

/** Of 10,000 parts at most, in whole mebibytes. */
export function partBytesFor(bytes: number, least: number): number {
  return Math.max(least, Math.ceil(bytes / MOST_PARTS / MIB) * MIB);
}

type Sent = Part & { crc32: string | null };

/** All parts, in order. The first that fails ends the others, and all are at rest before it is told. */
async function sendAll(outgoing: Outgoing, begun: Begun): Promise<Sent[]> {
  const { bytes, part_bytes } = begun.record;
  const pieces = Array.from({ length: Math.ceil(bytes / part_bytes) }, (_, index) => ({
    number: index + 1,
    start: index * part_bytes,
    bytes: Math.min(part_bytes, bytes - index * part_bytes),
  }));
  const failed = new AbortController();
  const signal = outgoing.signal
    ? AbortSignal.any([outgoing.signal, failed.signal])
    : failed.signal;
  const sent: Sent[] = [];
  const queue = pieces.values();
  const lane = async (): Promise<void> => {
    for (const piece of queue) sent.push(await sendPiece({ ...outgoing, signal }, begun, piece));
  };
  let failure: unknown = null;
  await Promise.all(
    Array.from({ length: PARTS_AT_ONCE }, () =>
      lane().catch((error: unknown) => {
        failure ??= error;
        failed.abort();
      }),
    ),
  );
  if (failure !== null) throw failure as Error;
  return sent.sort((one, other) => one.number - other.number);
}

async function sendPiece(outgoing: Outgoing, begun: Begun, piece: Piece): Promise<Sent> {
  const { bucket, path, file, checksums, slots, slabs, signal } = outgoing;
  const checksum = (kind: ChecksumKind) => checksumOf(file, piece, kind, slabs, signal);
  const there = begun.there.get(piece.number);
  const own = await checksum(checksums);
  if (there?.bytes === piece.bytes) {
    // A server may keep a part's checksum to itself; its ETag is then the part's MD5.
    const shown = checksums === 'md5' || there.crc32 !== null;
    const proof = shown ? { [checksums]: own } : { md5: await checksum('md5') };
    const isMd5 = md5OfETag(there.etag) !== null;
    if ((there.crc32 !== null || isMd5) && agrees(there, proof))
      return { ...there, crc32: checksums === 'crc32' ? own : null };
  }
  const body = {
    open: () => new FileBody(file, piece.start, piece.bytes, slabs),
    bytes: piece.bytes,
    [checksums]: own,
  };
  const part = await slots.run(signal, () =>
    bucket.uploadPart(path, begun.record.upload_id, piece.number, body, signal),
  );
  return { ...part, crc32: checksums === 'crc32' ? own : null };
}

async function complete(outgoing: Outgoing, begun: Begun, sent: Sent[]): Promise<void> {
  const { bucket, path, condition, signal } = outgoing;
  const { bytes, upload_id } = begun.record;
  const crc32 = begun.isWhole ? (wholeOf(sent)?.whole ?? null) : null;
  try {
    await bucket.completeUpload(path, upload_id, { parts: sent, condition, crc32, bytes }, signal);
  } catch (error) {
    // Parts that were sent anew, or an upload that was ended, in the same moment: refused in many ways.
    if (isRefusedWith(error, 400, 409)) throw new LookAgain(error);
    throw error;
  }
}

function wholeOf(sent: readonly Sent[]): { whole: string; parts: string } | null {
  const parts = sent.flatMap(({ crc32, bytes }) => (crc32 === null ? [] : [{ crc32, bytes }]));
  if (parts.length < sent.length) return null;
  return { whole: combineCrc32(parts), parts: compositeCrc32(parts) };
}
