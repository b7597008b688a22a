/**
 * What is known of an upload under way, as a record in the bucket. It is written before the upload is begun, so that there
 * is none that nobody remembers: a repeat goes on with it, on whichever machine, and the sweeper knows whose it is. Two who
 * publish to one path have a record each. Hidden, and so no record that others list.
 */
import { z } from 'zod';
import { checksumSchema } from '../../jobs/product.js';
import type { TransferResult } from '../../transfer/transfer.js';
import { digestName } from '../held.js';
import type { Bucket } from './bucket.js';
import { crc32Of } from './checksum.js';
import { Refusal } from './refusal.js';
import { bodyOf } from './request-body.js';

const uploadSchema = z.object({
  /** Where the object is to be. */
  path: z.string(),
  /** Of the transfer: names its partial directory, and so its owner. */
  key: z.string(),
  bytes: z.number().int().positive(),
  checksum: checksumSchema,
  part_bytes: z.number().int().positive(),
  /** In the object's metadata too: tells our own object from an equal one. */
  token: z.string(),
  /** Empty until the server gave one. */
  upload_id: z.string(),
});
export type UploadRecord = z.infer<typeof uploadSchema>;

const FOLDER = '.nimbus/.uploads/';
const folderOf = (path: string): string => `${FOLDER}${digestName(path)}/`;
const placeOf = ({ path, token }: UploadRecord): string => `${folderOf(path)}${token}.json`;

/** Of this path. */
export async function readUploads(
  bucket: Bucket,
  path: string,
  signal?: AbortSignal,
): Promise<UploadRecord[]> {
  const found: UploadRecord[] = [];
  for await (const { record } of recordsBelow(bucket, folderOf(path), signal)) found.push(record);
  return found;
}

export async function writeUpload(
  bucket: Bucket,
  record: UploadRecord,
  signal?: AbortSignal,
): Promise<void> {
  const content = Buffer.from(JSON.stringify(record));
  const body = bodyOf(content, { crc32: crc32Of(content) });
  await bucket.put(placeOf(record), body, { mediaType: 'application/json' }, signal);
}

export async function forgetUpload(bucket: Bucket, record: UploadRecord): Promise<void> {
  await bucket.remove(placeOf(record));
}

/** Ends uploads that are of no use any more; where that fails, the sweeper comes by. */
export async function dropUploads(
  bucket: Bucket,
  path: string,
  isOurs: (record: UploadRecord) => boolean,
): Promise<void> {
  try {
    for (const record of await readUploads(bucket, path)) {
      if (!isOurs(record)) continue;
      if (record.upload_id !== '') await bucket.abortUpload(path, record.upload_id);
      await forgetUpload(bucket, record);
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

/** All that there are, each with when it was last written. */
export function allUploads(
  bucket: Bucket,
): AsyncGenerator<{ record: UploadRecord; modifiedMs: number }> {
  return recordsBelow(bucket, FOLDER);
}

async function* recordsBelow(bucket: Bucket, folder: string, signal?: AbortSignal) {
  for await (const { path, modifiedMs } of bucket.list(folder, {}, signal)) {
    const record = parse(await bucket.readText(path, signal));
    if (record) yield { record, modifiedMs };
  }
}

/** Was it begun for these very bytes? */
export function isFor(record: UploadRecord, { bytes, checksum }: TransferResult): boolean {
  const { algorithm, value } = record.checksum;
  return record.bytes === bytes && checksum.algorithm === algorithm && checksum.value === value;
}

function parse(text: string | null): UploadRecord | null {
  if (text === null) return null;
  try {
    return uploadSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
