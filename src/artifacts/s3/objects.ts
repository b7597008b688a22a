/** Objects, whole: looked at, read, put, removed and listed, each by one kind of request. */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import { once, type Connection } from './connection.js';
import { isRefusedWith, Refusal } from './refusal.js';
import {
  lengthAndChecksum,
  toCondition,
  withBody,
  type Body,
  type Condition,
} from './request-body.js';

export interface StoredObject {
  bytes: number;
  etag: string;
  metadata: Record<string, string>;
  /** The server's own checksum of the object, where it keeps one. */
  crc32: { value: string; isOfParts: boolean } | null;
}

export interface PutOptions {
  mediaType: string;
  metadata?: Record<string, string>;
  condition?: Condition;
  /** A refusal of the checksum is the answer, not damage on the way. */
  once?: boolean;
}

export interface Objects {
  /** One request, no repeat: is the bucket there, and does it answer? */
  ping: (signal?: AbortSignal) => Promise<void>;
  /** Null when there is no such object. */
  head: (path: string, signal?: AbortSignal) => Promise<StoredObject | null>;
  /** Bytes [start, end) of the object with this ETag, in one try. */
  read: (
    path: string,
    range: { start: number; end: number; etag: string },
    signal?: AbortSignal,
  ) => Promise<Readable>;
  /** A small object as text; null when there is none. */
  readText: (path: string, signal?: AbortSignal) => Promise<string | null>;
  put: (path: string, body: Body, options: PutOptions, signal?: AbortSignal) => Promise<void>;
  remove: (path: string, signal?: AbortSignal) => Promise<void>;
  /** Paths that begin with this text, sorted, a page at a time. */
  list: (
    prefix: string,
    options?: { most?: number },
    signal?: AbortSignal,
  ) => AsyncGenerator<{ path: string; modifiedMs: number }>;
}

export function createObjects(connection: Connection): Objects {
  const { Bucket, client, keyOf, pathOf, at, ask } = connection;
  return {
    async ping(signal) {
      const command = new ListObjectsV2Command({ Bucket, Prefix: keyOf(''), MaxKeys: 1 });
      await once('ListObjectsV2', signal, (options) => client.send(command, options));
    },

    async head(path, signal) {
      const command = new HeadObjectCommand({ ...at(path), ChecksumMode: 'ENABLED' });
      const found = await orNull(
        ask('HeadObject', signal, (options) => client.send(command, options)),
      );
      if (found === null) return null;
      const { ContentLength, ETag, Metadata, ChecksumCRC32, ChecksumType } = found;
      if (ContentLength === undefined || ETag === undefined)
        throw new Refusal('IncompleteAnswer', found.$metadata.httpStatusCode ?? 200, 'HeadObject');
      return {
        bytes: ContentLength,
        etag: ETag,
        metadata: Metadata ?? {},
        crc32:
          ChecksumCRC32 === undefined
            ? null
            : { value: ChecksumCRC32, isOfParts: isOfParts(ChecksumCRC32, ChecksumType) },
      };
    },

    async read(path, { start, end, etag }, signal) {
      const range = { Range: `bytes=${start}-${end - 1}`, IfMatch: etag };
      const command = new GetObjectCommand({ ...at(path), ...range });
      const { Body: body, ContentRange } = await once('GetObject', signal, (options) =>
        client.send(command, options),
      );
      if (!ContentRange?.startsWith(`bytes ${start}-${end - 1}/`)) {
        (body as Readable | undefined)?.destroy();
        throw new Refusal('WrongRange', 206, 'GetObject');
      }
      return body as Readable;
    },

    async readText(path, signal) {
      const command = new GetObjectCommand(at(path));
      const text = ask('GetObject', signal, async (options) => {
        const { Body: body } = await client.send(command, options);
        return (await body?.transformToString('utf-8')) ?? '';
      });
      return await orNull(text);
    },

    async put(path, body, { mediaType, metadata, condition, once: isOnce = false }, signal) {
      const send = (options: { abortSignal?: AbortSignal }) =>
        withBody(body, (Body) =>
          client.send(
            new PutObjectCommand({
              ...at(path),
              ...lengthAndChecksum(body),
              ...toCondition(condition),
              Body,
              ContentType: mediaType,
              ...(metadata ? { Metadata: metadata } : {}),
            }),
            options,
          ),
        );
      await ask('PutObject', signal, send, isOnce ? { tries: 1 } : {});
    },

    async remove(path, signal) {
      const command = new DeleteObjectCommand(at(path));
      await orNull(ask('DeleteObject', signal, (options) => client.send(command, options)));
    },

    async *list(start, { most = Infinity } = {}, signal) {
      let token: string | undefined;
      let given = 0;
      do {
        const command = new ListObjectsV2Command({
          Bucket,
          Prefix: keyOf(start),
          ...(most < 1000 ? { MaxKeys: most } : {}),
          ...(token === undefined ? {} : { ContinuationToken: token }),
        });
        const page = await ask('ListObjectsV2', signal, (options) => client.send(command, options));
        for (const { Key, LastModified } of page.Contents ?? []) {
          if (Key === undefined || given++ >= most) continue;
          yield { path: pathOf(Key), modifiedMs: LastModified?.getTime() ?? Date.now() };
        }
        token = page.IsTruncated ? page.NextContinuationToken : undefined;
      } while (token !== undefined && given < most);
    },
  };
}

/** A checksum of checksums ends in the number of parts. */
function isOfParts(value: string, type: string | undefined): boolean {
  return type === 'COMPOSITE' || value.includes('-');
}

async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (isRefusedWith(error, 404) && !error.is('NoSuchBucket')) return null;
    throw error;
  }
}
