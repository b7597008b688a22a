/**
 * A bucket, as few requests as publishing needs, by paths below our prefix. The SDK signs and speaks XML; trying again,
 * limits of time and what a failure means are ours, so that all requests behave alike. Bodies are streams of known length
 * and checksum: nothing is held in memory, and what is altered on the way is refused by the server.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import { isServiceError } from '../../jobs/error-codes.js';
import { toStoreError } from '../../transfer/index.js';
import { throwIfAborted } from '../aborted.js';
import type { S3Location } from './address.js';
import { insist, type Backoff } from './insist.js';
import { Refusal, toRefusal } from './refusal.js';

export interface BucketSettings extends S3Location {
  /** Root of an S3-compatible server; null = Amazon's own. */
  endpoint: string | null;
  /** null = by the AWS SDK's own rules, or `us-east-1` with an endpoint. */
  region: string | null;
  forcePathStyle: boolean;
  backoff?: Partial<Backoff>;
  /** Longest silence on a connection, and while the server puts an object together. */
  idleMs?: number;
  completeMs?: number;
}

export interface StoredObject {
  bytes: number;
  etag: string;
  metadata: Record<string, string>;
  /** The server's own checksum of the object, where it keeps one. */
  crc32: { value: string; isOfParts: boolean } | null;
}

export interface Part {
  number: number;
  bytes: number;
  etag: string;
  crc32: string | null;
}

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

export interface PutOptions {
  mediaType: string;
  metadata?: Record<string, string>;
  condition?: Condition;
  /** A refusal of the checksum is the answer, not damage on the way. */
  once?: boolean;
}

export interface CompleteOptions {
  parts: Part[];
  condition: Condition;
  /** Of the whole object, where the upload was begun so. */
  crc32: string | null;
  bytes: number;
}

export interface Upload {
  uploadId: string;
  initiatedMs: number;
}

export interface Bucket {
  readonly location: S3Location;
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

  /** `isWhole`: the server checks a CRC-32 of the whole object, not only of the parts. */
  createUpload: (
    path: string,
    options: { mediaType: string; metadata: Record<string, string>; crc32: boolean },
    signal?: AbortSignal,
  ) => Promise<{ uploadId: string; isWhole: boolean }>;
  uploadPart: (
    path: string,
    uploadId: string,
    number: number,
    body: Body,
    signal?: AbortSignal,
  ) => Promise<Part>;
  listParts: (
    path: string,
    uploadId: string,
    signal?: AbortSignal,
  ) => Promise<{ parts: Part[]; isWhole: boolean; touchedMs: number }>;
  completeUpload: (
    path: string,
    uploadId: string,
    options: CompleteOptions,
    signal?: AbortSignal,
  ) => Promise<void>;
  /** Harmless when it is gone. */
  abortUpload: (path: string, uploadId: string, signal?: AbortSignal) => Promise<void>;
  /** Uploads to exactly this path; none where the server cannot tell. */
  listUploads: (path: string, signal?: AbortSignal) => Promise<Upload[]>;
  close: () => void;
}

const DEFAULT_BACKOFF: Backoff = { tries: 6, baseMs: 200, mostMs: 5_000 };
const CONNECT_MS = 5_000;
const IDLE_MS = 30_000;
const COMPLETE_MS = 600_000;
const SOCKETS = 64;

export function createBucket(settings: BucketSettings): Bucket {
  const { bucket: Bucket, prefix } = settings;
  const backoff = { ...DEFAULT_BACKOFF, ...settings.backoff };
  const client = createClient(settings, settings.idleMs ?? IDLE_MS);
  // Putting an object together is silent on some servers, for minutes where it is large.
  const patient = createClient(settings, settings.completeMs ?? COMPLETE_MS);
  const keyOf = (path: string): string => (prefix === '' ? path : `${prefix}/${path}`);
  const pathOf = (key: string): string => (prefix === '' ? key : key.slice(prefix.length + 1));
  const at = (path: string) => ({ Bucket, Key: keyOf(path) });

  /** One request, repeated while that may help. */
  const ask = <T>(
    request: string,
    signal: AbortSignal | undefined,
    send: (options: { abortSignal?: AbortSignal }) => Promise<T>,
    patience: Backoff = backoff,
  ): Promise<T> => insist(() => once(request, signal, send), patience, signal);

  return {
    location: settings,
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
      await ask('PutObject', signal, send, isOnce ? { ...backoff, tries: 1 } : backoff);
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

    async createUpload(path, { mediaType, metadata, crc32 }, signal) {
      const create = (kind: object) =>
        ask('CreateMultipartUpload', signal, (options) =>
          client.send(
            new CreateMultipartUploadCommand({
              ...at(path),
              ContentType: mediaType,
              Metadata: metadata,
              ...kind,
            }),
            options,
          ),
        );
      const answer = crc32
        ? await create({ ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' }).catch(
            (error: unknown) => {
              // Older servers know checksums of parts alone.
              if (!(error instanceof Refusal) || ![400, 501].includes(error.status)) throw error;
              return create({ ChecksumAlgorithm: 'CRC32' });
            },
          )
        : await create({});
      if (answer.UploadId === undefined)
        throw new Refusal('IncompleteAnswer', 200, 'CreateMultipartUpload');
      return { uploadId: answer.UploadId, isWhole: answer.ChecksumType === 'FULL_OBJECT' };
    },

    async uploadPart(path, uploadId, number, body, signal) {
      return await ask('UploadPart', signal, async (options) => {
        const answer = await withBody(body, (Body) =>
          client.send(
            new UploadPartCommand({
              ...at(path),
              ...lengthAndChecksum(body),
              UploadId: uploadId,
              PartNumber: number,
              Body,
            }),
            options,
          ),
        );
        const part = {
          number,
          bytes: body.bytes,
          etag: answer.ETag ?? '',
          crc32: answer.ChecksumCRC32 ?? null,
        };
        if (!agrees(part, body)) throw new Refusal('BadDigest', 200, 'UploadPart');
        return part;
      });
    },

    async listParts(path, uploadId, signal) {
      const parts: Part[] = [];
      let isWhole = false;
      let touchedMs = 0;
      let marker: string | undefined;
      do {
        const command = new ListPartsCommand({
          ...at(path),
          UploadId: uploadId,
          ...(marker === undefined ? {} : { PartNumberMarker: marker }),
        });
        const page = await ask('ListParts', signal, (options) => client.send(command, options));
        for (const { PartNumber, Size, ETag, ChecksumCRC32, LastModified } of page.Parts ?? []) {
          touchedMs = Math.max(touchedMs, LastModified?.getTime() ?? 0);
          if (PartNumber !== undefined && Size !== undefined && ETag !== undefined)
            parts.push({
              number: PartNumber,
              bytes: Size,
              etag: ETag,
              crc32: ChecksumCRC32 ?? null,
            });
        }
        isWhole = page.ChecksumType === 'FULL_OBJECT';
        marker = page.IsTruncated ? page.NextPartNumberMarker : undefined;
      } while (marker !== undefined);
      return { parts, isWhole, touchedMs };
    },

    async completeUpload(path, uploadId, { parts, condition, crc32, bytes }, signal) {
      const command = new CompleteMultipartUploadCommand({
        ...at(path),
        ...toCondition(condition),
        UploadId: uploadId,
        MultipartUpload: {
          Parts: parts.map(({ number, etag, crc32: partCrc }) => ({
            PartNumber: number,
            ETag: etag,
            ...(partCrc === null ? {} : { ChecksumCRC32: partCrc }),
          })),
        },
        ...(crc32 === null
          ? {}
          : { ChecksumCRC32: crc32, ChecksumType: 'FULL_OBJECT', MpuObjectSize: bytes }),
      });
      await ask('CompleteMultipartUpload', signal, (options) => patient.send(command, options));
    },

    async abortUpload(path, uploadId, signal) {
      const command = new AbortMultipartUploadCommand({ ...at(path), UploadId: uploadId });
      await ask('AbortMultipartUpload', signal, (options) => client.send(command, options)).catch(
        (error: unknown) => {
          if (!(error instanceof Refusal) || error.status !== 404) throw error;
        },
      );
    },

    async listUploads(path, signal) {
      const Key = keyOf(path);
      const command = new ListMultipartUploadsCommand({ Bucket, Prefix: Key });
      const page = await ask('ListMultipartUploads', signal, (options) =>
        client.send(command, options),
      ).catch((error: unknown) => {
        if (error instanceof Refusal && [403, 404, 405, 501].includes(error.status)) return null;
        throw error;
      });
      return (page?.Uploads ?? []).flatMap(({ Key: key, UploadId, Initiated }) =>
        key === Key && UploadId !== undefined
          ? [{ uploadId: UploadId, initiatedMs: Initiated?.getTime() ?? Date.now() }]
          : [],
      );
    },

    close() {
      client.destroy();
      patient.destroy();
    },
  };
}

/** Does what the server says of a part agree with what was sent? Silence is taken for the server's own check. */
export function agrees(part: Pick<Part, 'etag' | 'crc32'>, { crc32, md5 }: Checksums): boolean {
  if (crc32 !== undefined && part.crc32 !== null) return part.crc32 === crc32;
  if (md5 === undefined) return true;
  const etag = part.etag.replace(/"/g, '');
  return !/^[0-9a-f]{32}$/.test(etag) || etag === Buffer.from(md5, 'base64').toString('hex');
}

function createClient(settings: BucketSettings, socketTimeout: number): S3Client {
  const { endpoint, forcePathStyle } = settings;
  const region = settings.region ?? (endpoint === null ? null : 'us-east-1');
  const agent = { keepAlive: true, maxSockets: SOCKETS };
  return new S3Client({
    ...(endpoint === null ? { followRegionRedirects: true } : { endpoint }),
    ...(region === null ? {} : { region }),
    forcePathStyle,
    maxAttempts: 1,
    logger: { trace: noop, debug: noop, info: noop, warn: noop, error: noop },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout,
      socketAcquisitionWarningTimeout: 2_147_483_647,
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
}

const noop = (): void => undefined;

async function once<T>(
  request: string,
  signal: AbortSignal | undefined,
  send: (options: { abortSignal?: AbortSignal }) => Promise<T>,
): Promise<T> {
  try {
    return await send(signal ? { abortSignal: signal } : {});
  } catch (error) {
    throwIfAborted(signal);
    throw toRefusal(error, request);
  }
}

/** The stream of a body lets go of its file however the request ends. */
async function withBody<T>(
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

function lengthAndChecksum({ bytes, crc32, md5 }: Body) {
  return {
    ContentLength: bytes,
    ...(crc32 === undefined
      ? md5 === undefined
        ? {}
        : { ContentMD5: md5 }
      : { ChecksumCRC32: crc32 }),
  };
}

function toCondition(condition: Condition | undefined) {
  if (condition === undefined) return {};
  return 'ifMatch' in condition
    ? { IfMatch: condition.ifMatch }
    : { IfNoneMatch: condition.ifNoneMatch };
}

/** A checksum of checksums ends in the number of parts. */
function isOfParts(value: string, type: string | undefined): boolean {
  return type === 'COMPOSITE' || value.includes('-');
}

async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Refusal && error.status === 404 && !error.is('NoSuchBucket')) return null;
    throw error;
  }
}
