/**
 * Every way in which Nimbus can fail, as one closed table. What follows from a code (may it be retried,
 * which HTTP status, what the user can do) is decided here once and nowhere else.
 * `toProblem` (problem.ts) and `toApplicationFailure` (activities/failures.ts) are the only readers.
 */

/** `permanent`: never retry. `transient`: retry with backoff. `wait`: retry when told. `restart`: drop the bytes, retry a few times. */
export type ErrorKind = 'permanent' | 'transient' | 'wait' | 'restart';

interface ErrorFacts {
  kind: ErrorKind;
  status: number;
  title: string;
  /** What the user can do next; ends up in the problem's `hint`. */
  hint: string;
}

export const ERROR_CODES = {
  BadRequest: {
    kind: 'permanent',
    status: 400,
    title: 'Bad request',
    hint: 'Correct the request and send it again',
  },
  InvalidInput: {
    kind: 'permanent',
    status: 422,
    title: 'Invalid input',
    hint: 'Correct the named fields and send it again',
  },
  Unauthorized: {
    kind: 'permanent',
    status: 401,
    title: 'Unauthorized',
    hint: 'Send the API key as X-API-Key or as a bearer token',
  },
  NotFound: {
    kind: 'permanent',
    status: 404,
    title: 'Not found',
    hint: 'Check the address or the id',
  },
  Conflict: {
    kind: 'permanent',
    status: 409,
    title: 'Conflict',
    hint: 'Look at the present state, then decide',
  },
  PreconditionFailed: {
    kind: 'permanent',
    status: 412,
    title: 'Precondition failed',
    hint: 'Fetch the present version first',
  },
  PayloadTooLarge: {
    kind: 'permanent',
    status: 413,
    title: 'Payload too large',
    hint: 'Send less, or raise NIMBUS_MAX_REQUEST_MB',
  },
  UnsupportedMediaType: {
    kind: 'permanent',
    status: 415,
    title: 'Unsupported media type',
    hint: 'Send application/json',
  },
  SourceDenied: {
    kind: 'permanent',
    status: 502,
    title: 'Provider denied access',
    hint: 'Check the credentials and licences at the provider, then retry the job; `nimbus doctor` tests them',
  },
  SourceGone: {
    kind: 'permanent',
    status: 502,
    title: 'Product is gone at the provider',
    hint: 'Search again: the provider may have replaced it',
  },
  SourceOffline: {
    kind: 'permanent',
    status: 502,
    title: 'Product is offline at the provider',
    hint: 'Order it in the provider’s own workspace, then retry the job',
  },
  SourceRefused: {
    kind: 'permanent',
    status: 502,
    title: 'Provider answered with something that must not be trusted',
    hint: 'Read the detail; report it to the provider if it persists',
  },
  SourceThrottled: {
    kind: 'wait',
    status: 503,
    title: 'Provider asks to wait',
    hint: 'Nothing to do: Nimbus goes on by itself',
  },
  SourceUnavailable: {
    kind: 'transient',
    status: 503,
    title: 'Provider is unavailable',
    hint: 'Nothing to do: Nimbus tries again by itself',
  },
  SourceChanged: {
    kind: 'restart',
    status: 502,
    title: 'Product changed while it was fetched',
    hint: 'Nothing to do: Nimbus starts the file again',
  },
  ChecksumMismatch: {
    kind: 'restart',
    status: 502,
    title: 'Checksum mismatch',
    hint: 'Retry the job later; report it to the provider if it persists',
  },
  ChecksumDisputed: {
    kind: 'permanent',
    status: 502,
    title: 'Checksum disputed',
    hint: 'Two equal copies contradict the provider’s checksum: report it to the provider; the bytes are kept aside',
  },
  StoreUnavailable: {
    kind: 'transient',
    status: 503,
    title: 'Storage is unavailable',
    hint: 'Check that MongoDB and the data directory can be reached',
  },
  StorageFull: {
    kind: 'wait',
    status: 507,
    title: 'Storage is full',
    hint: 'Free space in the data directory: Nimbus goes on by itself',
  },
  EngineUnavailable: {
    kind: 'transient',
    status: 503,
    title: 'Temporal is out of reach',
    hint: 'Check TEMPORAL_ADDRESS and that Temporal runs; then send the request again',
  },
  Cancelled: {
    kind: 'permanent',
    status: 409,
    title: 'Cancelled',
    hint: 'Retry the job to fetch what is missing',
  },
  Interrupted: {
    kind: 'transient',
    status: 503,
    title: 'Worker is stopping',
    hint: 'Nothing to do: another worker goes on',
  },
  Internal: {
    kind: 'transient',
    status: 500,
    title: 'Internal error',
    hint: 'Report it with the request id',
  },
} as const satisfies Record<string, ErrorFacts>;

export type ErrorCode = keyof typeof ERROR_CODES;

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_CODES, value);
}

export interface ServiceErrorOptions {
  cause?: unknown;
  /** Plain JSON facts, without secrets. */
  details?: Record<string, unknown>;
  /** For `wait` kinds: how long the other side asked us to wait, in milliseconds. */
  retryAfterMs?: number;
}

/** The one error class. Adapters translate foreign errors into it at the place where they arise. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly details: Record<string, unknown>;
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: ServiceErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.details = options.details ?? {};
    this.retryAfterMs = options.retryAfterMs;
  }

  get kind(): ErrorKind {
    return ERROR_CODES[this.code].kind;
  }
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof ServiceError;
}
