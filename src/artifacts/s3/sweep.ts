/**
 * Uploads that were begun and that nobody will end (I10, F097). Only those at paths of which there is a record are looked
 * at: another program's uploads in the same bucket are none of ours.
 */
import type { Bucket } from './bucket.js';
import { isUploadGone } from './refusal.js';
import { forgetUpload, listUploadRecords } from './upload-record.js';

/** @param isOwned given the key of the transfer */
export async function sweepUploads(
  bucket: Bucket,
  olderThanMs: number,
  isOwned: (key: string) => boolean | Promise<boolean>,
): Promise<{ removed: number; bytes: number }> {
  const result = { removed: 0, bytes: 0 };
  for await (const { record, modifiedMs } of listUploadRecords(bucket)) {
    const isOld = (touchedMs: number) => Date.now() - touchedMs >= olderThanMs;
    if (!isOld(modifiedMs) || (await isOwned(record.key))) continue;
    const { path } = record;
    const uploads = await bucket.listUploads(path);
    const known = uploads.some(({ uploadId }) => uploadId === record.upload_id);
    if (!known && record.upload_id !== '')
      uploads.push({ uploadId: record.upload_id, initiatedMs: modifiedMs });
    let left = 0;
    for (const { uploadId, initiatedMs } of uploads) {
      const parts = await sizeOf(bucket, path, uploadId);
      if (parts === null) continue;
      if (!isOld(Math.max(initiatedMs, parts.touchedMs))) {
        left++;
        continue;
      }
      await bucket.abortUpload(path, uploadId);
      result.removed++;
      result.bytes += parts.bytes;
    }
    if (left === 0) await forgetUpload(bucket, path);
  }
  return result;
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
