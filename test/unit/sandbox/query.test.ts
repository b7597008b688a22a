import { describe, expect, it } from 'vitest';
import { parseRange } from '../../../src/sandbox/http/range.js';
import { nextLink, parseQuery, type ProductQuery } from '../../../src/sandbox/odata/query.js';

const address = 'http://catalogue/odata/v1/Products';

function query(options: string): ProductQuery {
  const parsed = parseQuery(new URLSearchParams(options));
  if ('status' in parsed) throw new Error(`refused with ${parsed.status}`);
  return parsed;
}

function refusal(options: string): { status: number; body: any } {
  const parsed = parseQuery(new URLSearchParams(options));
  if (!('status' in parsed)) throw new Error('not refused');
  return { status: parsed.status, body: JSON.parse((parsed.body as Buffer).toString()) };
}

describe('query options', () => {
  it('have the defaults of the service', () => {
    expect(query('')).toMatchObject({ top: 20, skip: 0, count: false, expand: [], order: null });
  });

  it('take $count as True, true and 1, and $expand repeated', () => {
    for (const value of ['True', 'true', '1']) expect(query(`$count=${value}`).count).toBe(true);
    expect(query('$count=False').count).toBe(false);
    expect(query('$expand=Assets&$expand=Attributes').expand).toEqual(['Assets', 'Attributes']);
  });

  it('refuse a $skip above 10000 in the recorded words', () => {
    expect(refusal('%24skip=10001')).toEqual({
      status: 422,
      body: {
        detail: [
          {
            type: 'less_than_equal',
            loc: ['query', '$skip'],
            msg: 'Input should be less than or equal to 10000',
            input: '10001',
            ctx: { le: 10000 },
          },
        ],
      },
    });
  });

  it('refuse what is out of bounds or unknown', () => {
    expect(refusal('$top=1001').status).toBe(422);
    expect(refusal('$top=x').status).toBe(422);
    expect(refusal('$skip=-1').status).toBe(422);
    expect(refusal('$orderby=Name').status).toBe(422);
    expect(refusal('$orderby=PublicationDate sideways').status).toBe(422);
    expect(refusal('$expand=Everything').status).toBe(422);
    expect(refusal('$filter=Name').status).toBe(400);
  });
});

describe('the next link', () => {
  it('repeats the query, moves $skip in its place and keeps $count', () => {
    const sent = query('$filter=Online eq true&$skip=10&$top=10&$count=true');
    expect(nextLink(sent, 10, address)).toBe(
      `${address}?%24filter=Online+eq+true&%24skip=20&%24top=10&%24count=true`,
    );
  });

  it('has only $skip=20 when no $top was sent', () => {
    expect(nextLink(query('$orderby=PublicationDate'), 20, address)).toBe(
      `${address}?%24orderby=PublicationDate&%24skip=20`,
    );
  });

  it('is absent after a page that is not full', () => {
    expect(nextLink(query('$top=10'), 9, address)).toBeNull();
  });

  it('is absent where skip plus top passes 10000, although more may exist', () => {
    expect(nextLink(query('$top=1000&$skip=9000'), 1000, address)).toContain('skip=10000');
    expect(nextLink(query('$top=1000&$skip=9500'), 1000, address)).toBeNull();
    expect(nextLink(query('$top=1000&$skip=10000'), 1000, address)).toBeNull();
  });

  it('rewrites some time literals and leaves others', () => {
    const filter =
      'ContentDate/Start gt 2014-04-05T00:00:00.000Z and ContentDate/Start lt 2014-04-14T00:00:00.000Z';
    const next = new URL(nextLink(query(`$filter=${filter}&$top=1`), 1, address)!);
    expect(next.searchParams.get('$filter')).toBe(
      'ContentDate/Start gt 2014-04-05T00:00:00.000Z and ContentDate/Start lt 2014-04-14T00:00:00.000000Z',
    );
  });
});

describe('ranges', () => {
  it.each([
    ['bytes=0-9', { start: 0, end: 10 }],
    ['bytes=90-', { start: 90, end: 100 }],
    ['bytes=90-500', { start: 90, end: 100 }],
    ['bytes=-10', { start: 90, end: 100 }],
    ['bytes=-500', { start: 0, end: 100 }],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=9-3', null],
    ['bytes=0-1,5-6', null],
    ['items=0-1', null],
    ['bytes=-', null],
    [undefined, null],
  ])('%s of 100 bytes', (header, expected) => {
    expect(parseRange(header, 100)).toEqual(expected);
  });
});
