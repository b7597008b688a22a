import { describe, expect, it } from 'vitest';
import { productSchema } from '../../../src/jobs/product.js';
import {
  odataPageSchema,
  odataProductSchema,
} from '../../../src/providers/copernicus/odata-schemas.js';
import { collectionOf, toProduct } from '../../../src/providers/copernicus/product-mapping.js';
import { toRecord, uuidOf } from './fake-catalogue.js';

const record = (extra: Record<string, unknown>) =>
  toRecord({ id: uuidOf(1), startUs: 0, publishedUs: 0, extra });
const map = (extra: Record<string, unknown>) =>
  toProduct(odataProductSchema.parse(record(extra)), 'SENTINEL-2', {
    query: 'q',
    answer_sha256: 'd',
  });

const MD5 = 'ABCDEF0123456789abcdef0123456789';

describe('a record of the catalogue becomes a product', () => {
  it.each([0, -1, null, undefined, 'many', 1.5, Number.MAX_SAFE_INTEGER + 1])(
    'with unknown size for a length of %s',
    (length) => expect(map({ ContentLength: length }).bytes).toBeNull(),
  );

  it.each([
    ['an empty list', []],
    ['an empty object', [{}]],
    ['null', null],
    ['a digest of another length', [{ Algorithm: 'MD5', Value: 'abc' }]],
    ['a digest that is not hexadecimal', [{ Algorithm: 'MD5', Value: 'z'.repeat(32) }]],
    ['an unknown algorithm', [{ Algorithm: 'CRC32', Value: 'abcdef01' }]],
  ])('F053 without checksums for %s', (_, checksums) =>
    expect(map({ Checksum: checksums }).checksums).toEqual([]),
  );

  it('F053 with lower-case digests, the newest of each algorithm', () => {
    const older = { Algorithm: 'MD5', Value: '0'.repeat(32), ChecksumDate: '2024-01-01T00:00:00Z' };
    const newer = { Algorithm: 'MD5', Value: MD5, ChecksumDate: '2025-01-01T00:00:00Z' };
    const blake = { Algorithm: 'BLAKE3', Value: 'A'.repeat(64), ChecksumDate: '' };
    expect(map({ Checksum: [blake, older, {}, newer] }).checksums).toEqual([
      { algorithm: 'md5', value: MD5.toLowerCase() },
      { algorithm: 'blake3', value: 'a'.repeat(64) },
    ]);
  });

  it.each([
    ['2020-08-08T01:03:11.024000Z', '2020-08-08T01:03:11.024000Z'],
    ['2020-08-08T01:03:11.024+00:00', '2020-08-08T01:03:11.024Z'],
    ['2020-08-08T01:03:11.024', '2020-08-08T01:03:11.024Z'],
    ['2020-08-08T03:03:11.024+02:00', '2020-08-08T01:03:11.024Z'],
  ])('with times in UTC: %s is %s', (given, expected) => {
    const product = map({ PublicationDate: given, ContentDate: { Start: given } });
    expect([product.published_at, product.acquired_at]).toEqual([expected, expected]);
  });

  it('with attributes whose declared type contradicts their value', () => {
    const attribute = (Name: string, Value: unknown) => ({ Name, Value, ValueType: 'Integer' });
    const product = map({
      Attributes: [
        attribute('cloudCover', '12.5'),
        attribute('odd', '2.3'),
        attribute('x', {}),
        null,
      ],
    });
    expect(product.cloud_cover).toBe(12.5);
    expect(product.attributes).toEqual({ cloudCover: '12.5', odd: '2.3' });
  });

  it('with a wrapped single polygon, a quicklook and what else the port promises', () => {
    const ring = [[0, 0], [1, 0], [1, 1], [0, 0]]; // prettier-ignore
    const product = map({
      GeoFootprint: { type: 'MultiPolygon', coordinates: [[ring]] },
      Assets: [{ Type: 'QUICKLOOK', DownloadLink: 'https://c.test/Assets(1)/$value' }],
      Online: false,
    });
    expect(productSchema.parse(product)).toEqual(product);
    expect(product.footprint?.type).toBe('Polygon');
    expect(product.quicklook).toBe('https://c.test/Assets(1)/$value');
    expect(product.online).toBe(false);
  });

  it('without a quicklook whose address is a script', () =>
    expect(
      map({ Assets: [{ Type: 'QUICKLOOK', DownloadLink: 'javascript:alert(1)' }] }).quicklook,
    ).toBeNull());

  it('of the collection that its path names', () => {
    const of = (extra: Record<string, unknown>) =>
      collectionOf(odataProductSchema.parse(record(extra)));
    expect(of({ S3Path: '/eodata/Sentinel-1/AUX/AUX_POEORB/x.EOF' })).toBe('SENTINEL-1');
    expect(of({ Attributes: [{ Name: 'platformShortName', Value: 'SENTINEL-3' }] })).toBe(
      'SENTINEL-3',
    );
    expect(of({})).toBeNull();
  });
});

describe('a page is refused as a whole', () => {
  const page = (extra: Record<string, unknown>) =>
    odataPageSchema.safeParse({ value: [record({}), record(extra)] }).success;

  it.each([
    ['an id that is no UUID', { Id: "x')/$value" }],
    ['a missing name', { Name: undefined }],
    ['an unreadable sensing time', { ContentDate: { Start: 'soon' } }],
    ['a footprint of an unknown kind', { GeoFootprint: { type: 'Blob', coordinates: [] } }],
  ])('for %s', (_, extra) => expect(page(extra)).toBe(false));

  it.each([-1, 'many', 1.5, null])('not for a count of %s, which is a hint', (count) =>
    expect(odataPageSchema.parse({ value: [], '@odata.count': count })['@odata.count']).toBeNull(),
  );
});
