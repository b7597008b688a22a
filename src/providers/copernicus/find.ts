/** Products by exact id or name. A name may belong to several products: all of them are found, each under its own id. */
import { ServiceError } from '../../jobs/error-codes.js';
import type { Product } from '../../jobs/product.js';
import type { Clock } from './clock.js';
import { catalogueError } from './errors.js';
import { PAGE_SIZE_MAX } from './facts.js';
import { looseText, readJson, sha256Of, type Http } from './http.js';
import { namesFilter, pageUrl, productUrl } from './odata-query.js';
import { odataProductSchema, UUID, type OdataProduct } from './odata-schemas.js';
import { collectionOf, toProduct } from './product-mapping.js';
import { readPage } from './search.js';

/** Some 2 kB of address. */
const NAMES_PER_QUERY = 20;
const LOOKUPS_AT_ONCE = 4;
const NAMED_IN_MESSAGE = 10;

export interface FindSettings {
  baseUrl: string;
  http: Http;
  clock: Clock;
}

/**
 * In the order asked, each product once.
 * @throws NotFound, with `details.missing` listing every id and name that does not exist
 */
export async function findProducts(
  idsOrNames: string[],
  settings: FindSettings,
  signal: AbortSignal,
): Promise<Product[]> {
  const asked = [...new Set(idsOrNames)];
  const ids = asked.filter((text) => UUID.test(text));
  const names = asked.filter((text) => !UUID.test(text));
  const batches = Array.from({ length: Math.ceil(names.length / NAMES_PER_QUERY) }, (_, index) =>
    names.slice(index * NAMES_PER_QUERY, (index + 1) * NAMES_PER_QUERY),
  );
  const lookups = [
    ...ids.map((id) => () => byId(id, settings, signal)),
    ...batches.map((batch) => () => byNames(batch, settings, signal)),
  ];
  const found = (await severalAtOnce(lookups)).flat();
  const ordered = asked.map((text) =>
    found.filter(({ id, name }) => name === text || id.toLowerCase() === text.toLowerCase()),
  );
  const missing = asked.filter((_, index) => ordered[index]!.length === 0);
  if (missing.length > 0) throw notFound(missing);
  return [...new Map(ordered.flat().map((product) => [product.id, product])).values()];
}

async function severalAtOnce<T>(lookups: (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < lookups.length) {
      const index = next++;
      results[index] = await lookups[index]!();
    }
  };
  await Promise.all(Array.from({ length: LOOKUPS_AT_ONCE }, lane));
  return results;
}

async function byId(id: string, settings: FindSettings, signal: AbortSignal): Promise<Product[]> {
  const url = productUrl(settings.baseUrl, id);
  return settings.http.call(
    { method: 'GET', url },
    (answer) => {
      if (answer.status === 404) return [];
      const body = looseText(answer);
      if (answer.status !== 200)
        throw catalogueError({ ...answer, body }, answer.host, settings.clock.wallMs());
      return [withLineage(readJson(answer, odataProductSchema), url, sha256Of(answer))];
    },
    signal,
  );
}

async function byNames(
  names: string[],
  settings: FindSettings,
  signal: AbortSignal,
): Promise<Product[]> {
  const query = { filter: namesFilter(names), orderBy: 'ContentDate/Start', top: PAGE_SIZE_MAX };
  const url = pageUrl(settings.baseUrl, { ...query, skip: 0 });
  const page = await settings.http.call(
    { method: 'GET', url },
    (answer) => readPage(answer, settings.clock.wallMs()),
    signal,
  );
  if (page.value.length >= PAGE_SIZE_MAX)
    throw new ServiceError(
      'SourceRefused',
      `The catalogue lists ${page.value.length} products for ${names.length} names`,
    );
  return page.value.map((item) => withLineage(item, url, page.sha256));
}

const withLineage = (item: OdataProduct, query: string, answer_sha256: string): Product =>
  toProduct(item, collectionOf(item) ?? 'UNKNOWN', { query, answer_sha256 });

function notFound(missing: string[]): ServiceError {
  const named = missing.slice(0, NAMED_IN_MESSAGE).join(', ');
  const more = missing.length - NAMED_IN_MESSAGE;
  return new ServiceError(
    'NotFound',
    `Copernicus does not know ${named}${more > 0 ? ` and ${more} more` : ''}`,
    { details: { missing } },
  );
}
