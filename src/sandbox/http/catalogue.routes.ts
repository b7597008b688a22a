/** The catalogue host: OData search, single products, attributes, deleted products, name lists, quicklooks, redirects. */
import { randomUUID } from 'node:crypto';
import type { Catalogue } from '../catalogue/catalogue.js';
import type { CatalogueProduct } from '../catalogue/product.js';
import { hash32 } from '../catalogue/rule.js';
import type { ContentStore } from '../content/content-store.js';
import { identityRoutes, realmPath, type IdentityDeps } from '../identity/identity.routes.js';
import { matches, type Deletion } from '../odata/filter-match.js';
import type { Filter } from '../odata/filter-parser.js';
import { nextLink, parseQuery, type ProductQuery } from '../odata/query.js';
import { quicklook } from '../odata/quicklook.js';
import { renderDeleted, renderProduct } from '../odata/render.js';
import { json, redirectTo, type Answer } from './answer.js';
import type { Exchange } from './exchange.js';

export interface CatalogueDeps extends IdentityDeps {
  catalogue: Catalogue;
  content: ContentStore;
  downloadUrl: string;
  /** Fields that a test put in place of the listed ones, by product id. */
  amended: Map<string, Record<string, unknown>>;
}

const root = '/odata/v1';

export function createCatalogueRoute(deps: CatalogueDeps): (exchange: Exchange) => Promise<Answer> {
  // Without $orderby there is no order: each such request sees another one.
  let unordered = 0;
  return async (exchange) => {
    const { path } = exchange;
    if (path.slice(0, realmPath.length).toLowerCase() === realmPath.toLowerCase())
      return identityRoutes(exchange, deps);
    const answer = await odata(exchange, deps, () => (unordered += 1));
    return { ...answer, headers: { ...commonHeaders(), ...answer.headers } };
  };
}

function commonHeaders(): Record<string, string> {
  return {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': 'GET, PUT, POST, DELETE, PATCH, OPTIONS',
    'strict-transport-security': 'max-age=15724800; includeSubDomains',
    'request-id': randomUUID(),
  };
}

async function odata(
  exchange: Exchange,
  deps: CatalogueDeps,
  nextUnordered: () => number,
): Promise<Answer> {
  const { path, method } = exchange;
  if (path === `${root}/Products/OData.CSC.FilterList` && method === 'POST')
    return filterList(exchange, deps);
  if (method !== 'GET' && method !== 'HEAD') return json(405, { detail: 'Method Not Allowed' });
  if (path === `${root}/Products`) return search(exchange, deps, nextUnordered);
  if (path === `${root}/DeletedProducts`) return searchDeleted(exchange, deps);
  const product = /^\/odata\/v1\/Products\(([^)]*)\)(\/.*)?$/.exec(path);
  if (product) return oneProduct(exchange, product[1]!, product[2] ?? '', deps);
  const asset = /^\/odata\/v1\/Assets\(([^)]*)\)\/\$value$/.exec(path);
  if (asset) return quicklookOf(asset[1]!, deps);
  const attributes = /^\/odata\/v1\/Attributes\(([^)]*)\)$/.exec(path);
  if (attributes) return attributesOf(attributes[1]!, deps);
  return json(404, { detail: 'Not Found' });
}

async function search(
  exchange: Exchange,
  deps: CatalogueDeps,
  nextUnordered: () => number,
): Promise<Answer> {
  const query = parseQuery(exchange.query);
  if ('status' in query) return query;
  const unknown = unknownCollection(query.filter, deps.catalogue);
  if (unknown !== null)
    return json(400, {
      detail: { message: `Collection ${unknown} does not exist`, field: 'Collection/Name' },
    });
  const found = deps.catalogue.products.filter(
    (product) => query.filter === null || matches(query.filter, product),
  );
  const ordered = query.order ? inOrder(found, query) : scrambled(found, nextUnordered());
  const page = ordered.slice(query.skip, query.skip + query.top);
  const value = [];
  for (const product of page) value.push(await shown(product, query, deps));
  const next = nextLink(query, page.length, `${deps.baseUrl}${root}/Products`);
  return json(200, {
    '@odata.context': context('Products', query.expand),
    ...(query.count ? { '@odata.count': found.length } : {}),
    value,
    ...(next ? { '@odata.nextLink': next } : {}),
  });
}

function context(entity: string, expand: readonly string[]): string {
  const names = expand.map((name) => `${name}()`).join(',');
  return `$metadata#${entity}${names ? `(${names})` : ''}`;
}

/** Asking for a collection that does not exist is an error of its own; inside `not` too. */
function unknownCollection(filter: Filter | null, catalogue: Catalogue): string | null {
  if (filter === null) return null;
  if (filter.kind === 'compare' && filter.field === 'Collection/Name') {
    const name = filter.literal.kind === 'text' ? filter.literal.value : '';
    return knownCollections.includes(name) || catalogue.collections.includes(name) ? null : name;
  }
  const inner = 'terms' in filter ? filter.terms : 'term' in filter ? [filter.term] : [];
  for (const term of inner) {
    const found = unknownCollection(term, catalogue);
    if (found !== null) return found;
  }
  return null;
}

const knownCollections = [
  'SENTINEL-1',
  'SENTINEL-2',
  'SENTINEL-3',
  'SENTINEL-5P',
  'SENTINEL-6',
  'SENTINEL-1-RTC',
  'GLOBAL-MOSAICS',
  'COP-DEM',
  'CCM',
  'LANDSAT-5',
  'LANDSAT-7',
  'LANDSAT-8',
  'ENVISAT',
  'SMOS',
  'TERRAAQUA',
  'S2GLC',
];

function inOrder(found: CatalogueProduct[], query: ProductQuery): CatalogueProduct[] {
  const { field, descending } = query.order!;
  const key = {
    'ContentDate/Start': (product: CatalogueProduct) => product.startMs,
    'ContentDate/End': (product: CatalogueProduct) => product.endMs,
    PublicationDate: (product: CatalogueProduct) => product.publicationMs,
    ModificationDate: (product: CatalogueProduct) => product.modificationMs,
  }[field];
  const sign = descending ? -1 : 1;
  return found.sort((a, b) => sign * (key(a) - key(b)) || (a.id < b.id ? -1 : 1));
}

function scrambled(found: CatalogueProduct[], turn: number): CatalogueProduct[] {
  const place = new Map(found.map((product) => [product, hash32(`${turn}:${product.id}`)]));
  return found.sort((a, b) => place.get(a)! - place.get(b)!);
}

async function shown(
  product: CatalogueProduct,
  query: Pick<ProductQuery, 'expand' | 'select'>,
  deps: CatalogueDeps,
): Promise<Record<string, unknown>> {
  const all = {
    ...renderProduct(
      product,
      {
        sizeBytes: deps.content.sizeBytes(product),
        digests: product.real ? { md5: '', blake3: '' } : await deps.content.digests(product),
      },
      query.expand,
      deps.baseUrl,
    ),
    ...deps.amended.get(product.id),
  };
  if (query.select === null) return all;
  const wanted = [...query.select, ...query.expand, '@odata.mediaContentType'];
  return Object.fromEntries(Object.entries(all).filter(([name]) => wanted.includes(name)));
}

async function oneProduct(
  exchange: Exchange,
  id: string,
  rest: string,
  deps: CatalogueDeps,
): Promise<Answer> {
  if (rest !== '') return redirectTo(301, `${deps.downloadUrl}${exchange.path}${exchange.search}`);
  const query = parseQuery(exchange.query);
  if ('status' in query) return query;
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id))
    return json(422, {
      detail: [
        {
          type: 'uuid_parsing',
          loc: ['path', 'product_id'],
          msg: 'Input should be a valid UUID',
          input: id,
        },
      ],
    });
  const product = deps.catalogue.byId(id.toLowerCase());
  if (!product) return json(404, { detail: `Product ${id} not found` });
  const body = await shown(product, query, deps);
  return json(200, { '@odata.context': `${context('Products', query.expand)}/$entity`, ...body });
}

async function filterList(exchange: Exchange, deps: CatalogueDeps): Promise<Answer> {
  const query = parseQuery(exchange.query);
  if ('status' in query) return query;
  const names = namesOf(await exchange.body(1024 * 1024));
  if (names === null)
    return json(422, {
      detail: [{ type: 'missing', loc: ['body', 'FilterProducts'], msg: 'Field required' }],
    });
  const found = names.flatMap((name) => deps.catalogue.byName(name) ?? []);
  const value = [];
  for (const product of found) value.push(await shown(product, query, deps));
  return json(200, { '@odata.context': context('Products', query.expand), value });
}

function namesOf(text: string): string[] | null {
  try {
    const { FilterProducts: wanted } = JSON.parse(text) as { FilterProducts?: unknown };
    if (!Array.isArray(wanted)) return null;
    return wanted.flatMap((one: { Name?: unknown } | null) =>
      typeof one?.Name === 'string' ? [one.Name] : [],
    );
  } catch {
    return null;
  }
}

/** One product in forty has a deleted predecessor of the same name. */
async function searchDeleted(exchange: Exchange, deps: CatalogueDeps): Promise<Answer> {
  const query = parseQuery(exchange.query);
  if ('status' in query) return query;
  const causes = ['Duplicated product', 'Corrupted product', 'Obsolete product'];
  const found = deps.catalogue.products
    .filter((product) => hash32(`${product.id}:deleted`) % 40 === 0)
    .map((product) => {
      const cause = causes[hash32(product.id) % causes.length]!;
      return {
        product,
        deletion: { atMs: product.publicationMs + 3_600_000, cause } satisfies Deletion,
      };
    })
    .filter(
      ({ product, deletion }) => query.filter === null || matches(query.filter, product, deletion),
    );
  const page = found.slice(query.skip, query.skip + query.top);
  const next = nextLink(query, page.length, `${deps.baseUrl}${root}/DeletedProducts`);
  return json(200, {
    '@odata.context': context('DeletedProducts', []),
    ...(query.count ? { '@odata.count': found.length } : {}),
    value: page.map(({ product, deletion }) => renderDeleted(product, deletion)),
    ...(next ? { '@odata.nextLink': next } : {}),
  });
}

function quicklookOf(id: string, deps: CatalogueDeps): Answer {
  const product = deps.catalogue.byQuicklook(id.toLowerCase());
  if (!product) return json(404, { detail: `Asset ${id} not found` });
  const body = quicklook(hash32(product.id));
  return { status: 200, headers: { 'content-type': 'image/jpeg' }, body };
}

function attributesOf(collection: string, deps: CatalogueDeps): Answer {
  const rows = new Map<string, string>();
  for (const product of deps.catalogue.products)
    if (product.collection === collection)
      for (const { Name, ValueType } of product.attributes()) rows.set(Name, ValueType);
  if (rows.size === 0 && !knownCollections.includes(collection))
    return json(404, { detail: `Collection ${collection} not found` });
  return json(
    200,
    [...rows].map(([Name, ValueType]) => ({ Name, ValueType })),
  );
}
