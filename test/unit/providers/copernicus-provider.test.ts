import { afterAll, describe, expect, it } from 'vitest';
import { createProviders, providerOf } from '../../../src/providers/registry.js';
import { odataProductSchema } from '../../../src/providers/copernicus/odata-schemas.js';
import { toProduct } from '../../../src/providers/copernicus/product-mapping.js';
import { searchRequest } from './doubles.js';
import { toRecord, uuidOf } from './fake-catalogue.js';

const settings = {
  baseUrl: 'https://catalogue.test',
  downloadUrl: 'http://127.0.0.1:4040',
  tokenUrl: 'https://identity.test/token',
  username: null,
  password: null,
  connections: 4,
};
const providers = createProviders({ copernicus: settings });
const copernicus = providerOf(providers, 'copernicus');
afterAll(async () => {
  for (const provider of providers.values()) await provider.close();
});

const product = (extra: Record<string, unknown>) =>
  toProduct(
    odataProductSchema.parse(toRecord({ id: uuidOf(3), startUs: 0, publishedUs: 0, extra })),
    'SENTINEL-2',
    { query: '', answer_sha256: '' },
  );

describe('the registry', () => {
  it('refuses an unknown provider, listing the known ones', () =>
    expect(() => providerOf(providers, 'copernikus')).toThrow(
      expect.objectContaining({
        code: 'InvalidInput',
        message: 'There is no provider copernikus; there is copernicus',
      }),
    ));
});

describe('a request', () => {
  it('for a known collection is taken, whatever its product type', () =>
    expect(() => copernicus.validate(searchRequest({ product_type: 'BRAND_NEW' }))).not.toThrow());

  it('for an unknown collection is refused, listing the known ones', () =>
    expect(() => copernicus.validate(searchRequest({ collection: 'SENTINEL-9' }))).toThrow(
      expect.objectContaining({
        code: 'InvalidInput',
        details: {
          errors: [
            {
              path: 'collection',
              message: expect.stringMatching(/SENTINEL-9.*SENTINEL-1, .*SENTINEL-2/),
            },
          ],
        },
      }),
    ));

  it('for radar without clouds is refused instead of finding nothing', () =>
    expect(() =>
      copernicus.validate(searchRequest({ collection: 'SENTINEL-1', cloud_cover_max: 10 })),
    ).toThrow(expect.objectContaining({ code: 'InvalidInput' })));
});

describe('the source of a product', () => {
  it('is the download host itself, trusted together with the catalogue', () => {
    const source = copernicus.source(product({}));
    expect(source).toMatchObject({
      key: `copernicus/${uuidOf(3)}/$value`,
      url: `http://127.0.0.1:4040/odata/v1/Products(${uuidOf(3)})/$value`,
      trustedHosts: ['127.0.0.1:4040', 'catalogue.test:443'],
      plainHttpHosts: ['127.0.0.1:4040'],
      expectedBytes: 1234,
    });
  });

  it.each([
    ['X.SAFE', 'X.SAFE.zip'],
    ['X.SEN3', 'X.SEN3.zip'],
    ['X.EOF', 'X.EOF'],
    ['X.nc', 'X.nc'],
  ])('names the file of %s %s where the server does not', (Name, expected) =>
    expect(copernicus.source(product({ Name })).fallbackName).toBe(expected),
  );

  it('of an offline product does not exist, and the error says what to do', () =>
    expect(() => copernicus.source(product({ Online: false }))).toThrow(
      expect.objectContaining({
        code: 'SourceOffline',
        message: expect.stringContaining('Copernicus Data Workspace'),
      }),
    ));
});
