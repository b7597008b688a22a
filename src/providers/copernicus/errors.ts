/**
 * What the services of Copernicus say when they say no, as ServiceErrors. Six shapes of error body are in use, one for each
 * kind of host; what none of them fits (HTML of a gateway) is described, never quoted. No message carries more than a line of foreign text.
 */
import { ServiceError } from '../../jobs/error-codes.js';
import { retryAfterSeconds } from '../../transfer/index.js';

const TEXT_LIMIT = 300;
/** A server that names no time gets this one; whatever it names is kept between the two bounds. */
export const THROTTLED_MS = { unnamed: 10_000, slot: 5_000, shortest: 1_000, longest: 3_600_000 };

/** Foreign text on one line, without control characters, cut to a length that fits a message. */
export function oneLine(text: string): string {
  const line = text
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\s]+/g, ' ')
    .trim();
  return line.length > TEXT_LIMIT ? `${line.slice(0, TEXT_LIMIT)}…` : line;
}

export interface ErrorBody {
  /** `DAT-ZIP-100`, `invalid_grant`, `WAF`, …; null where the shape has none. */
  code: string | null;
  text: string;
}

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textOf = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' ? value : null;

/** Reads any of the known shapes; `text` is one line, fit for a message. */
export function readErrorBody(body: string): ErrorBody {
  const trimmed = body.trim();
  if (trimmed === '') return { code: null, text: 'no explanation' };
  if (trimmed.startsWith('<')) return { code: null, text: 'a page of HTML instead of JSON' };
  try {
    const { code, text } = readFields(JSON.parse(trimmed));
    return { code: code === null ? null : oneLine(code), text: oneLine(text) };
  } catch {
    return { code: null, text: oneLine(trimmed) };
  }
}

function readFields(value: unknown): ErrorBody {
  if (!isFields(value)) return { code: null, text: JSON.stringify(value) };
  const explained = textOf(value['error_description']) ?? textOf(value['message']);
  const code = textOf(value['error']) ?? textOf(value['code']);
  if (explained !== null) return { code, text: explained };
  const described = textOf(value['description']);
  if (described !== null) return { code, text: described };
  if ('detail' in value) return readDetail(value['detail']);
  return { code, text: code ?? JSON.stringify(value) };
}

/** `detail` is a text, an object of the old OpenSearch, or a list of rejected parameters. */
function readDetail(detail: unknown): ErrorBody {
  if (typeof detail === 'string') return { code: null, text: detail };
  if (Array.isArray(detail))
    return { code: null, text: detail.map((entry) => readRejection(entry)).join('; ') };
  if (isFields(detail) && textOf(detail['ErrorMessage']) !== null)
    return { code: textOf(detail['ErrorCode']), text: String(detail['ErrorMessage']) };
  return isFields(detail) ? readFields(detail) : { code: null, text: JSON.stringify(detail) };
}

function readRejection(entry: unknown): string {
  if (!isFields(entry)) return String(entry);
  const place = Array.isArray(entry['loc']) ? `${entry['loc'].join('.')}: ` : '';
  return `${place}${textOf(entry['msg']) ?? JSON.stringify(entry)}`;
}

/**
 * How long to wait by a `Retry-After` header, in milliseconds, within bounds: 1 s to 1 h; `unnamedMs` if it names no usable time.
 * @see RFC 9110 §10.2.3
 */
export function retryAfterMs(
  header: string | undefined,
  wallMs: number,
  unnamedMs = THROTTLED_MS.unnamed,
): number {
  const text = header?.trim() ?? '';
  const seconds = retryAfterSeconds(text);
  const asked = seconds !== null ? seconds * 1000 : Date.parse(text) - wallMs;
  if (Number.isNaN(asked) || /^-/.test(text)) return unnamedMs;
  return Math.min(Math.max(asked, THROTTLED_MS.shortest), THROTTLED_MS.longest);
}

export interface ErrorAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** SourceThrottled for 429, and for 503 that names a time; null for every other answer. */
export function throttled(answer: ErrorAnswer, host: string, wallMs: number): ServiceError | null {
  const header = answer.headers['retry-after'];
  if (answer.status !== 429 && !(answer.status === 503 && header !== undefined)) return null;
  const { code, text } = readErrorBody(answer.body);
  const isSlot = code === 'DAT-ZIP-100';
  return new ServiceError(
    'SourceThrottled',
    `${host} asks to wait: ${text} (${answer.status}${code === null ? '' : `, ${code}`})`,
    {
      retryAfterMs: retryAfterMs(header, wallMs, isSlot ? THROTTLED_MS.slot : undefined),
      details: {
        status: answer.status,
        ...(header === undefined ? {} : { retry_after: oneLine(header) }),
      },
    },
  );
}

/**
 * An error answer of the catalogue. 5xx and 408 → SourceUnavailable; 400 and 422 → InvalidInput (our query was understood and
 * refused); 401 and 403 → SourceDenied; 404 → NotFound; anything else, redirects included → SourceRefused.
 */
export function catalogueError(answer: ErrorAnswer, host: string, wallMs: number): ServiceError {
  const wait = throttled(answer, host, wallMs);
  if (wait) return wait;
  const { code, text } = readErrorBody(answer.body);
  const { status } = answer;
  const said = `${text} (${status}${code === null ? '' : `, ${code}`})`;
  const details = { status };
  if (status >= 500 || status === 408)
    return new ServiceError('SourceUnavailable', `${host} is failing: ${said}`, { details });
  if (status === 400 || status === 422)
    return new ServiceError('InvalidInput', `${host} refuses the search: ${said}`, { details });
  if (status === 401 || status === 403)
    return new ServiceError('SourceDenied', `${host} denies the search: ${said}`, { details });
  if (status === 404 || status === 410)
    return new ServiceError('NotFound', `${host} does not know this: ${said}`, { details });
  return new ServiceError('SourceRefused', `${host} gives an unexpected answer: ${said}`, {
    details,
  });
}

const OFFLINE_ADVICE =
  'it is on tape only, and no request brings it back: order it in the Copernicus Data Workspace, then retry the job';

/** What to tell about a product that is not online. */
export function offlineError(name: string): ServiceError {
  return new ServiceError('SourceOffline', `${name} is offline: ${OFFLINE_ADVICE}`);
}

/** The download host's own codes; a status alone says less. */
const DOWNLOAD_CODES: Record<string, (name: string, said: string) => ServiceError | null> = {
  'DAT-ZIP-109': () => null,
  'DAT-ZIP-604': () => null,
  'DAT-ZIP-609': (name, said) =>
    new ServiceError(
      'SourceDenied',
      `The account may not download ${name}: ${said}. A token made for another service cannot download: use the user name and password of a Copernicus Data Space account`,
    ),
  'DAT-ZIP-104': (name, said) => refused(name, said),
  'DAT-ZIP-111': (name, said) => refused(name, said),
  'DAT-ZIP-915': (name, said) => gone(name, said),
};

const refused = (name: string, said: string) =>
  new ServiceError('SourceRefused', `The download host refuses ${name}: ${said}`);
const gone = (name: string, said: string) =>
  new ServiceError('SourceGone', `${name} is gone at Copernicus: ${said}`);

/**
 * An error answer of the download host. Null where the status says it all: a 401 that a new token mends, 5xx, and what is not known.
 */
export function downloadError(
  answer: ErrorAnswer,
  name: string,
  host: string,
  wallMs: number,
): ServiceError | null {
  const wait = throttled(answer, host, wallMs);
  if (wait) return wait;
  const { code, text } = readErrorBody(answer.body);
  const said = `${text} (${answer.status}${code === null ? '' : `, ${code}`})`;
  const isClientError = answer.status >= 400 && answer.status < 500;
  if (answer.status === 202 || (isClientError && /\b(offline|not online|evicted)\b/i.test(text)))
    return offlineError(name);
  const known = code === null ? undefined : DOWNLOAD_CODES[code];
  if (known) return known(name, said);
  if (answer.status === 404 || answer.status === 410) return gone(name, said);
  if (answer.status === 403)
    return new ServiceError('SourceDenied', `The account may not download ${name}: ${said}`);
  return answer.status === 400 || answer.status === 422 ? refused(name, said) : null;
}
