/**
 * How failures inside a transfer become the closed set of ServiceErrors. `Retry` never leaves the engine: it says "try
 * again", and carries the error to be thrown once the tries are used up.
 */
import { isServiceError, ServiceError, type ErrorCode } from '../jobs/error-codes.js';

export interface RetryOptions {
  /** Wait this long instead of the usual backoff. */
  waitMs?: number;
  /** Give up after this many failures that say the same, without progress between them. */
  tries?: number;
  /** An address that the source had led to has expired: asking for the next one costs no try, once in a row. */
  isRenewal?: boolean;
}

export class Retry extends Error {
  override readonly name = 'Retry';
  constructor(
    readonly error: ServiceError,
    readonly options: RetryOptions = {},
  ) {
    super(error.message);
  }
}

export function retry(code: ErrorCode, message: string, options: RetryOptions = {}): Retry {
  return new Retry(new ServiceError(code, message), options);
}

/** The partial file is no longer the one that was opened: the session opens the directory anew. */
export class PartialLost extends Error {
  override readonly name = 'PartialLost';
}

/** The object at the source is another one now: what is on disk belongs to the old one. */
export class ObjectChanged extends Error {
  override readonly name = 'ObjectChanged';
}

/** An address that may be shown: no user part, query or fragment. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

export function cancelledError(signal: AbortSignal): ServiceError {
  return isServiceError(signal.reason)
    ? signal.reason
    : new ServiceError('Cancelled', 'The transfer was cancelled');
}

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** A failed file operation as StorageFull or StoreUnavailable; anything that is none comes back unchanged. */
export function toStoreError(error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const syscall = (error as NodeJS.ErrnoException).syscall ?? 'file operation';
  const details = { errno, syscall };
  if (FULL.has(errno))
    return new ServiceError('StorageFull', `The disk is full (${errno} on ${syscall})`, {
      details,
    });
  return new ServiceError('StoreUnavailable', `Storage failed (${errno} on ${syscall})`, {
    details,
  });
}

/** What failed in a thread, by the message and the errno that came out of it. */
export function toThreadError(message: string, errno: string | null): ServiceError {
  const error = Object.assign(new Error(message), { code: errno ?? undefined, syscall: 'read' });
  const known = toStoreError(error);
  return isServiceError(known) ? known : new ServiceError('StoreUnavailable', message);
}

/** The system's own name of what failed, as ENOENT or EAI_AGAIN: no code of Node, of OpenSSL or of ours. */
export function errnoOf(error: unknown): string | undefined {
  const code = codeOf(error);
  return code !== undefined && /^E(AI_)?[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** What a library or the system calls the failure. */
export function codeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Runs a file operation, translating how it fails. */
export async function stored<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    throw toStoreError(error);
  }
}

/** The server sends more than it announced: then nobody knows what the rest of its answer is worth. */
export function tooMuch(): Retry {
  return retry('SourceRefused', 'The server sends more bytes than it announced', { tries: 3 });
}

/** What was written has come back as something else: a power cut, or a disk that fails. */
export function damaged(): Retry {
  return retry('StoreUnavailable', 'The disk gave back other bytes than were written');
}
