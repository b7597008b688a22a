/** Uploads in parts: begun, sent, listed, completed and given up, each by one kind of request. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { Connection } from './connection.js';
import { agrees, type Part } from './part.js';
import { isRefusedWith, Refusal } from './refusal.js';
import {
  lengthAndChecksum,
  toCondition,
  withBody,
  type Body,
  type Condition,
} from './request-body.js';

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

export interface Multipart {
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
}

export function createMultipart(connection: Connection): Multipart {
  const { Bucket, client, patient, keyOf, at, ask } = connection;
  return {
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
              if (!isRefusedWith(error, 400, 501)) throw error;
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
          if (!isRefusedWith(error, 404)) throw error;
        },
      );
    },

    async listUploads(path, signal) {
      const Key = keyOf(path);
      const command = new ListMultipartUploadsCommand({ Bucket, Prefix: Key });
      const page = await ask('ListMultipartUploads', signal, (options) =>
        client.send(command, options),
      ).catch((error: unknown) => {
        if (isRefusedWith(error, 403, 404, 405, 501)) return null;
        throw error;
      });
      return (page?.Uploads ?? []).flatMap(({ Key: key, UploadId, Initiated }) =>
        key === Key && UploadId !== undefined
          ? [{ uploadId: UploadId, initiatedMs: Initiated?.getTime() ?? Date.now() }]
          : [],
      );
    },
  };
}
