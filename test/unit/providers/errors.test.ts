import { describe, expect, it } from 'vitest';
import {
  catalogueError,
  downloadError,
  oneLine,
  readErrorBody,
  retryAfterMs,
} from '../../../src/providers/copernicus/errors.js';

const NOW = Date.UTC(2026, 0, 1);

describe('the six shapes of error body', () => {
  it.each([
    [
      'identity',
      { error: 'invalid_grant', error_description: 'Invalid user credentials' },
      'invalid_grant',
      'Invalid user credentials',
    ],
    [
      'download',
      { 'trace-id': '1', code: 'DAT-ZIP-100', message: 'Max session number exceeded' },
      'DAT-ZIP-100',
      'Max session number exceeded',
    ],
    [
      'wrong parameter',
      { detail: [{ loc: ['query', '$skip'], msg: 'Input should be less' }] },
      null,
      'query.$skip: Input should be less',
    ],
    ['wrong filter, text', { detail: 'Invalid field' }, null, 'Invalid field'],
    [
      'wrong filter, object',
      { detail: { message: 'Unknown collection', code: 'X' } },
      'X',
      'Unknown collection',
    ],
    [
      'gateway',
      { error: 'WAF', message: 'Rate limit exceeded', status: 429 },
      'WAF',
      'Rate limit exceeded',
    ],
    [
      'OpenSearch',
      { detail: { ErrorMessage: 'No such thing', ErrorCode: 'NF', ErrorDetail: {} } },
      'NF',
      'No such thing',
    ],
    [
      'old STAC',
      { code: 'NotFoundError', description: 'Item not found', request_id: '1' },
      'NotFoundError',
      'Item not found',
    ],
  ])('of %s is read', (_, body, code, text) => {
    expect(readErrorBody(JSON.stringify(body))).toEqual({ code, text });
  });

  it.each([
    ['<html><script>alert(1)</script></html>', 'a page of HTML instead of JSON'],
    ['', 'no explanation'],
    ['plain words', 'plain words'],
    ['[1,2]', '[1,2]'],
    ['{"code":7}', '{"code":7}'],
  ])('and anything else is described: %s', (body, text) =>
    expect(readErrorBody(body)).toEqual({ code: null, text }),
  );

  it('F140 puts foreign text on one short line', () => {
    expect(oneLine('a\r\n\u001b[31mb\u202e\u2028c')).toBe('a [31mb c');
    expect(oneLine('x'.repeat(5000)).length).toBeLessThan(400);
  });
});

describe('F040 Retry-After', () => {
  it.each([
    ['7', 7_000],
    ['120, 7', 7_000],
    ['0', 1_000],
    ['-5', 10_000],
    ['315360000', 3_600_000],
    [new Date(NOW + 60_000).toUTCString(), 60_000],
    [new Date(NOW - 60_000).toUTCString(), 1_000],
    ['soon', 10_000],
    [undefined, 10_000],
  ])('%s means %i ms', (header, expected) => expect(retryAfterMs(header, NOW)).toBe(expected));
});

describe('an error answer of the catalogue', () => {
  it.each([
    [500, {}, 'SourceUnavailable'],
    [502, {}, 'SourceUnavailable'],
    [503, { 'retry-after': '3' }, 'SourceThrottled'],
    [503, {}, 'SourceUnavailable'],
    [429, {}, 'SourceThrottled'],
    [400, {}, 'InvalidInput'],
    [422, {}, 'InvalidInput'],
    [401, {}, 'SourceDenied'],
    [403, {}, 'SourceDenied'],
    [404, {}, 'NotFound'],
    [301, {}, 'SourceRefused'],
    [204, {}, 'SourceRefused'],
  ])('of status %i %j is %s', (status, headers, code) =>
    expect(catalogueError({ status, headers, body: '' }, 'c.test', NOW).code).toBe(code),
  );
});

describe('an error answer of the download host', () => {
  const read = (status: number, body: unknown, headers = {}) =>
    downloadError({ status, headers, body: JSON.stringify(body) }, 'P.SAFE', 'd.test', NOW);

  it.each([
    [429, { code: 'DAT-ZIP-100', message: 'Max session number exceeded' }, 'SourceThrottled'],
    [429, { error: 'WAF', message: 'Rate limit exceeded' }, 'SourceThrottled'],
    [401, { code: 'DAT-ZIP-609', message: 'Token audience not allowed' }, 'SourceDenied'],
    [403, { message: 'no' }, 'SourceDenied'],
    [400, { code: 'DAT-ZIP-104', message: 'Bad path' }, 'SourceRefused'],
    [422, { code: 'DAT-ZIP-111', message: 'Bad id' }, 'SourceRefused'],
    [404, { code: 'DAT-ZIP-915', message: 'Nothing to stream' }, 'SourceGone'],
    [404, {}, 'SourceGone'],
    [410, {}, 'SourceGone'],
    [404, { message: 'Product is offline' }, 'SourceOffline'],
    [
      404,
      { code: 'DAT-ZIP-915', message: 'Nothing to stream: product is offline' },
      'SourceOffline',
    ],
    [202, {}, 'SourceOffline'],
  ])('of status %i %j is %s', (status, body, code) =>
    expect(read(status, body)).toMatchObject({
      code,
      message: expect.stringMatching(/P\.SAFE|d\.test/),
    }),
  );

  it.each([
    [401, { code: 'DAT-ZIP-109', message: 'Token is expired' }],
    [401, { code: 'DAT-ZIP-604', message: 'Token not found' }],
    [401, {}],
    [500, {}],
    [503, {}],
    [416, {}],
  ])('of status %i %j is left to the engine', (status, body) =>
    expect(read(status, body)).toBeNull(),
  );

  it('asks for a short pause when all slots are taken, since one frees when a transfer ends', () =>
    expect(read(429, { code: 'DAT-ZIP-100', message: '' })).toMatchObject({ retryAfterMs: 5_000 }));

  it('tells what to do about a product on tape', () =>
    expect(read(202, {})!.message).toContain('order it in the Copernicus Data Workspace'));
});
