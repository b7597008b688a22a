import { describe, expect, it } from 'vitest';
import { parseAoi } from '../../../src/geo/parse-aoi.js';
import type { SearchDownloadInput } from '../../../src/jobs/request.js';
import { createSearch } from '../../../src/providers/copernicus/search.js';
import { createFakeHttp, createTestClock, never, searchRequest } from './doubles.js';
import { toRecord, uuidOf } from './fake-catalogue.js';

const START_US = Date.UTC(2025, 0, 1) * 1000;

/** One search over one answer. */
function searchIn(body: unknown, changes: Partial<SearchDownloadInput> = {}, wkt?: string) {
  const sent: string[] = [];
  const search = createSearch({
    baseUrl: 'https://catalogue.test',
    http: createFakeHttp(({ url }) => {
      sent.push(url);
      return { status: 200, body };
    }),
    clock: createTestClock(),
  });
  const aoi = wkt === undefined ? null : parseAoi({ wkt });
  return search(searchRequest(changes), aoi, null, never).then((page) => ({ ...page, sent }));
}

const square = (west: number, south: number, size: number) => ({
  type: 'Polygon',
  coordinates: [
    [
      [west, south],
      [west + size, south],
      [west + size, south + size],
      [west, south + size],
      [west, south],
    ],
  ],
});
const list = (...extras: Record<string, unknown>[]) => ({
  value: extras.map((extra, index) =>
    toRecord({ id: uuidOf(index), startUs: START_US + index, publishedUs: 0, extra }),
  ),
});
const link = (address: string) => ({ ...list({}), '@odata.nextLink': address });
const clouds = (Value: unknown) => ({ Attributes: [{ Name: 'cloudCover', Value }] });

describe('F028 a nextLink', () => {
  it.each([
    ['to another host', 'https://evil.test/odata/v1/Products?$skip=1000'],
    ['without encryption', 'http://catalogue.test/odata/v1/Products?$skip=1000'],
    ['that is no address', 'http://'],
    ['to the page it stands on', 'https://catalogue.test/odata/v1/Products?$top=1000'],
    ['back', 'https://catalogue.test/odata/v1/Products?%24skip=0'],
    ['nowhere', 'https://catalogue.test/odata/v1/Products?$skip=many'],
  ])('%s is refused', async (_, address) => {
    await expect(searchIn(link(address))).rejects.toMatchObject({ code: 'SourceRefused' });
  });

  it('is followed by its depth', async () => {
    const page = await searchIn(link('https://catalogue.test/odata/v1/Products?%24skip=1000'));
    expect(page.next).toMatchObject({ skip: 1000 });
  });

  it('with a whole query in it keeps the cursor small', async () => {
    const address = `https://catalogue.test/odata/v1/Products?$filter=${'x'.repeat(8000)}&$skip=1000`;
    expect(JSON.stringify((await searchIn(link(address))).next).length).toBeLessThan(300);
  });
});

describe('what a search returns', () => {
  const AREA = 'POLYGON((0 0,10 0,10 10,9 10,9 1,0 1,0 0))';

  it('lies in the exact area, not only in its box', async () => {
    const inside = { GeoFootprint: square(9.2, 5, 0.5) };
    const inBoxOnly = { GeoFootprint: square(2, 5, 1) };
    const { products } = await searchIn(list(inside, inBoxOnly), {}, AREA);
    expect(products.map(({ id }) => id)).toEqual([uuidOf(0)]);
  });

  it('has a footprint, unless no area was given', async () => {
    expect((await searchIn(list({}), {}, AREA)).products).toEqual([]);
    expect((await searchIn(list({}))).products).toHaveLength(1);
  });

  it('keeps what the catalogue matched by a footprint that cannot be read', async () => {
    const odd = { GeoFootprint: { type: 'Polygon', coordinates: [[['x']]] } };
    expect((await searchIn(list(odd), {}, AREA)).products).toMatchObject([{ footprint: null }]);
  });

  it('does not match everywhere when its footprint crosses the antimeridian', async () => {
    const across = {
      GeoFootprint: {
        type: 'Polygon',
        coordinates: [[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]], // prettier-ignore
      },
    };
    expect((await searchIn(list(across), {}, AREA)).products).toEqual([]);
    const there = 'POLYGON((179.5 0.2,180 0.2,180 0.8,179.5 0.8,179.5 0.2))';
    expect((await searchIn(list(across), {}, there)).products).toHaveLength(1);
  });

  it('is no cloudier than asked, and says how cloudy it is', async () => {
    const body = list(clouds(5), clouds(20), clouds(20.5), clouds(-1), {});
    const { products } = await searchIn(body, { cloud_cover_max: 20 });
    expect(products.map((product) => product.cloud_cover)).toEqual([5, 20]);
  });

  it('is of the type asked for', async () => {
    const type = (Value: string) => ({ Attributes: [{ Name: 'productType', Value }] });
    const { products } = await searchIn(list(type('S2MSI1C'), type('S2MSI2A')), {
      product_type: 'S2MSI2A',
    });
    expect(products.map((product) => product.product_type)).toEqual(['S2MSI2A']);
  });

  it('carries the address that was asked and the digest of the answer', async () => {
    const page = await searchIn(list({}));
    expect(page.products[0]!.lineage).toEqual({
      query: page.sent[0],
      answer_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(page.query).toBe(page.sent[0]);
  });
});

describe('what a search asks', () => {
  it('F029 does not ask for a count', async () => {
    const { sent, totalHint } = await searchIn(list({}));
    expect(sent[0]).not.toContain('$count');
    expect(totalHint).toBeNull();
  });

  it('fits into an address although the area has thousands of vertices', async () => {
    const ring = Array.from({ length: 3000 }, (_, index) => {
      const angle = (2 * Math.PI * index) / 3000;
      const radius = index % 2 === 0 ? 10 : 9;
      return `${(radius * Math.cos(angle)).toFixed(7)} ${(radius * Math.sin(angle)).toFixed(7)}`;
    });
    const { sent } = await searchIn(list({}), {}, `POLYGON((${[...ring, ring[0]].join(',')}))`);
    expect(sent[0]!.length).toBeLessThan(8000);
  });

  it('refuses a cursor that is not its own', async () => {
    const search = createSearch({
      baseUrl: 'https://catalogue.test',
      http: createFakeHttp(() => ({ status: 200, body: list() })),
      clock: createTestClock(),
    });
    await expect(search(searchRequest(), null, { page: 2 }, never)).rejects.toMatchObject({
      code: 'InvalidInput',
    });
  });
});
