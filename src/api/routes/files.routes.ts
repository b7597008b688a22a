/**
 * A job's files. Only a path that the mirror names as this job's own is ever looked up, and only as a final file of the
 * store: anything else is 404, whatever the reason.
 */
import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import type { StoredFile } from '../../artifacts/artifact-store.js';
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import { planFile } from '../byte-range.js';
import type { ApiContext } from '../context.js';
import { httpProblem, sendProblem } from '../http-problems.js';
import { jobIdOf, type Mount } from '../mount.js';
import { operations } from '../operations.js';

export function filesRoutes(context: ApiContext, mount: Mount): void {
  mount(operations.getFile, async ({ request, response }) => {
    const jobId = jobIdOf(request);
    const file = await openFile(context, jobId, request.params['path']).catch((error: unknown) => {
      if (isServiceError(error) && error.code === 'NotFound')
        context.logger.warn(
          { jobId, requestId: response.locals['requestId'] as string },
          'file refused',
        );
      throw error;
    });
    await sendFile(request, response, file);
  });
}

interface ServedFile {
  name: string;
  stored: StoredFile;
  etag: string;
}

async function openFile(context: ApiContext, jobId: string, path: unknown): Promise<ServedFile> {
  const wanted = toStoredPath(context, path);
  const own = wanted === null ? null : await context.mirror.fileOf(jobId, wanted);
  if (wanted === null || own === null) throw noSuchFile();
  const stored = await open(context, wanted);
  const { verified } = own;
  if (verified !== null && verified.bytes !== stored.bytes)
    throw new ServiceError(
      'Conflict',
      `The stored file has ${stored.bytes} bytes and was verified with ${verified.bytes}: retry the job to fetch it again`,
    );
  const etag = verified
    ? `"${verified.checksum.algorithm}:${verified.checksum.value}"`
    : `"sha256:${await digestOf(stored)}"`;
  return { name: wanted.split('/').at(-1)!, stored, etag };
}

/**
 * Decoded segments → the path, or null if any of them is more than a plain name. An address of the store is taken as it
 * stands in the result, and also where it was encoded as one segment.
 */
function toStoredPath({ store }: ApiContext, segments: unknown): string | null {
  const given = Array.isArray(segments) ? segments.map(String) : [String(segments)];
  const isAddress = /^s3:/i.test(given[0]!);
  const path = isAddress ? store.pathOf(given.join('/')) : null;
  const names = isAddress ? (path?.split('/') ?? ['']) : given;
  const odd = /[\u0000-\u001f\u007f/\\]/;
  const plain = names.every((name) => name !== '' && !name.startsWith('.') && !odd.test(name));
  return plain ? names.join('/') : null;
}

async function open(context: ApiContext, path: string): Promise<StoredFile> {
  try {
    return await context.store.open(path);
  } catch (error) {
    if (isServiceError(error) && error.code === 'InvalidInput') throw noSuchFile();
    throw error;
  }
}

const noSuchFile = (): ServiceError => new ServiceError('NotFound', 'The job has no such file');

/** For a manifest, which is small and not among its own checksums. */
async function digestOf(stored: StoredFile): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(stored.read(), hash);
  return hash.digest('hex');
}

const mediaTypes: Record<string, string> = {
  json: 'application/json',
  zip: 'application/zip',
  tif: 'image/tiff',
  jp2: 'image/jp2',
};

async function sendFile(request: Request, response: Response, file: ServedFile): Promise<void> {
  const { bytes } = file.stored;
  const plan = planFile(
    {
      method: request.method,
      range: request.get('range'),
      ifRange: request.get('if-range'),
      ifMatch: request.get('if-match'),
      ifNoneMatch: request.get('if-none-match'),
    },
    file.etag,
    bytes,
  );
  response.set({ ETag: file.etag, 'Accept-Ranges': 'bytes', 'Cache-Control': 'private, no-cache' });
  if (plan.status === 412)
    throw new ServiceError('PreconditionFailed', 'The file is not the one named by If-Match');
  if (plan.status === 416) {
    response.set('Content-Range', `bytes */${bytes}`);
    const detail = `The file has ${bytes} bytes`;
    return sendProblem(request, response, httpProblem('RangeNotSatisfiable', detail));
  }
  if (plan.status === 304) return void response.status(304).end();
  const [first, last] = plan.status === 206 ? [plan.first, plan.last] : [0, bytes - 1];
  response
    .status(plan.status)
    .attachment(file.name)
    .set('Content-Type', mediaTypes[file.name.split('.').at(-1)!] ?? 'application/octet-stream')
    .set('Content-Length', String(last - first + 1));
  if (plan.status === 206) response.set('Content-Range', `bytes ${first}-${last}/${bytes}`);
  if (request.method === 'HEAD' || bytes === 0) return void response.end();
  await stream(response, file.stored, first, last);
}

/** Closes the file whatever happens; a client that goes away is no failure of ours. */
async function stream(
  response: Response,
  stored: StoredFile,
  first: number,
  last: number,
): Promise<void> {
  try {
    await pipeline(stored.read({ start: first, end: last + 1 }), response);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE' && code !== 'ECONNRESET' && code !== 'EPIPE')
      throw error;
  }
}
