/** The pure parts: heads, ranges, waits, chunks, names, media types. */
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { algorithmsToCompute, usableChecksums } from '../../../src/transfer/checksums.js';
import { dispositionName, sanitiseFileName } from '../../../src/transfer/file-name.js';
import { ChunkedDecoder } from '../../../src/transfer/http/chunked.js';
import {
  framingOf,
  parseContentRange,
  mayBeginHead,
  parseHead,
  parseRetryAfter,
  parseUnsatisfiedRange,
  strongEtag,
} from '../../../src/transfer/http/headers.js';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import { readErrorAnswer, toRetry } from '../../../src/transfer/answer.js';
import { Retry } from '../../../src/transfer/errors.js';
import { backoffMs } from '../../../src/transfer/limits.js';
import { mediaTypeOf } from '../../../src/transfer/media-type.js';
import { chunked } from '../../support/lying-server.js';

describe('a head', () => {
  it('is read with lower-case names and joined repeats', () => {
    expect(parseHead('HTTP/1.1 200 OK\r\nA: 1\r\nb:2 \r\na:  3')).toEqual({
      status: 200,
      headers: { a: '1, 3', b: '2' },
      staysOpen: true,
    });
  });
  it.each([
    'HTTP/2 200',
    'ICY 200 OK',
    'HTTP/1.1 099 x',
    'HTTP/1.1 200 OK\r\n folded: 1',
    'HTTP/1.1 200 OK\r\nno colon',
  ])('is refused: %j', (text) => expect(() => parseHead(text)).toThrow());
  it('may fold a value into several lines', () => {
    const { headers } = parseHead('HTTP/1.1 200 OK\r\na: b\r\n \t c\r\n\td\r\ne: f\r\n ');
    expect(headers).toEqual({ a: 'b c d', e: 'f' });
  });
  it.each(['', 'H', 'HTTP/1.1 200', 'HTTP/1.1 200 OK\r', 'HTTP/1.1 200 OK\r\na: b\n'])(
    'may begin with %j',
    (text) => expect(mayBeginHead(text)).toBe(true),
  );
  it.each(['h', 'HTTP/2', '\r', '\n', 'HTTP/1.1 200 OK\n', 'SSH-2.0-x\r\n', 'ICY 200'])(
    'does not begin with %j',
    (text) => expect(mayBeginHead(text)).toBe(false),
  );
  it('makes nothing of __proto__', () => {
    const { headers } = parseHead('HTTP/1.1 200 OK\r\n__proto__: x');
    expect(Object.getPrototypeOf(headers)).toBeNull();
  });
});

describe('where a body ends', () => {
  const framing = (headers: Record<string, string>, status = 200) => framingOf({ status, headers });
  it('by length, chunks, or the connection', () => {
    expect(framing({ 'content-length': '5' })).toEqual({ kind: 'length', bytes: 5 });
    expect(framing({ 'content-length': '5, 5' })).toEqual({ kind: 'length', bytes: 5 });
    expect(framing({ 'transfer-encoding': 'Chunked' })).toEqual({ kind: 'chunked' });
    expect(framing({})).toEqual({ kind: 'close' });
    expect(framing({}, 204)).toEqual({ kind: 'length', bytes: 0 });
  });
  it.each([
    { 'content-length': '5', 'transfer-encoding': 'chunked' },
    { 'content-length': '5, 6' },
    { 'content-length': '-5' },
    { 'content-length': '1e3' },
    { 'content-length': '' },
    { 'transfer-encoding': 'gzip, chunked' },
  ])('is refused: %j', (headers) => expect(() => framing(headers as never)).toThrow());
});

describe('a wait that is asked for', () => {
  const waitOf = (status: number, after: string) => {
    const error = readErrorAnswer(status, { 'retry-after': after });
    return error instanceof Retry ? error.options.waitMs : error;
  };
  it.each([202, 408, 425, 429, 500, 502, 503, 504])('is waited after %i', (status) =>
    expect(waitOf(status, '3')).toBe(3000),
  );
  it.each([202, 429, 500, 503])('of nothing is the usual one, after %i', (status) =>
    expect(waitOf(status, '0')).toBeUndefined(),
  );
});

describe('a Content-Range', () => {
  it.each([
    ['bytes 0-9/100', { start: 0, end: 10, total: 100 }],
    ['bytes=0-9/100', { start: 0, end: 10, total: 100 }],
    ['bytes 90-99/*', { start: 90, end: 100, total: null }],
    ['bytes 0-…', null],
    ['bytes 9-0/100', null],
    ['bytes 90-100/100', null],
    ['items 0-9/100', null],
    [undefined, null],
  ])('%s', (value, range) => expect(parseContentRange(value)).toEqual(range));
  it('of a 416 states the total', () => {
    expect(parseUnsatisfiedRange('bytes */100')).toBe(100);
    expect(parseUnsatisfiedRange('bytes 0-9/100')).toBeNull();
  });
});

it('only a strong ETag pins', () => {
  expect(strongEtag({ etag: '"a"' })).toBe('"a"');
  for (const etag of ['W/"a"', 'a', '"a', '']) expect(strongEtag({ etag })).toBeNull();
  expect(strongEtag({})).toBeNull();
});

describe('Retry-After', () => {
  const nowMs = Date.parse('2025-01-01T00:00:00Z');
  it.each([
    ['5', { given: true, waitMs: 5000, clamped: false }],
    ['Wed, 01 Jan 2025 00:01:00 GMT', { given: true, waitMs: 60_000, clamped: false }],
    ['999999999999', { given: true, waitMs: 3_600_000, clamped: true }],
    ['120, 7', { given: true, waitMs: 7000, clamped: false }],
    ['-1', { given: false }],
    ['Wednesday, 01-Jan-25 00:01:00 GMT', { given: true, waitMs: 60_000, clamped: false }],
    ['Wed, 01 Jan 2020 00:00:00 GMT', { given: false }],
    ['soon', { given: false }],
    ['', { given: false }],
    [undefined, { given: false }],
  ])('%s', (value, expected) => expect(parseRetryAfter(value, 3_600_000, nowMs)).toEqual(expected));

  it.each(['UTC', 'America/New_York', 'Asia/Tokyo'])('a date without a zone, in %s', (zone) => {
    vi.stubEnv('TZ', zone);
    onTestFinished(() => void vi.unstubAllEnvs());
    const expected = { given: true, waitMs: 60_000, clamped: false };
    expect(parseRetryAfter('Wed Jan  1 00:01:00 2025', 3_600_000, nowMs)).toEqual(expected);
  });
});

it.each([
  [202, '25', 25_000],
  [502, '25', 25_000],
  [500, '999999', 300_000],
])('leaves the wait that a %i asks for to the caller: %s s', (status, after, retryAfterMs) => {
  const error = readErrorAnswer(status, { 'retry-after': after });
  expect(error).toBeInstanceOf(ServiceError);
  expect(error).toMatchObject({ code: 'SourceUnavailable', retryAfterMs });
  expect(() => toRetry(error)).toThrow(error);
});

it('waits a short wait itself', () => {
  expect(readErrorAnswer(502, { 'retry-after': '3' })).toMatchObject({
    error: { code: 'SourceUnavailable' },
    options: { waitMs: 3_000 },
  });
});

it('backs off: hardly at first, then for longer each time, half of it jitter', () => {
  const backoff = { baseMs: 100, maxMs: 2000 };
  for (let turn = 0; turn < 100; turn++) {
    expect(backoffMs(1, backoff)).toBeLessThanOrEqual(100);
    for (const [failures, ceilingMs] of [
      [2, 400],
      [3, 800],
      [4, 1600],
      [5, 2000],
      [9, 2000],
    ] as const) {
      expect(backoffMs(failures, backoff)).toBeGreaterThanOrEqual(ceilingMs / 2);
      expect(backoffMs(failures, backoff)).toBeLessThanOrEqual(ceilingMs);
    }
  }
});

describe('a chunked body', () => {
  it('comes out the same however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 20 }),
        (parts, cut) => {
          const coded = Buffer.concat([
            chunked(...parts.map((part) => Buffer.from(part))),
            Buffer.from('excess'),
          ]);
          const decoder = new ChunkedDecoder();
          const out: Buffer[] = [];
          let used = 0;
          for (let at = 0; at < coded.length && !decoder.done; at += cut)
            used += decoder.decode(coded.subarray(at, at + cut), (part) =>
              out.push(Buffer.from(part)),
            );
          expect(decoder.done).toBe(true);
          expect(used).toBe(coded.length - 'excess'.length);
          expect(Buffer.concat(out)).toEqual(Buffer.concat(parts));
        },
      ),
    );
  });
  it.each([1, 8, 16, 40])('may write its sizes with %i digits and more', (digits) => {
    const out: Buffer[] = [];
    const coded = ['f', '0'].map((size) => size.padStart(digits, '0'));
    const text = `${coded[0]}\r\n${'x'.repeat(15)}\r\n${coded[1]}\r\n\r\n`;
    const decoder = new ChunkedDecoder();
    decoder.decode(Buffer.from(text), (part) => out.push(Buffer.from(part)));
    expect(decoder.done).toBe(true);
    expect(Buffer.concat(out).toString()).toBe('x'.repeat(15));
  });
  it.each([
    'zz\r\n',
    '-1\r\n',
    '5\nhello\r\n',
    '6\r\nhello\r\n0\r\n\r\n',
    '5\r\nhelloX\r\n',
    'f'.repeat(20) + '\r\n',
    'x'.repeat(9000),
  ])('is refused: %j', (text) =>
    expect(() => new ChunkedDecoder().decode(Buffer.from(text), () => undefined)).toThrow(),
  );
});

describe('F033 a file name from a stranger', () => {
  it.each([
    ['S2A_MSIL2A.SAFE.zip', 'S2A_MSIL2A.SAFE.zip'],
    ['', 'fallback'],
    ['..', 'fallback'],
    ['...', 'fallback'],
    ['../../etc/passwd', 'etc_passwd'],
    ['/etc/passwd', 'etc_passwd'],
    ['C:\\x\\y.zip', 'C__x_y.zip'],
    ['.hidden', 'hidden'],
    ['a\0b.zip', 'ab.zip'],
    ['CON', '_CON'],
    ['con.zip', '_con.zip'],
    ['a\u202egpj.exe', 'agpj.exe'],
    ['name.zip;', 'name.zip'],
    ['a\r\nSet-Cookie: x', 'aSet-Cookie_ x'],
    ['trailing. ', 'trailing'],
    ['é.zip', 'é.zip'],
  ])('%j becomes %j', (name, clean) => expect(sanitiseFileName(name, 'fallback')).toBe(clean));
  it('of 300 characters keeps its ending', () => {
    const name = sanitiseFileName(`${'ü'.repeat(300)}.zip`, 'fallback');
    expect(name).toMatch(/^ü+\.zip$/);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(200);
  });
  it('is always one safe segment', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (name) => {
        const clean = sanitiseFileName(name, name);
        expect(clean).not.toMatch(/^[.]|[/\\\0]|^$/);
        expect(Buffer.byteLength(clean)).toBeLessThanOrEqual(201);
      }),
    );
  });
});

describe('a Content-Disposition', () => {
  it.each([
    ['attachment; filename=A.SAFE.zip', 'A.SAFE.zip'],
    ['attachment; filename="a \\"b\\".zip"', 'a "b".zip'],
    ["attachment; filename=x.zip; filename*=UTF-8''%C3%A9.zip", 'é.zip'],
    ["attachment; filename=x.zip; filename*=UTF-8''%ff", 'x.zip'],
    ['attachment; filename=a.zip ;', 'a.zip'],
    ['inline', null],
    [null, null],
  ])('%s', (value, name) => expect(dispositionName(value)).toBe(name));
});

describe('what bytes are', () => {
  it.each([
    ['PK\x03\x04', 'application/zip'],
    ['\x1f\x8b', 'application/gzip'],
    ['\x89HDF\r\n\x1a\n', 'application/x-hdf5'],
    ['II*\0', 'image/tiff'],
    ['<?xml version="1.0"?><a/>', 'application/xml'],
    ['\n  <!DOCTYPE html>', 'text/html'],
    ['<html lang=en>', 'text/html'],
    ['<!-- x --> <HTML>', 'text/html'],
    ['{"error":1}', 'application/json'],
    ['[]', 'application/json'],
    ['', 'application/octet-stream'],
    ['nope', 'application/octet-stream'],
  ])('%j is %s', (text, type) => expect(mediaTypeOf(Buffer.from(text, 'latin1'))).toBe(type));
});

describe('F020 text that is made to be read for ever', () => {
  // each takes minutes where an expression tries all the ways to read it
  const LONGEST_MS = 2_000;
  it.each([
    ['comments', () => mediaTypeOf(Buffer.from('<!---->'.repeat(32)))],
    ['a header of blanks', () => parseHead(`HTTP/1.1 200 OK\r\nx: a${' '.repeat(60_000)}a`)],
    ['a header of folds', () => parseHead(`HTTP/1.1 200 OK\r\nx: a${'\r\n '.repeat(20_000)}a`)],
    ['a name of underscores', () => sanitiseFileName(`a${'_'.repeat(60_000)}a`)],
    ['a name of blanks', () => sanitiseFileName(`a${' '.repeat(60_000)}a`)],
    ['a disposition', () => dispositionName(`attachment${'; filename'.repeat(6_000)}`)],
    ['blanks in a disposition', () => dispositionName(`attachment;${' '.repeat(60_000)}`)],
  ])('%s', (_, read) => {
    const startMs = performance.now();
    read();
    expect(performance.now() - startMs).toBeLessThan(LONGEST_MS);
  });
  it('comments before a page are still those of a page', () =>
    expect(mediaTypeOf(Buffer.from('<!-- a -- b --> <!----><html>'))).toBe('text/html'));
  it('blanks around a value are none of it', () =>
    expect(parseHead('HTTP/1.1 200 OK\r\na: \t b  c \t\r\nd:').headers).toEqual({
      a: 'b  c',
      d: '',
    }));
});

it('computes what is announced and asked for, else SHA-256', () => {
  expect(algorithmsToCompute([])).toEqual(['sha256']);
  expect(algorithmsToCompute([{ algorithm: 'md5', value: 'x' }], ['blake3'])).toEqual([
    'blake3',
    'md5',
  ]);
  expect(
    usableChecksums([
      { algorithm: 'md5', value: ' D41D8CD98F00B204E9800998ECF8427E ' },
      { algorithm: 'md5', value: 'd41d8cd98f00b204e9800998ecf8427e' },
      { algorithm: 'md5', value: null as never },
    ]),
  ).toEqual([{ algorithm: 'md5', value: 'd41d8cd98f00b204e9800998ecf8427e' }]);
});
