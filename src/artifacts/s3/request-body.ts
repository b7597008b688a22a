/**
 * What a request carries: bytes of known length and checksum, so that what is altered on the way is refused by the server,
 * and the condition under which they may be stored. Bodies are streams: nothing is held in memory.
 */
import type { Readable } from 'node:stream';
import { isServiceError } from '../../jobs/error-codes.js';
import { toStoreError } from '../../transfer/index.js';

/** Base64 as S3 has it; exactly one is sent. */
export interface Checksums {
  crc32?: string;
  md5?: string;
}

export type Condition = { ifNoneMatch: '*' } | { ifMatch: string };

export interface Body extends Checksums {
  /** Called for each try. */
  open: () => Readable | Buffer;
  bytes: number;
}

/** A small one, from memory. */
export function bodyOf(content: Buffer, checksums: Checksums): Body {
  return { open: () => content, bytes: content.length, ...checksums };
}

/** The stream of a body lets go of its file however the request ends. */
export async function withBody<T>(
  body: Body,
  send: (opened: Readable | Buffer) => Promise<T>,
): Promise<T> {
  const opened = body.open();
  if (Buffer.isBuffer(opened)) return await send(opened);
  // What fails on our own disk is no failure of the bucket.
  let failure: unknown = null;
  opened.on('error', (error: NodeJS.ErrnoException) => {
    if (isServiceError(error) || error.syscall === 'read') failure = error;
  });
  try {
    return await send(opened);
  } catch (error) {
    throw failure === null ? error : toStoreError(failure);
  } finally {
    opened.destroy();
  }
}

export function lengthAndChecksum({ bytes, crc32, md5 }: Body) {
  return {
    ContentLength: bytes,
    ...(crc32 === undefined
      ? md5 === undefined
        ? {}
        : { ContentMD5: md5 }
      : { ChecksumCRC32: crc32 }),
  };
}

export function toCondition(condition: Condition | undefined) {
  if (condition === undefined) return {};
  return 'ifMatch' in condition
    ? { IfMatch: condition.ifMatch }
    : { IfNoneMatch: condition.ifNoneMatch };
}
