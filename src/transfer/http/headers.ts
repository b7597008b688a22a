/**
 * The head of an HTTP/1.1 answer, read strictly: what is ambiguous about where a body ends is refused, because a
 * download's completeness hangs on it. @see RFC 9112 §4–6
 */
import { retry, type Retry } from '../errors.js';

/** Lower-case names; repeated fields joined by a comma. */
export type Headers = Record<string, string>;

export interface Head {
  status: number;
  headers: Headers;
  /** May another request follow on the same connection? */
  staysOpen: boolean;
}

export type Framing =
  | { kind: 'length'; bytes: number }
  | { kind: 'chunked' }
  /** The body ends when the connection does: the end proves nothing. */
  | { kind: 'close' };

const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/;
/** The last blanks, found in one look: without the look behind, each of a long run begins a search of its own. */
const PADDING = /^[ \t]+|(?<![ \t])[ \t]+$/g;
/** A value may go on in a line that begins with a blank (RFC 9112 §5.2). */
const FOLD = /\r\n[ \t]+/g;
const PROTOCOL = 'HTTP/1.';

/** Can this be where a head begins? For the end of anything else one would wait in vain. */
export function mayBeginHead(text: string): boolean {
  const [first = ''] = text.split('\n', 1);
  const isLine = first.length === text.length || first.endsWith('\r');
  return isLine && first.startsWith(PROTOCOL.slice(0, first.length));
}

/** @param text the head up to, and without, the empty line. Throws Retry(SourceRefused) on what is not HTTP/1.x. */
export function parseHead(text: string): Head {
  const [first = ''] = text.split('\r\n', 1);
  const fields = text.slice(first.length + 2).replace(FOLD, ' ');
  const [, version, status] = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/.exec(first) ?? [];
  if (status === undefined) throw notHttp();
  const headers = Object.create(null) as Headers;
  for (const line of fields === '' ? [] : fields.split('\r\n')) {
    const field = FIELD.exec(line);
    if (!field) throw refused('The answer carries a malformed header');
    const name = (field[1] as string).toLowerCase();
    const value = (field[2] as string).replace(PADDING, '');
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  const staysOpen = version === '1' && !/\bclose\b/i.test(headers.connection ?? '');
  return { status: Number(status), headers, staysOpen };
}

/** How the body's end is marked. Refuses a length beside a transfer coding, contradicting lengths and unknown codings. */
export function framingOf({ status, headers }: Pick<Head, 'status' | 'headers'>): Framing {
  if (status === 204 || status === 304) return { kind: 'length', bytes: 0 };
  const coding = headers['transfer-encoding'];
  const length = headers['content-length'];
  if (coding !== undefined && length !== undefined)
    throw refused('The answer has both Content-Length and Transfer-Encoding');
  if (coding !== undefined) {
    if (coding.toLowerCase() !== 'chunked') throw refused('Unknown transfer coding');
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'close' };
  const values = new Set(length.split(',').map((value) => value.trim()));
  const [only = ''] = values;
  if (values.size !== 1 || !/^\d{1,15}$/.test(only)) throw refused('Content-Length is malformed');
  return { kind: 'length', bytes: Number(only) };
}

export interface ContentRange {
  start: number;
  /** Exclusive. */
  end: number;
  total: number | null;
}

/** `bytes 0-9/100`, also the malformed but clear `bytes=0-9/100`; null for anything else. */
export function parseContentRange(value: string | undefined): ContentRange | null {
  const match = /^bytes[ =]+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(value?.trim() ?? '');
  if (!match) return null;
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  const total = match[3] === '*' ? null : Number(match[3]);
  if (end <= start || (total !== null && end > total)) return null;
  return { start, end, total };
}

/** The total that a 416 states; null when it states none. */
export function parseUnsatisfiedRange(value: string | undefined): number | null {
  const match = /^bytes[ =]+\*\/(\d{1,15})$/i.exec(value?.trim() ?? '');
  return match ? Number(match[1]) : null;
}

/** An ETag that pins the very bytes, or null. */
export function strongEtag(headers: Headers): string | null {
  const etag = headers.etag;
  return etag !== undefined && /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(etag) ? etag : null;
}

export type RetryAfter = { given: false } | { given: true; waitMs: number; clamped: boolean };

/**
 * Seconds or an HTTP date, at most `longestMs`; nothing, rubbish and the past count as not given. One form of date names no
 * zone and means GMT (RFC 9110 §5.6.7).
 */
export function parseRetryAfter(
  value: string | undefined,
  longestMs: number,
  nowMs = Date.now(),
): RetryAfter {
  const text = value?.trim() ?? '';
  const seconds = retryAfterSeconds(text);
  const waitMs =
    seconds !== null
      ? seconds * 1000
      : /^[A-Za-z]{3}/.test(text)
        ? Date.parse(/\d{4}$/.test(text) ? `${text} GMT` : text) - nowMs
        : NaN;
  if (Number.isNaN(waitMs) || waitMs < 0) return { given: false };
  return { given: true, waitMs: Math.min(waitMs, longestMs), clamped: waitMs > longestMs };
}

/**
 * What a Retry-After in seconds says; null where it is none. Sent more than once, as by a gateway and what is behind it, the
 * last one counts.
 */
export function retryAfterSeconds(value: string): number | null {
  const seconds = /^(?:\d+\s*,\s*)*(\d+)$/.exec(value.trim())?.[1];
  return seconds === undefined ? null : Number(seconds);
}

export function notHttp(): Retry {
  return refused('The answer is not HTTP/1.1');
}

function refused(message: string): Retry {
  return retry('SourceRefused', message);
}
