/**
 * Small answers over HTTP for catalogue and identity: bounded in time, size and tries, and read as JSON only when they are JSON.
 * What may pass by itself (network, 5xx, a torn or foreign body) is tried again here, within small bounds and with full jitter; the
 * longer patience is the workflow's. Redirects are not followed: an answer that redirects is an answer that was not expected.
 */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import { createRequester, type ProxyFor, type Requester } from '../../transfer/index.js';
import type { Clock } from './clock.js';
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
  /** Lower-case names; repeated headers joined by a comma. */
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
  close(): void;
}

export function createHttp(options: { clock: Clock; proxyFor?: ProxyFor | undefined }): Http {
  const proxyFor = options.proxyFor ?? (() => null);
  const requester = createRequester(proxyFor);
  return {
    async call(request, read, signal, overrides = {}) {
      const limits = { ...HTTP_LIMITS, ...overrides };
      for (let attempt = 1; ; attempt += 1) {
        try {
          return read(await send(request, requester, proxyFor, limits, signal));
        } catch (error) {
          signal.throwIfAborted();
          const mayPass = isServiceError(error) && error.code === 'SourceUnavailable';
          if (!mayPass || attempt >= limits.tries) throw error;
        }
        await options.clock.sleep(Math.random() * limits.pauseMs * 2 ** (attempt - 1), signal);
      }
    },
    close: () => requester.close(),
  };
}

async function send(
  { url, ...request }: HttpRequest,
  requester: Requester,
  proxyFor: ProxyFor,
  limits: HttpLimits,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const { host } = new URL(url);
  const headers = { accept: 'application/json', 'user-agent': 'nimbus', ...request.headers };
  try {
    const answer = await withDeadline(limits.totalMs, signal, (either) =>
      requester.send({ ...request, url, headers }, limits, either),
    );
    return { ...answer, url, host };
  } catch (error) {
    signal.throwIfAborted();
    const code = isServiceError(error) ? error.code : 'SourceUnavailable';
    const said = isServiceError(error) ? error.message : oneLine(String(error));
    const proxy = proxyFor(new URL(url));
    const way = proxy ? `, asked through the proxy ${proxy.host}` : '';
    throw new ServiceError(code, `${said.includes(host) ? '' : `${host}: `}${said}${way}`);
  }
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
