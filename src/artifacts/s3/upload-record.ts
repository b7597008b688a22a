/**
 * What is known of an upload under way, as a record in the bucket. It is written before the upload is begun, so that there
 * is none that nobody remembers: a repeat goes on with it, on whichever machine, and the sweeper knows whose it is. One a
 * path; hidden, and so no record that others list.
 */
import { z } from 'zod';
import { checksumSchema } from '../../jobs/product.js';
import type { TransferResult } from '../../transfer/transfer.js';
import { digestName } from '../held.js';
import type { Bucket } from './bucket.js';
import { crc32Of } from './checksum.js';

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
const placeOf = (path: string): string => `${FOLDER}${digestName(path)}.json`;

export async function readUpload(
  bucket: Bucket,
  path: string,
  signal?: AbortSignal,
): Promise<UploadRecord | null> {
  return parse(await bucket.readText(placeOf(path), signal));
}

export async function writeUpload(
  bucket: Bucket,
  record: UploadRecord,
  signal?: AbortSignal,
): Promise<void> {
  const content = Buffer.from(JSON.stringify(record));
  const body = { open: () => content, bytes: content.length, crc32: crc32Of(content) };
  await bucket.put(placeOf(record.path), body, { mediaType: 'application/json' }, signal);
}

export async function forgetUpload(bucket: Bucket, path: string): Promise<void> {
  await bucket.remove(placeOf(path));
}

/** All of them, each with when it was last written. */
export async function* listUploadRecords(
  bucket: Bucket,
): AsyncGenerator<{ record: UploadRecord; modifiedMs: number }> {
  for await (const { path, modifiedMs } of bucket.list(FOLDER)) {
    const record = parse(await bucket.readText(path));
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
