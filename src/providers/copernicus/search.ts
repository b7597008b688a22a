/**
 * One page of a search: asks, checks, keeps what really matches, and plans the next page (search-plan.ts). A page that cannot be read
 * in full is asked for again and then fails the call: a part is never passed off as the whole.
 * Counts are not asked for: they are slow, and prove nothing.
 */
import type { Aoi } from '../../geo/aoi.js';
import { intersects } from '../../geo/intersects.js';
import { simplifyForQuery } from '../../geo/simplify.js';
import { ServiceError } from '../../jobs/error-codes.js';
import type { Product } from '../../jobs/product.js';
import { requestWindow, type SearchDownloadRequest } from '../../jobs/request.js';
import type { SearchCursor, SearchPage } from '../provider.js';
import type { Clock } from './clock.js';
import { catalogueError, oneLine } from './errors.js';
import { PAGE_SIZE_MAX, SKIP_MAX } from './facts.js';
import { looseText, readJson, sha256Of, type Http, type HttpAnswer } from './http.js';
import { pageUrl, searchFilter, type Criteria } from './odata-query.js';
import { instantMs, odataPageSchema, type OdataPage, type OdataProduct } from './odata-schemas.js';
import { toProduct } from './product-mapping.js';
import {
  advance,
  currentWindow,
  firstState,
  searchStateSchema,
  type PlanLimits,
  type SearchState,
} from './search-plan.js';

/** Keeps the address below the 8 kB that gateways take. The exact area is applied to the answer. */
const AREA_VERTICES_MAX = 200;

export interface SearchSettings {
  baseUrl: string;
  http: Http;
  clock: Clock;
  /** Products a page, 1 to 1,000. */
  pageSize?: number | undefined;
  /** The deepest `$skip` that the catalogue takes; pages are at most half of it. */
  skipMax?: number | undefined;
}

export type Search = (
  request: SearchDownloadRequest,
  aoi: Aoi | null,
  cursor: SearchCursor | null,
  signal: AbortSignal,
) => Promise<SearchPage>;

interface CataloguePage extends OdataPage {
  sha256: string;
}

export function createSearch(settings: SearchSettings): Search {
  const skipMax = settings.skipMax ?? SKIP_MAX;
  const pageSize = Math.min(
    settings.pageSize ?? PAGE_SIZE_MAX,
    PAGE_SIZE_MAX,
    Math.floor(skipMax / 2),
  );
  const limits: PlanLimits = { pageSize, skipMax };

  return async (request, aoi, cursor, signal) => {
    const state = toState(request, cursor);
    const window = currentWindow(state);
    const url = pageUrl(settings.baseUrl, {
      filter: searchFilter(toCriteria(request, aoi), window),
      orderBy: window.orderBy,
      top: pageSize,
      skip: state.skip,
    });
    const page = await settings.http.call(
      { method: 'GET', url },
      (answer) => readPage(answer, settings.clock.wallMs()),
      signal,
    );
    const next = advance(state, seen(page, settings.baseUrl), limits);
    const lineage = { query: url, answer_sha256: page.sha256 };
    const products = page.value
      .map((item) => toProduct(item, request.collection, lineage))
      .filter((product, index) => matches(product, page.value[index]!, request, aoi));
    return {
      products,
      next: next && { ...next },
      query: url,
      totalHint: page['@odata.count'],
    };
  };
}

/** Also used to read lists of products by name. @throws as catalogueError and readJson */
export function readPage(answer: HttpAnswer, wallMs: number): CataloguePage {
  if (answer.status !== 200)
    throw catalogueError(
      { status: answer.status, headers: answer.headers, body: looseText(answer) },
      answer.host,
      wallMs,
    );
  return { ...readJson(answer, odataPageSchema), sha256: sha256Of(answer) };
}

function toState(request: SearchDownloadRequest, cursor: SearchCursor | null): SearchState {
  if (cursor !== null) {
    const parsed = searchStateSchema.safeParse(cursor);
    if (parsed.success) return parsed.data;
    throw new ServiceError('InvalidInput', 'The cursor does not come from a search at Copernicus');
  }
  const window = requestWindow(request);
  if (window === null)
    throw new ServiceError('InvalidInput', 'A search needs start_date and end_date');
  return firstState(window.startMs, window.endMs);
}

function toCriteria(request: SearchDownloadRequest, aoi: Aoi | null): Criteria {
  return {
    collection: request.collection,
    productType: request.product_type ?? null,
    cloudCoverMax: request.cloud_cover_max ?? null,
    area: aoi === null ? null : simplifyForQuery(aoi, AREA_VERTICES_MAX),
  };
}

function seen(page: CataloguePage, baseUrl: string) {
  return {
    items: page.value.map((item) => ({
      id: item.Id,
      startMs: startOf(item),
      publishedMs: item.PublicationDate === null ? null : instantMs(item.PublicationDate),
    })),
    linkSkip: linkSkip(page['@odata.nextLink'] ?? null, baseUrl),
  };
}

function startOf(item: OdataProduct): number {
  if (item.ContentDate !== null) return instantMs(item.ContentDate.Start);
  throw new ServiceError(
    'SourceUnavailable',
    `The catalogue lists ${oneLine(item.Name)} without a date`,
  );
}

/**
 * `$skip` of a nextLink. The next page is asked for with our own query and this number, which is all that the link adds: a link with
 * the query in it would not fit the cursor, and one that leads elsewhere is refused.
 */
function linkSkip(link: string | null, baseUrl: string): number | null {
  if (link === null) return null;
  const base = new URL(baseUrl);
  const target = URL.canParse(link, baseUrl) ? new URL(link, baseUrl) : null;
  if (target?.origin !== base.origin)
    throw new ServiceError(
      'SourceRefused',
      `The catalogue’s link to the next page leads to ${target?.host || 'no address'} instead of ${base.host}`,
    );
  const skip = target.searchParams.get('$skip') ?? '0';
  return /^\d{1,9}$/.test(skip) ? Number(skip) : 0;
}

/**
 * What the catalogue's own filter says, said again, and the exact area. Where a record is silent about its type, or its footprint cannot be
 * read, the catalogue's word stands; where it has no footprint or no cloud cover at all, it does not match.
 */
function matches(
  product: Product,
  item: OdataProduct,
  request: SearchDownloadRequest,
  aoi: Aoi | null,
): boolean {
  const window = requestWindow(request);
  const acquiredMs = startOf(item);
  if (window !== null && (acquiredMs < window.startMs || acquiredMs >= window.endMs)) return false;
  const { product_type: type, cloud_cover_max: cloudCoverMax } = request;
  if (type !== undefined && product.product_type !== null && product.product_type !== type)
    return false;
  if (cloudCoverMax !== undefined && (product.cloud_cover ?? Infinity) > cloudCoverMax)
    return false;
  if (aoi === null) return true;
  if (item.GeoFootprint === null) return false;
  return product.footprint === null || intersects(product.footprint, aoi.geometry);
}
