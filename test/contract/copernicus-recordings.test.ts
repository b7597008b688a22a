/** The Copernicus adapter on recorded answers of the real service. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { afterEach, describe, expect, it } from 'vitest';
import { productSchema, type Product } from '../../src/jobs/product.js';
import { searchDownloadRequestSchema } from '../../src/jobs/request.js';
import { createCopernicus } from '../../src/providers/copernicus/copernicus.provider.js';
import { catalogueError, downloadError } from '../../src/providers/copernicus/errors.js';
import {
  odataPageSchema,
  tokenAnswerSchema,
} from '../../src/providers/copernicus/odata-schemas.js';
import { collectionOf, toProduct } from '../../src/providers/copernicus/product-mapping.js';
import type { Provider, SearchCursor } from '../../src/providers/provider.js';
import { hasShared, sharedPath } from '../support/shared.js';

const RECORDINGS = 'providers/recordings/copernicus';
const never = new AbortController().signal;

if (!hasShared) console.warn('copernicus recordings: skipped, ../shared is not there');

const read = (path: string) =>
  JSON.parse(readFileSync(sharedPath(`${RECORDINGS}/${path}`), 'utf8')) as Record<string, any>;

/** The page itself, without what was recorded around it. */
const pageOf = (file: string) => {
  const recording = read(`odata/${file}`);
  return (recording['response']?.body ?? recording) as Record<string, any>;
};

const pageFiles = hasShared
  ? readdirSync(sharedPath(`${RECORDINGS}/odata`)).filter((file) => !file.startsWith('attributes'))
  : [];

function productsOf(file: string): Product[] {
  return odataPageSchema
    .parse(pageOf(file))
    .value.map((item) =>
      toProduct(item, collectionOf(item) ?? 'UNKNOWN', { query: file, answer_sha256: '' }),
    );
}

describe.skipIf(!hasShared)('the recorded pages (skipped without ../shared)', () => {
  it.each(pageFiles)('%s is read, each product of it', (file) => {
    const products = productsOf(file);
    expect(products).toHaveLength(pageOf(file)['value'].length);
    for (const product of products) {
      expect(productSchema.parse(product)).toEqual(product);
      expect(product.collection).toMatch(/^SENTINEL-[12]$/);
      expect(product.bytes).toBeGreaterThan(0);
      expect(product.checksums.map(({ algorithm }) => algorithm).sort()).toEqual(['blake3', 'md5']);
    }
  });

  it('tell clouds, type, quicklook and footprint of Sentinel-2', () => {
    const [product] = productsOf('s2-l1c-two-items.json');
    expect(product).toMatchObject({
      product_type: 'S2MSI1C',
      cloud_cover: 95.136736479015,
      acquired_at: '2020-08-08T01:03:11.024000Z',
      quicklook: expect.stringMatching(/^https:.*\/Assets\(/),
      footprint: { type: 'Polygon' },
    });
  });

  it('give the real digests of real bytes', () => {
    const [orbit] = productsOf('orbit-poeorb-2020-with-headers.json');
    const bytes = gunzipSync(readFileSync(sharedPath(`scenes/orbits/${orbit!.name}.gz`)));
    expect(bytes.length).toBe(orbit!.bytes);
    expect(orbit!.checksums).toEqual(
      expect.arrayContaining([
        { algorithm: 'md5', value: createHash('md5').update(bytes).digest('hex') },
        { algorithm: 'blake3', value: new Blake3Hasher().update(bytes).digest('hex') },
      ]),
    );
    expect(orbit!.footprint).toBeNull();
  });
});

const servers: Server[] = [];
const providers: Provider[] = [];
afterEach(async () => {
  for (const provider of providers.splice(0)) await provider.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Serves pages by `$skip`, their links led to loopback; a page that was not recorded is empty. */
async function replay(pages: Record<string, Record<string, any>>) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const base = `http://${request.headers.host}`;
    const { searchParams } = new URL(request.url!, base);
    asked.push(searchParams.get('$skip') ?? '0');
    const page = pages[searchParams.get('$skip') ?? '0'] ?? { value: [] };
    const text = JSON.stringify(page).replace(
      /("@odata\.nextLink":")https:\/\/catalogue\.dataspace\.copernicus\.eu/,
      `$1${base}`,
    );
    response.setHeader('content-type', 'application/json').end(text);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = createCopernicus({
    baseUrl,
    downloadUrl: baseUrl,
    tokenUrl: `${baseUrl}/token`,
    username: null,
    password: null,
    connections: 4,
    pageSize: 10,
  });
  providers.push(provider);
  return { provider, asked };
}

describe.skipIf(!hasShared)('a search over recorded pages (skipped without ../shared)', () => {
  it('follows the recorded links and lists every product once', async () => {
    const pages = { 0: pageOf('s1-page-1.json'), 10: pageOf('s1-page-2.json'), 20: pageOf('s1-page-3.json') }; // prettier-ignore
    const { provider, asked } = await replay(pages);
    const request = searchDownloadRequestSchema.parse({
      provider: 'copernicus',
      collection: 'SENTINEL-1',
      start_date: '2014-04-05',
      end_date: '2014-04-13',
      aoi: { global: true },
    });
    const found: Product[] = [];
    let cursor: SearchCursor | null = null;
    let hint: number | null = null;
    do {
      const page = await provider.search(request, null, cursor, never);
      found.push(...page.products);
      hint ??= page.totalHint;
      cursor = page.next;
    } while (cursor !== null);
    const recorded = Object.values(pages).flatMap((page) => page['value'].map(({ Id }: any) => Id));
    expect(found.map(({ id }) => id)).toEqual(recorded);
    expect(new Set(recorded).size).toBe(30);
    expect(asked).toEqual(['0', '10', '20', '30']);
    expect(hint).toBe(47);
  });

  it('F028 refuses a recorded link led to another host', async () => {
    const page = pageOf('s1-page-1.json');
    const elsewhere = { ...page, '@odata.nextLink': `${page['@odata.nextLink']}`.replace('https://catalogue', 'https://catalog') }; // prettier-ignore
    const { provider } = await replay({ 0: elsewhere });
    const request = searchDownloadRequestSchema.parse({
      provider: 'copernicus',
      collection: 'SENTINEL-1',
      start_date: '2014-04-05',
      end_date: '2014-04-13',
      aoi: { global: true },
    });
    await expect(provider.search(request, null, null, never)).rejects.toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('catalog.dataspace.copernicus.eu'),
    });
  });
});

describe.skipIf(!hasShared)('the recorded download (skipped without ../shared)', () => {
  it.each(['value-orbit-headers.json', 'value-orbit-headers-2.json'])(
    '%s bears the name that a file gets where no header tells it',
    (file) => {
      const { headers } = read(`download/${file}`)['response'];
      const [, filename] = /filename=(.*)$/.exec(headers['content-disposition'])!;
      const [orbit] = productsOf('orbit-poeorb-2020-with-headers.json');
      const provider = createCopernicus({
        baseUrl: 'https://c.test',
        downloadUrl: 'https://d.test',
        tokenUrl: 'https://i.test',
        username: null,
        password: null,
        connections: 1,
      });
      providers.push(provider);
      expect(provider.source({ ...orbit!, name: filename! }).fallbackName).toBe(filename);
    },
  );
});

describe.skipIf(!hasShared)('the recorded token (skipped without ../shared)', () => {
  it('is read', () => {
    const { body } = read('identity/token-password-grant.redacted.json')['response'];
    const answer = { ...body, access_token: 'a.b.c', refresh_token: 'd.e.f' };
    expect(tokenAnswerSchema.parse(answer)).toMatchObject({
      expires_in: 600,
      refresh_expires_in: 3600,
    });
  });
});

/** By service, status and the body's own code. */
const EXPECTED: Record<string, string | null> = {
  'download 401 DAT-ZIP-604': null,
  'download 401 DAT-ZIP-109': null,
  'download 401 DAT-ZIP-609': 'SourceDenied',
  'download 429 DAT-ZIP-100': 'SourceThrottled',
  'catalogue 422 -': 'InvalidInput',
  'stac 429 WAF': 'SourceThrottled',
};

interface ObservedError {
  service: string;
  request: string;
  status: number;
  body: Record<string, string>;
}
const observed: ObservedError[] = hasShared
  ? read('observed-errors.json')['errors'].filter(
      (error: ObservedError) => error.service !== 'identity',
    )
  : [];

describe.skipIf(!hasShared)('the observed errors (skipped without ../shared)', () => {
  it.each(observed)('$service: $request', ({ service, status, body }) => {
    const answer = { status, headers: {}, body: JSON.stringify(body) };
    const error =
      service === 'download'
        ? downloadError(answer, 'P.SAFE', 'd.test', 0)
        : catalogueError(answer, 'c.test', 0);
    const label = `${service} ${status} ${body['code'] ?? body['error'] ?? '-'}`;
    expect(Object.keys(EXPECTED)).toContain(label);
    expect(error?.code ?? null).toBe(EXPECTED[label]);
  });
});
