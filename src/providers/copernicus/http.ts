/**
 * Small answers over HTTP for catalogue and identity: bounded in time, size and tries, and read as JSON only when they are JSON.
 * What may pass by itself (network, 5xx, a torn or foreign body) is tried again here, within small bounds and with full jitter; the
 * longer patience is the workflow's. Redirects are not followed: an answer that redirects is an answer that was not expected.
 */
import { createHash } from 'node:crypto';
import { request as undiciRequest, type Dispatcher } from 'undici';
import type { z } from 'zod';
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import type { ProxyFor } from '../../transfer/index.js';
import type { Clock } from './clock.js';
import { createRoutes, type Routes } from './routes.js';
import { withDeadline } from './deadline.js';
import { oneLine } from './errors.js';

export interface HttpRequest {
  method: 'GET' | 'POST';
  url: string;
  headers?: Record<string, string>;
  body?: string;
}

export interface HttpAnswer {
  url: string;
  host: string;
  status: number;
  /** Lower-case names; of repeated headers the last. */
  headers: Record<string, string>;
  bytes: Buffer;
}

export interface HttpLimits {
  connectMs: number;
  headersMs: number;
  /** Longest silence inside a body. */
  idleMs: number;
  /** One try, from start to end. */
  totalMs: number;
  sizeBytes: number;
  tries: number;
  /** First pause between tries; doubles, and is multiplied by a random number below 1. */
  pauseMs: number;
}

export const HTTP_LIMITS: HttpLimits = {
  connectMs: 10_000,
  headersMs: 90_000,
  idleMs: 30_000,
  totalMs: 240_000,
  sizeBytes: 64 * 1024 * 1024,
  tries: 3,
  pauseMs: 500,
};

export interface Http {
  /**
   * Sends the request and hands the whole answer, whatever its status, to `read`. When the try or `read` fails with SourceUnavailable,
   * the request is sent again, up to `tries` times in all; any other error is final.
   * @throws SourceUnavailable, SourceRefused (too large, bad certificate), what `read` throws, the signal's reason
   */
  call<T>(
    request: HttpRequest,
    read: (answer: HttpAnswer) => T,
    signal: AbortSignal,
    limits?: Partial<HttpLimits>,
  ): Promise<T>;
  close(): Promise<void>;
}

export function createHttp(options: { clock: Clock; proxyFor?: ProxyFor | undefined }): Http {
  const routes = createRoutes(options.proxyFor ?? (() => null), HTTP_LIMITS.connectMs);
  return {
    async call(request, read, signal, overrides = {}) {
      const limits = { ...HTTP_LIMITS, ...overrides };
      for (let attempt = 1; ; attempt += 1) {
        try {
          return read(await send(request, routes, limits, signal));
        } catch (error) {
          signal.throwIfAborted();
          const mayPass = isServiceError(error) && error.code === 'SourceUnavailable';
          if (!mayPass || attempt >= limits.tries) throw error;
        }
        await options.clock.sleep(Math.random() * limits.pauseMs * 2 ** (attempt - 1), signal);
      }
    },
    close: () => routes.close(),
  };
}

async function send(
  request: HttpRequest,
  routes: Routes,
  limits: HttpLimits,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const { host } = new URL(request.url);
  const { dispatcher, proxy } = routes.to(request.url);
  try {
    // undici hears nothing while a connection is being made; the deadline does.
    return await withDeadline(limits.totalMs, signal, (either) =>
      exchange(request, dispatcher, limits, either),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw isServiceError(error)
      ? error
      : networkError(error, proxy ? `${host}, through the proxy ${proxy},` : host);
  }
}

async function exchange(
  request: HttpRequest,
  dispatcher: Dispatcher,
  limits: HttpLimits,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const { host } = new URL(request.url);
  const answer = await undiciRequest(request.url, {
    dispatcher,
    method: request.method,
    headers: { accept: 'application/json', 'user-agent': 'nimbus', ...request.headers },
    body: request.body ?? null,
    headersTimeout: limits.headersMs,
    bodyTimeout: limits.idleMs,
    signal,
  });
  const headers = Object.fromEntries(
    Object.entries(answer.headers).map(([name, value]) => [name, [value ?? ''].flat().at(-1)!]),
  );
  const bytes = await readBounded(answer.body, limits.sizeBytes, host);
  return { url: request.url, host, status: answer.statusCode, headers, bytes };
}

async function readBounded(
  body: AsyncIterable<Buffer> & { destroy: () => unknown },
  sizeBytes: number,
  host: string,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    // Leaving the loop destroys the body, and with it the connection.
    if (size > sizeBytes)
      throw new ServiceError(
        'SourceRefused',
        `${host} sends more than ${sizeBytes} bytes where a short JSON document is expected`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

const CERTIFICATE = /^(CERT_|ERR_TLS_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_SSL_)/;

/** Names the host and the system's code; never a URL with its query, never a header. */
function networkError(error: unknown, host: string): ServiceError {
  const { code, name, message } = error as { code?: string; name?: string; message?: string };
  const label = code ?? name ?? 'unknown error';
  if (code !== undefined && CERTIFICATE.test(code))
    return new ServiceError(
      'SourceRefused',
      `The certificate of ${host} cannot be trusted: ${label}`,
    );
  return new ServiceError('SourceUnavailable', `${host} cannot be reached or broke off: ${label}`, {
    details: { cause: oneLine(message ?? '') },
  });
}

/** The answer's text for error messages: whatever was sent, readable or not. */
export const looseText = (answer: HttpAnswer): string => answer.bytes.toString('utf8');

/** Digest of the body as it came, in lower-case hex. */
export const sha256Of = (answer: HttpAnswer): string =>
  createHash('sha256').update(answer.bytes).digest('hex');

/**
 * The body as JSON that fits the schema.
 * @throws SourceUnavailable for a torn body, HTML, invalid UTF-8, NaN, or a document of another shape: it may be right at the next try
 */
export function readJson<S extends z.ZodType>(answer: HttpAnswer, schema: S): z.output<S> {
  const unusable = (reason: string): ServiceError =>
    new ServiceError(
      'SourceUnavailable',
      `${answer.host} gives an answer that cannot be used: ${reason}`,
    );
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(answer.bytes));
  } catch {
    const isHtml = /^\s*</.test(answer.bytes.subarray(0, 64).toString('latin1'));
    throw unusable(isHtml ? 'HTML instead of JSON' : 'not JSON, or cut off');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw unusable(oneLine(`${issue.path.join('.') || 'document'}: ${issue.message}`));
}
