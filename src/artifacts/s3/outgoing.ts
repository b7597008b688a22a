/** What is being published, and the look at it when it is there. */
import type { FileHandle } from 'node:fs/promises';
import { ServiceError } from '../../jobs/error-codes.js';
import type { TransferResult } from '../../transfer/transfer.js';
import type { Bucket, Condition } from './bucket.js';
import type { ChecksumKind } from './checksum.js';
import type { Slabs } from './file-body.js';
import type { Slots } from './slots.js';

/** In the object's metadata: tells our own object from an equal one. */
export const TOKEN = 'nimbus-token';

export interface Publication {
  bucket: Bucket;
  transfer: TransferResult;
  /** Final path, safe. */
  path: string;
  key: string;
  replace: boolean;
  checksums: ChecksumKind;
  partBytes: number;
  /** Parts under way, over all publications of the store. */
  slots: Slots;
  slabs: Slabs;
  signal: AbortSignal | undefined;
  /** Called before an upload in parts begins. */
  onBegin: () => Promise<void>;
}

/** What is to be sent: the open file, what is written beside it, and on which condition it may appear. */
export interface Outgoing extends Publication {
  file: FileHandle;
  token: string;
  metadata: Record<string, string>;
  condition: Condition;
}

/** @param crc32 of the whole, and of its parts' checksums; null where the server keeps none */
export async function compare(
  { bucket, transfer, path, token, signal }: Outgoing,
  crc32: { whole: string; parts: string | null } | null,
): Promise<void> {
  const there = await bucket.head(path, signal);
  // Another's by now: it came after ours, and ours had been whole.
  if (there !== null && there.metadata[TOKEN] !== token) return;
  const expected = there?.crc32?.isOfParts ? crc32?.parts : crc32?.whole;
  const isRight =
    there !== null &&
    there.bytes === transfer.bytes &&
    (there.crc32 === null || expected == null || there.crc32.value === expected);
  if (isRight) return;
  if (there !== null) await bucket.remove(path).catch(() => undefined);
  throw new ServiceError('StoreUnavailable', 'The bucket did not keep the bytes that it was sent', {
    details: { path, bytes: transfer.bytes, stored_bytes: there?.bytes ?? null },
  });
}
