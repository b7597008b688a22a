/**
 * How a bucket says no. A `Refusal` stays inside this folder: some are answers that publishing reads (a condition that does
 * not hold, an upload that is gone), the rest leave as ServiceErrors. Messages carry the code, the status and the name of
 * the request alone: what a server says of a signature quotes the request, keys included.
 */
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';

export class Refusal extends Error {
  override readonly name = 'Refusal';
  constructor(
    /** As the server, the SDK or the system calls it: `PreconditionFailed`, `ECONNRESET`. */
    readonly code: string,
    /** 0 when no answer came. */
    readonly status: number,
    /** Name of the request, such as `PutObject`. */
    readonly request: string,
  ) {
    super(`${code}${status === 0 ? '' : ` (${status})`} on ${request}`);
  }

  is(...codes: string[]): boolean {
    return codes.includes(this.code);
  }
}

/** A file and a folder of one name. */
export const FOLDER_IN_THE_WAY = 'A folder of the path is a file, or the path is a folder';

/** Something changed under our hands: what is there has to be looked at before another try. */
export class LookAgain extends Error {
  override readonly name = 'LookAgain';
  constructor(readonly reason: Refusal) {
    super(reason.message);
  }
}

/** Whether a repeat of the same request may go well. */
export function mayPass({ status, code }: Refusal): boolean {
  if (CREDENTIALS.has(code) || code === 'RegionMissing') return false;
  if (status === 0) return true;
  if (status >= 500) return status !== 501 && !isFull(status, code);
  return status === 408 || status === 429 || PASSING.has(code);
}

const PASSING = new Set([
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'IncompleteBody',
  'BadDigest',
  'XAmzContentChecksumMismatch',
  'OperationAborted',
]);
const CREDENTIALS = new Set([
  'CredentialsProviderError',
  'TokenProviderError',
  'ConfigurationError',
]);
const FULL = /QuotaExceeded|StorageFull|InsufficientStorage|InsufficientCapacity|NoSpaceLeft/i;

function isFull(status: number, code: string): boolean {
  return status === 507 || FULL.test(code);
}

/** Answered no, with one of these statuses. */
export function isRefusedWith(error: unknown, ...statuses: number[]): error is Refusal {
  return error instanceof Refusal && statuses.includes(error.status);
}

/** A condition of ours did not hold: somebody else was first. */
export function isTaken(error: unknown): boolean {
  return (
    error instanceof Refusal &&
    (error.status === 412 || error.is('PreconditionFailed', 'ConditionalRequestConflict'))
  );
}

export function isUploadGone(error: unknown): boolean {
  return error instanceof Refusal && error.is('NoSuchUpload');
}

/** What the SDK threw, as a Refusal; a ServiceError, and what is no failure of a request, come back unchanged. */
export function toRefusal(error: unknown, request: string): unknown {
  if (isServiceError(error) || error instanceof Refusal || !(error instanceof Error)) return error;
  const { name, code, Code, $metadata } = error as Error & {
    code?: unknown;
    Code?: unknown;
    $metadata?: { httpStatusCode?: number };
  };
  const status = $metadata?.httpStatusCode ?? 0;
  if (error.message === 'Region is missing') return new Refusal('RegionMissing', 0, request);
  const word = [Code, name === 'Error' ? code : name, code].find(
    (one): one is string => typeof one === 'string' && /^[A-Za-z][\w.-]{0,60}$/.test(one),
  );
  if (status === 0 && !isOfTheWire(word, code)) return error;
  const shown = word === undefined || word === 'Unknown' || word === 'UnknownError' ? null : word;
  return new Refusal(shown ?? (status === 404 ? 'NotFound' : `Status${status}`), status, request);
}

/** Not every error without a status is one of the network: a mistake of ours must not be tried again and again. */
function isOfTheWire(word: string | undefined, code: unknown): boolean {
  if (word !== undefined && (CREDENTIALS.has(word) || word === 'TimeoutError')) return true;
  return (
    typeof code === 'string' &&
    /^(E[A-Z]{3,}|ERR_STREAM_PREMATURE_CLOSE|ERR_TLS|CERT_|DEPTH_|SELF_|UNABLE_|HPE_)/.test(code)
  );
}

/** @param bucket its name, which is no secret */
export function toStoreError(error: unknown, bucket: string): unknown {
  if (!(error instanceof Refusal)) return error;
  const { code, status, request } = error;
  const details = { code, status, request };
  const fail = (
    kind: 'StorageFull' | 'StoreUnavailable' | 'InvalidInput' | 'Conflict',
    text: string,
  ) => new ServiceError(kind, text, { details });
  if (CREDENTIALS.has(code))
    return fail(
      'StoreUnavailable',
      `No credentials for the bucket ${bucket}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE`,
    );
  if (error.is('RegionMissing'))
    return fail(
      'StoreUnavailable',
      `No region for the bucket ${bucket}: set NIMBUS_S3_REGION or AWS_REGION`,
    );
  if (isFull(status, code))
    return fail('StorageFull', `The bucket ${bucket} is full: ${error.message}`);
  if (error.is('NoSuchBucket')) return fail('StoreUnavailable', `There is no bucket ${bucket}`);
  if (error.is('KeyTooLongError', 'KeyTooLong'))
    return fail('InvalidInput', `The path is too long for the bucket ${bucket}`);
  if (error.is('ObjectParentIsFile', 'ExistingObjectIsDirectory', 'XMinioParentIsObject'))
    return fail('Conflict', FOLDER_IN_THE_WAY);
  if (isTaken(error)) return fail('Conflict', 'The file was replaced meanwhile');
  if (mayPass(error))
    return new ServiceError(
      'StoreUnavailable',
      `The bucket ${bucket} ${status === 0 ? 'cannot be reached' : 'does not answer as it should'}: ${error.message}`,
      { details: { ...details, unreachable: true } },
    );
  return fail('StoreUnavailable', `The bucket ${bucket} refuses: ${error.message}`);
}

/** True for a failure that says nothing of the bucket but that it did not answer. */
export function isOutOfReach(error: unknown): boolean {
  return isServiceError(error) && error.details['unreachable'] === true;
}
