/**
 * Uploads that were begun and that nobody will end (I10, F097). Only those at paths of which there is a record are looked
 * at: another program's uploads in the same bucket are none of ours.
 */
import type { Bucket, Upload } from './bucket.js';
import { isUploadGone } from './refusal.js';
import { allUploads, forgetUpload, type UploadRecord } from './upload-record.js';

interface Claim {
  record: UploadRecord;
  modifiedMs: number;
  isLive: boolean;
}

/** @param isOwned given the key of the transfer */
export async function sweepUploads(
  bucket: Bucket,
  olderThanMs: number,
  isOwned: (key: string) => boolean | Promise<boolean>,
): Promise<{ removed: number; bytes: number }> {
  const isOld = (touchedMs: number) => Date.now() - touchedMs >= olderThanMs;
  const byPath = new Map<string, Claim[]>();
  for await (const { record, modifiedMs } of allUploads(bucket)) {
    const isLive = !isOld(modifiedMs) || (await isOwned(record.key));
    const claims = byPath.get(record.path) ?? [];
    byPath.set(record.path, [...claims, { record, modifiedMs, isLive }]);
  }
  const result = { removed: 0, bytes: 0 };
  for (const [path, claims] of byPath) {
    const young = new Set<string>();
    for (const { uploadId, initiatedMs } of await orphansAt(bucket, path, claims)) {
      const parts = await sizeOf(bucket, path, uploadId);
      if (parts === null) continue;
      if (!isOld(Math.max(initiatedMs, parts.touchedMs))) {
        young.add(uploadId);
        continue;
      }
      await bucket.abortUpload(path, uploadId);
      result.removed++;
      result.bytes += parts.bytes;
    }
    for (const { record, isLive } of claims)
      if (!isLive && !young.has(record.upload_id)) await forgetUpload(bucket, record);
  }
  return result;
}

/** Those of dead records, and where none is alive, also those begun by who died before writing down which it was. */
async function orphansAt(bucket: Bucket, path: string, claims: Claim[]): Promise<Upload[]> {
  const dead = claims.filter(({ isLive }) => !isLive);
  const named = dead.flatMap(({ record, modifiedMs }) =>
    record.upload_id === '' ? [] : [{ uploadId: record.upload_id, initiatedMs: modifiedMs }],
  );
  if (dead.length < claims.length) return named;
  const listed = await bucket.listUploads(path);
  const unlisted = named.filter(({ uploadId }) => listed.every((one) => one.uploadId !== uploadId));
  return [...listed, ...unlisted];
}

/** Null when the upload is gone. */
async function sizeOf(bucket: Bucket, path: string, uploadId: string) {
  try {
    const { parts, touchedMs } = await bucket.listParts(path, uploadId);
    return { bytes: parts.reduce((sum, part) => sum + part.bytes, 0), touchedMs };
  } catch (error) {
    if (isUploadGone(error)) return null;
    throw error;
  }
}
