/**
 * The way to a bucket: names below our prefix, and one request, repeated while that may help. The SDK signs and speaks XML;
 * trying again, limits of time and what a failure means are ours, so that all requests behave alike.
 */
import { S3Client } from '@aws-sdk/client-s3';
import { throwIfAborted } from '../aborted.js';
import type { S3Location } from './address.js';
import { insist, type Backoff } from './insist.js';
import { toRefusal } from './refusal.js';

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

type Send<T> = (options: { abortSignal?: AbortSignal }) => Promise<T>;

export interface Connection {
  /** Name of the bucket, as requests have it. */
  readonly Bucket: string;
  readonly client: S3Client;
  /** For what the server may be silent over: putting an object together takes minutes where it is large. */
  readonly patient: S3Client;
  keyOf: (path: string) => string;
  pathOf: (key: string) => string;
  /** The object at this path. */
  at: (path: string) => { Bucket: string; Key: string };
  /** One request, repeated while that may help. @throws Refusal */
  ask: <T>(
    request: string,
    signal: AbortSignal | undefined,
    send: Send<T>,
    patience?: Partial<Backoff>,
  ) => Promise<T>;
  close: () => void;
}

const DEFAULT_BACKOFF: Backoff = { tries: 6, baseMs: 200, mostMs: 5_000 };
const CONNECT_MS = 5_000;
const IDLE_MS = 30_000;
const COMPLETE_MS = 600_000;
const SOCKETS = 64;

export function connect(settings: BucketSettings): Connection {
  const { bucket: Bucket, prefix } = settings;
  const backoff = { ...DEFAULT_BACKOFF, ...settings.backoff };
  const client = createClient(settings, settings.idleMs ?? IDLE_MS);
  const patient = createClient(settings, settings.completeMs ?? COMPLETE_MS);
  const keyOf = (path: string): string => (prefix === '' ? path : `${prefix}/${path}`);

  return {
    Bucket,
    client,
    patient,
    keyOf,
    pathOf: (key) => (prefix === '' ? key : key.slice(prefix.length + 1)),
    at: (path) => ({ Bucket, Key: keyOf(path) }),
    ask: (request, signal, send, patience) =>
      insist(() => once(request, signal, send), { ...backoff, ...patience }, signal),
    close() {
      client.destroy();
      patient.destroy();
    },
  };
}

/** One request, no repeat. @throws Refusal */
export async function once<T>(
  request: string,
  signal: AbortSignal | undefined,
  send: Send<T>,
): Promise<T> {
  try {
    return await send(signal ? { abortSignal: signal } : {});
  } catch (error) {
    throwIfAborted(signal);
    throw toRefusal(error, request);
  }
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
