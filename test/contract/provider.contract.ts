/**
 * What every provider must do. An adapter's test calls describeProvider with a way to make one against a server that it controls; a fault
 * found in one adapter becomes a case here, for all.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Aoi } from '../../src/geo/aoi.js';
import type { ServiceError } from '../../src/jobs/error-codes.js';
import { productSchema, type Product } from '../../src/jobs/product.js';
import { requestWindow, type SearchDownloadRequest } from '../../src/jobs/request.js';
import type { Provider, SearchCursor } from '../../src/providers/provider.js';

export interface ProviderHarness {
  provider: Provider;
  /** A request with an area, of several pages. */
  request: SearchDownloadRequest;
  aoi: Aoi;
  /** Ids of all products that match it. */
  matching: string[];
  /** The same without the area. */
  matchingEverywhere: string[];
  online: { id: string; name: string; sizeBytes: number; sha256: string };
  offline: { id: string; name: string };
  /** Makes the next requests to the catalogue fail so, and so often. */
  failCatalogue(
    answer: { status: number; headers?: Record<string, string>; body?: string },
    times: number,
  ): void;
  /** How often anybody logged in with a password, refused ones included. */
  logins(): number;
  /** Another one with this password for the same account; null = without credentials. */
  withPassword(password: string | null): Provider;
  /** One whose servers cannot be reached. */
  unreachable(): Provider;
  close(): Promise<void>;
}

export interface ProviderContract {
  name: string;
  create: () => Promise<ProviderHarness>;
}

const never = (): AbortSignal => new AbortController().signal;
const failureOf = (promise: Promise<unknown>): Promise<ServiceError> =>
  promise.then(
    () => Promise.reject(new Error('It did not fail')),
    (error: ServiceError) => error,
  );

async function searchAll(provider: Provider, request: SearchDownloadRequest, aoi: Aoi | null) {
  const found = new Map<string, Product>();
  const cursors: (SearchCursor | null)[] = [];
  let cursor: SearchCursor | null = null;
  do {
    cursors.push(cursor);
    const page = await provider.search(request, aoi, cursor, never());
    for (const product of page.products) found.set(product.id, product);
    cursor = page.next === null ? null : (JSON.parse(JSON.stringify(page.next)) as SearchCursor);
  } while (cursor !== null);
  return { products: [...found.values()], cursors };
}

export function describeProvider({ name, create }: ProviderContract): void {
  describe(`provider: ${name}`, () => {
    let harness: ProviderHarness;
    const others: Provider[] = [];
    const other = (provider: Provider): Provider => (others.push(provider), provider);

    beforeAll(async () => {
      harness = await create();
    });
    afterAll(async () => {
      for (const provider of others) await provider.close();
      await harness.provider.close();
      await harness.close();
    });

    describe('what it says of itself', () => {
      it('is complete and plain', () => {
        const info = harness.provider.info();
        expect(info.id).toBe(harness.provider.id);
        expect(info.limits.connections).toBeGreaterThan(0);
        expect(info.collections.map(({ id }) => id)).toContain(harness.request.collection);
        expect(URL.canParse(info.base_url)).toBe(true);
        expect(JSON.parse(JSON.stringify(info))).toEqual(info);
      });

      it('refuses an unknown collection, naming the field', () => {
        const request = { ...harness.request, collection: 'NO-SUCH-COLLECTION' };
        expect(() => harness.provider.validate(harness.request)).not.toThrow();
        expect(() => harness.provider.validate(request)).toThrow(
          expect.objectContaining({
            code: 'InvalidInput',
            details: { errors: [expect.objectContaining({ path: 'collection' })] },
          }),
        );
      });
    });

    describe('a search', () => {
      it('pages to the end and finds exactly what matches', async () => {
        const { request, aoi, matching, provider } = harness;
        const { products, cursors } = await searchAll(provider, request, aoi);
        expect(products.map(({ id }) => id).sort()).toEqual([...matching].sort());
        expect(cursors.length).toBeGreaterThan(1);
        const window = requestWindow(request)!;
        for (const product of products) {
          expect(productSchema.parse(product)).toEqual(product);
          expect(product.provider).toBe(provider.id);
          const acquiredMs = Date.parse(product.acquired_at!);
          expect(acquiredMs >= window.startMs && acquiredMs < window.endMs).toBe(true);
        }
      });

      it('without an area finds all of that time', async () => {
        const { products } = await searchAll(harness.provider, harness.request, null);
        expect(products.map(({ id }) => id).sort()).toEqual([...harness.matchingEverywhere].sort());
      });

      it('gives the same page again for the same cursor, which is small and plain JSON', async () => {
        const { cursors } = await searchAll(harness.provider, harness.request, harness.aoi);
        const cursor = cursors[1]!;
        expect(JSON.stringify(cursor).length).toBeLessThan(4096);
        const page = () => harness.provider.search(harness.request, harness.aoi, cursor, never());
        expect((await page()).products).toEqual((await page()).products);
      });

      it('says where each record came from', async () => {
        const page = await harness.provider.search(harness.request, null, null, never());
        expect(page.products[0]!.lineage).toEqual({
          query: page.query,
          answer_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        });
      });

      it('F021 outlives two failing answers', async () => {
        harness.failCatalogue({ status: 502, body: '<html>Bad gateway</html>' }, 2);
        const page = await harness.provider.search(harness.request, null, null, never());
        expect(page.products.length).toBeGreaterThan(0);
      });

      it('F025 fails when answers stay torn, instead of listing less', async () => {
        harness.failCatalogue({ status: 200, body: '{"value":[' }, 3);
        const error = await failureOf(
          harness.provider.search(harness.request, null, null, never()),
        );
        expect(error.code).toBe('SourceUnavailable');
      });

      it('F040 waits as long as it is told to', async () => {
        harness.failCatalogue({ status: 429, headers: { 'retry-after': '17' }, body: '{}' }, 1);
        const error = await failureOf(
          harness.provider.search(harness.request, null, null, never()),
        );
        expect(error).toMatchObject({ code: 'SourceThrottled', retryAfterMs: 17_000 });
      });

      it('names the host that cannot be reached', async () => {
        const provider = other(harness.unreachable());
        const error = await failureOf(provider.search(harness.request, null, null, never()));
        expect(error.code).toBe('SourceUnavailable');
        expect(error.message).toContain(new URL(provider.info().base_url).host);
      });

      it('stops with the signal’s own reason', async () => {
        const reason = new Error('cancelled');
        const search = harness.provider.search(
          harness.request,
          null,
          null,
          AbortSignal.abort(reason),
        );
        await expect(search).rejects.toBe(reason);
      });
    });

    describe('finding products', () => {
      it('takes ids and names, and answers in their order', async () => {
        const { online, offline, provider } = harness;
        const asked = [offline.name, online.id];
        const found = await provider.find(asked, never());
        expect(found.map(({ id }) => id)).toEqual([offline.id, online.id]);
        expect(found.map((product) => product.online)).toEqual([false, true]);
      });

      it('names what does not exist', async () => {
        const asked = [harness.online.name, 'NO_SUCH_PRODUCT'];
        const error = await failureOf(harness.provider.find(asked, never()));
        expect(error).toMatchObject({ code: 'NotFound' });
        expect(error.message).toContain('NO_SUCH_PRODUCT');
        expect(error.message).not.toContain(harness.online.name);
      });
    });

    describe('the source of a product', () => {
      const sourceOf = async (id: string) =>
        harness.provider.source((await harness.provider.find([id], never()))[0]!);

      it('leads to its bytes', async () => {
        const { online } = harness;
        const source = await sourceOf(online.id);
        expect(source.trustedHosts).toContain(new URL(source.url).host);
        expect(source.plainHttpHosts).toContain(new URL(source.url).host);
        const answer = await fetch(source.url, { headers: await source.headers(never()) });
        const bytes = Buffer.from(await answer.arrayBuffer());
        expect(bytes.length).toBe(online.sizeBytes);
        expect(createHash('sha256').update(bytes).digest('hex')).toBe(online.sha256);
        for (const { algorithm, value } of source.checksums)
          if (algorithm === 'md5')
            expect(createHash('md5').update(bytes).digest('hex')).toBe(value);
      });

      it('gets a new token when a server refused the one that it gave', async () => {
        const source = await sourceOf(harness.online.id);
        const first = await source.headers(never());
        expect(await source.headers(never())).toEqual(first);
        source.rejected(first);
        expect(await source.headers(never())).not.toEqual(first);
      });

      it('F030 knows a product that is gone', async () => {
        const source = await sourceOf(harness.online.id);
        expect(source.translate({ status: 404, headers: {}, body: '' })).toMatchObject({
          code: 'SourceGone',
        });
      });

      it('of an offline product does not exist, and the error says what to do', async () => {
        const error = await failureOf(sourceOf(harness.offline.id));
        expect(error.code).toBe('SourceOffline');
        expect(error.message).toContain(harness.offline.name);
      });
    });

    describe('the ways to single files of a product', () => {
      const productOf = async (id: string) => (await harness.provider.find([id], never()))[0]!;

      it('lead to each file’s own bytes, where files are listed', async () => {
        const routes = harness.provider.fileRoutes(await productOf(harness.online.id));
        for (const route of routes) {
          if (route.kind !== 'listing') continue;
          const files = (await route.list(never()))!;
          expect(new Set(files.map(({ path }) => path)).size).toBe(files.length);
          expect(files.every(({ path }) => !/^\/|\/$|(^|\/)\.\.?(\/|$)/.test(path))).toBe(true);
          const known = files.filter(({ bytes }) => bytes !== null).slice(0, 3);
          expect(known.length).toBeGreaterThan(0);
          for (const file of known) {
            const source = route.source(file);
            expect(source.trustedHosts).toContain(new URL(source.url).host);
            expect(source.expectedBytes).toBe(file.bytes);
            const answer = await fetch(source.url, { headers: await source.headers(never()) });
            expect(answer.status).toBe(200);
            expect((await answer.arrayBuffer()).byteLength).toBe(file.bytes);
          }
          const keys = files.map((file) => route.source(file).key);
          expect(new Set(keys).size).toBe(keys.length);
        }
      });

      it('lead to ranges of the whole, where that is an archive', async () => {
        const product = await productOf(harness.online.id);
        for (const route of harness.provider.fileRoutes(product)) {
          if (route.kind !== 'archive') continue;
          const headers = { ...(await route.source.headers(never())), range: 'bytes=0-1' };
          const answer = await fetch(route.source.url, { headers });
          expect(answer.status).toBe(206);
          expect(await answer.text()).toBe('PK');
        }
      });

      it('of an offline product do not exist', async () => {
        const product = await productOf(harness.offline.id);
        expect(() => harness.provider.fileRoutes(product)).toThrow(
          expect.objectContaining({ code: 'SourceOffline' }),
        );
      });
    });

    describe('credentials', () => {
      it('that are good are found good', async () => {
        expect(await harness.provider.check(never())).toMatchObject({ state: 'configured' });
        expect(harness.provider.credentials()).toBe('configured');
      });

      it('that are missing are found missing, and searching needs none', async () => {
        const provider = other(harness.withPassword(null));
        expect(provider.credentials()).toBe('missing');
        expect(await provider.check(never())).toMatchObject({ state: 'missing' });
        await expect(provider.search(harness.request, null, null, never())).resolves.toBeDefined();
      });

      it('F037 F038 F137 that are wrong are tried twice at most, and never shown', async () => {
        const canary = 'canary-Pa$$&word';
        const provider = other(harness.withPassword(canary));
        expect(provider.credentials()).toBe('configured');
        const before = harness.logins();
        const [product] = await provider.find([harness.online.id], never());
        const tries = Array.from({ length: 20 }, () =>
          failureOf(provider.source(product!).headers(never())),
        );
        const errors = await Promise.all(tries);
        expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['SourceDenied']));
        expect(harness.logins() - before).toBeLessThanOrEqual(2);
        expect(provider.credentials()).toBe('rejected');
        const shown = JSON.stringify([errors[0], errors[0]!.stack, await provider.check(never())]);
        expect(shown).not.toContain(canary);
        expect(shown).not.toContain(encodeURIComponent(canary));
      });
    });

    it('closes twice without harm', async () => {
      const provider = harness.withPassword(null);
      await provider.close();
      await provider.close();
    });
  });
}
