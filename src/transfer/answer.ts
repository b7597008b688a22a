/**
 * Reading one answer: what its status, range, lengths and validators mean for the bytes that are on disk already. Nothing
 * is taken from a server that contradicts itself, and a 200 is never appended. Pure but for the errors it throws.
 */
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import { retry, Retry } from './errors.js';
import {
  parseContentRange,
  parseRetryAfter,
  parseUnsatisfiedRange,
  strongEtag,
  type Framing,
  type Headers,
} from './http/headers.js';
import type { SourceFacts } from './records.js';
import {
  DEFAULT_RETRY_AFTER_MS,
  LONGEST_INNER_WAIT_MS,
  LONGEST_RETRY_AFTER_MS,
  LONGEST_UNAVAILABLE_MS,
} from './limits.js';

export interface Asked {
  /** First byte asked for. */
  from: number;
  /** Was a range asked for? */
  isRanged: boolean;
  /** Bytes on disk, without a gap from the start. */
  have: number;
  /** What earlier answers said. */
  facts: SourceFacts | null;
  /** Nothing of the file is on disk. */
  isFresh: boolean;
  /** Would a file that is too short be found out in the end? */
  isProvable: boolean;
  /** May the whole be no bytes at all? */
  mayBeEmpty: boolean;
  /** Will an announced digest tell whether these are the bytes that were meant? */
  hasDigests: boolean;
  /** Announced, of the whole. */
  expectedBytes: number | null;
}

export type Reading =
  | {
      kind: 'body';
      start: number;
      /** Where this body ends; null = unknown. */
      end: number | null;
      /** Does this very answer say how long the file is? */
      saysTotal: boolean;
      /** Does it carry a validator, and the one that earlier answers had? */
      vouches: boolean;
      /** What is known of the file now, this answer's own word first. */
      facts: SourceFacts;
      /** Why what is on disk belongs to another object; null = it does not. */
      changed: string | null;
    }
  /** Everything is on disk; `total` is the size that the server states, if it does. */
  | { kind: 'whole'; total: number | null }
  | { kind: 'changed'; changed: string };

/** For 200, 206 and 416. Throws Retry for an answer that must not be used. */
export function readDataAnswer(
  status: number,
  headers: Headers,
  framing: Framing,
  asked: Asked,
): Reading {
  if (status === 416) return readUnsatisfied(headers, asked);
  const reading =
    status === 206 ? readPartial(headers, framing, asked) : readWhole(headers, framing, asked);
  if (reading.kind === 'body') refuseEncoding(headers, reading.facts.total, asked);
  return reading;
}

function readWhole(headers: Headers, framing: Framing, asked: Asked): Reading {
  const total = framing.kind === 'length' ? framing.bytes : null;
  if (total === 0 && !asked.mayBeEmpty)
    throw retry('SourceUnavailable', 'The server sent an empty file');
  if (headers['content-range'] !== undefined && !coversAll(headers['content-range'], total))
    throw retry('SourceRefused', 'The answer says that it is whole, and carries a Content-Range');
  const said = factsOf(headers, total);
  return {
    kind: 'body',
    start: 0,
    end: total,
    saysTotal: total !== null,
    vouches: vouchesFor(asked, said),
    // An answer of unknown length may be a page, which is not as long as the file.
    facts: { ...withKnown(said, asked.facts), total },
    changed: changeOf(asked.facts, said),
  };
}

/** It means nothing there; one that contradicts the status means that one of the two is wrong. @see RFC 9110 §14.4 */
function coversAll(contentRange: string, total: number | null): boolean {
  const range = parseContentRange(contentRange);
  return range?.start === 0 && range.end === total && range.total === total;
}

function readPartial(headers: Headers, framing: Framing, asked: Asked): Reading {
  if (!asked.isRanged) throw retry('SourceRefused', 'Answered with a part, and none was asked for');
  const range = parseContentRange(headers['content-range']);
  if (!range) throw retry('SourceRefused', 'The answer to a range has no usable Content-Range');
  if (range.start > asked.from)
    throw retry('SourceRefused', `Asked from byte ${asked.from}, answered from ${range.start}`);
  if (framing.kind === 'length' && framing.bytes !== range.end - range.start)
    throw retry('SourceRefused', 'Content-Length and Content-Range contradict each other');
  const said = factsOf(headers, range.total);
  const changed = changeOf(asked.facts, said);
  if (changed !== null) return { kind: 'changed', changed };
  return {
    kind: 'body',
    start: range.start,
    end: range.end,
    saysTotal: range.total !== null,
    vouches: vouchesFor(asked, said),
    facts: withKnown(said, asked.facts),
    changed: null,
  };
}

/** 416: the local part may be all there is. Of bytes that are here already it cannot say so. */
function readUnsatisfied(headers: Headers, asked: Asked): Reading {
  const known = asked.facts?.total ?? null;
  const total = parseUnsatisfiedRange(headers['content-range']) ?? known;
  const isAll = total === asked.have || (total === null && asked.from <= asked.have);
  const isConsistent = asked.from === asked.have && (known === null || known === total);
  if (isAll && (isConsistent || asked.isProvable)) return { kind: 'whole', total };
  return { kind: 'changed', changed: `its size is ${total ?? 'unknown'} now` };
}

function factsOf(headers: Headers, total: number | null): SourceFacts {
  return {
    total,
    etag: headers.etag ?? null,
    lastModified: headers['last-modified'] ?? null,
    disposition: headers['content-disposition'] ?? null,
  };
}

/** What an answer leaves out still holds: the next may contradict it. */
function withKnown(said: SourceFacts, known: SourceFacts | null): SourceFacts {
  return {
    total: said.total ?? known?.total ?? null,
    etag: said.etag ?? known?.etag ?? null,
    lastModified: said.lastModified ?? known?.lastModified ?? null,
    disposition: said.disposition ?? known?.disposition ?? null,
  };
}

function vouchesFor({ facts: known, isFresh }: Asked, said: SourceFacts): boolean {
  if (!tellsApart(said)) return false;
  if (known === null || (isFresh && known.etag === null && known.lastModified === null))
    return true;
  return (['etag', 'lastModified'] as const).some(
    (key) => said[key] !== null && known[key] === said[key],
  );
}

/** Would another object's answer say something else? A weak ETag may stay while bytes change. */
export function tellsApart(facts: SourceFacts): boolean {
  return pinnedBy(facts) !== null || facts.lastModified !== null;
}

function changeOf(before: SourceFacts | null, now: SourceFacts): string | null {
  if (!before) return null;
  const differs = (key: keyof SourceFacts): boolean =>
    before[key] !== null && now[key] !== null && before[key] !== now[key];
  // The bytes are the same, whatever else each of several machines says of them.
  const isPinned = pinnedBy(before) !== null && before.etag === now.etag;
  if (differs('etag') && weak(before.etag) !== weak(now.etag)) return 'its ETag changed';
  if (differs('lastModified') && !isPinned) return 'its Last-Modified changed';
  return differs('total') ? 'its size changed' : null;
}

/** A proxy between may weaken the ETag of what it passes on. @see RFC 9110 §8.8.3.2 */
function weak(etag: string | null): string | undefined {
  return etag?.replace(/^W\//, '');
}

/**
 * What other words say there, as buckets keep whatever an upload has set, says nothing of the bytes. Nor does the name of a
 * compression, as servers take it from `.gz`, where the length is known beforehand and may be right: a digest decides.
 */
export function refuseEncoding(
  headers: Headers,
  total: number | null,
  asked: Pick<Asked, 'hasDigests' | 'expectedBytes'>,
): void {
  const encoding = headers['content-encoding']?.toLowerCase() ?? '';
  if (!/\b(gzip|deflate|compress|br|zstd)\b/.test(encoding)) return;
  const mayBeMeant = total !== null && total === (asked.expectedBytes ?? total);
  if (!asked.hasDigests || !mayBeMeant)
    throw retry('SourceRefused', `The server encodes the file as ${encoding}`, { tries: 2 });
}

/** The strong ETag that names these very bytes, for If-Range; null = none does. */
export function pinnedBy(facts: SourceFacts | null): string | null {
  return facts?.etag ? strongEtag({ etag: facts.etag }) : null;
}

/** The engine's own reading of an answer that carries no data. */
export function readErrorAnswer(status: number, headers: Headers): ServiceError | Retry {
  const said = `The server answered ${status}`;
  if (status === 401 || status === 403) return new ServiceError('SourceDenied', said);
  if (status === 404 || status === 410) return new ServiceError('SourceGone', said);
  if (status === 202) return unavailable(`${said}: not ready yet`, headers);
  if (status === 429 || status === 503) return throttled(said, headers, status);
  if (status === 204 || status === 408 || status === 425 || status >= 500)
    return unavailable(said, headers);
  return new ServiceError('SourceRefused', said);
}

function unavailable(message: string, headers: Headers): ServiceError | Retry {
  const after = parseRetryAfter(headers['retry-after'], LONGEST_UNAVAILABLE_MS);
  const isNamed = after.given && after.waitMs > 0;
  if (!isNamed) return retry('SourceUnavailable', message);
  return afterWait(new ServiceError('SourceUnavailable', message, { retryAfterMs: after.waitMs }));
}

function throttled(said: string, headers: Headers, status: number): ServiceError | Retry {
  const after = parseRetryAfter(headers['retry-after'], LONGEST_RETRY_AFTER_MS);
  if (!after.given && status === 503) return retry('SourceUnavailable', said);
  return afterWait(
    new ServiceError(
      'SourceThrottled',
      after.given && after.clamped
        ? `${said} and asked for an absurd wait, taken as an hour`
        : said,
      {
        retryAfterMs: after.given ? after.waitMs : DEFAULT_RETRY_AFTER_MS,
      },
    ),
    after.given,
  );
}

/** Short waits are waited inside; longer ones are the caller's. */
export function afterWait(error: ServiceError, isGiven = true): ServiceError | Retry {
  if (!isGiven) return new Retry(error);
  const waitMs = error.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS;
  if (waitMs === 0) return new Retry(error);
  return waitMs <= LONGEST_INNER_WAIT_MS ? new Retry(error, { waitMs }) : error;
}

/** Rethrows what trying again cannot mend, and what the caller had better wait for. */
export function toRetry(error: unknown): Retry {
  if (error instanceof Retry) return error;
  const isPassing =
    isServiceError(error) && ['SourceUnavailable', 'SourceThrottled'].includes(error.code);
  if (!isPassing) throw error;
  const after = afterWait(error, error.retryAfterMs !== undefined);
  if (after instanceof Retry) return after;
  throw error;
}
