/**
 * What a job would fetch, before it is one: the provider's own search (the code that the job's search runs) and the
 * job's own plan, bounded in pages and time, so that a page of the user interface can wait for it.
 */
import type { Aoi } from '../geo/aoi.js';
import { areHeld, getHeldFiles } from '../artifacts/held-files.js';
import { isSelective } from '../jobs/asset-patterns.js';
import { ServiceError } from '../jobs/error-codes.js';
import { planProducts } from '../jobs/plan.js';
import type { Product } from '../jobs/product.js';
import type { JobRequest } from '../jobs/request.js';
import type { Provider, SearchCursor, SearchPage } from '../providers/provider.js';
import type { ApiContext } from './context.js';
import { inOrder } from './in-order.js';
import type { Preview } from './schemas.js';
import { checkRequest } from './submission.js';

const MOST_PAGES = 10;
const MOST_LISTED = 1_000;
const STORE_WIDTH = 16;

/** Bytes a month that the provider's free accounts may fetch. @see https://documentation.dataspace.copernicus.eu/Quotas.html */
const monthlyBytes: Record<string, number> = { copernicus: 12e12 };

interface Found {
  products: Product[];
  complete: boolean;
  /** The provider's own count, where it said one. */
  hint: number | null;
}

/**
 * @param signal ends the search for good, as when the client has gone
 * @throws ServiceError InvalidInput, NotFound, Source…
 */
export async function previewSearch(
  context: ApiContext,
  request: JobRequest,
  signal: AbortSignal,
): Promise<Preview> {
  const { provider, aoi } = checkRequest(context, request);
  const found = await find(provider, request, aoi, signal, context.timings.previewMs);
  const { products, bytesTotal, leftOut } = planProducts(found.products, request);
  const [diskFree, held] = await Promise.all([
    context.store.freeBytes(),
    inOrder(products, STORE_WIDTH, (product) => isHeld(context, request, product)),
  ]);
  // Where the search was cut short, only the provider knows how many there are; limits of the request still hold.
  const limited = leftOut > 0 || products.length === request.max_products;
  const unseen = found.complete || limited ? 0 : Math.max(0, (found.hint ?? 0) - products.length);
  const monthly = monthlyBytes[provider.id];
  return {
    total: products.length + unseen,
    bytes_total: unseen > 0 ? null : bytesTotal,
    already_held: held.filter((one) => one).length,
    products: products.slice(0, MOST_LISTED).map(toListed),
    aoi: { repaired: (aoi?.repairs.length ?? 0) > 0, repairs: aoi?.repairs ?? [] },
    estimate: {
      seconds: bytesTotal === null ? null : seconds(provider, bytesTotal),
      disk_free: diskFree,
      quota_share: bytesTotal === null || monthly === undefined ? null : bytesTotal / monthly,
    },
    complete: found.complete,
  };
}

async function find(
  provider: Provider,
  request: JobRequest,
  aoi: Aoi | null,
  signal: AbortSignal,
  budgetMs: number,
): Promise<Found> {
  const late = new AbortController();
  const silence = new ServiceError(
    'SourceUnavailable',
    `No answer from ${provider.id} within ${budgetMs} ms`,
  );
  // Not AbortSignal.timeout: Node 20 loses one that only AbortSignal.any knows (nodejs/node#57736).
  const timer = setTimeout(() => late.abort(silence), budgetMs);
  try {
    return await findUntil(late.signal, provider, request, aoi, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** What is found until then: what there is by `late`, unless there is nothing. */
async function findUntil(
  late: AbortSignal,
  provider: Provider,
  request: JobRequest,
  aoi: Aoi | null,
  signal: AbortSignal,
): Promise<Found> {
  const either = AbortSignal.any([signal, late]);
  if (request.products) {
    const products = await provider.find(request.products, either);
    return { products, complete: true, hint: null };
  }
  const found: Found = { products: [], complete: false, hint: null };
  let cursor: SearchCursor | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer: SearchPage | null = await provider
      .search(request, aoi, cursor, either)
      .catch((error: unknown) => {
        if (late.aborted && !signal.aborted) return null;
        throw error;
      });
    if (answer === null) break;
    found.products.push(...answer.products);
    found.hint ??= answer.totalHint;
    cursor = answer.next;
    if (cursor === null) return { ...found, complete: true };
  }
  if (found.products.length === 0) late.throwIfAborted();
  return found;
}

/** What the job would find held: the whole product, or all the files of it that are selected. */
async function isHeld(
  { store }: ApiContext,
  { assets }: JobRequest,
  product: Product,
): Promise<boolean> {
  if (!isSelective(assets)) return (await store.getHeld(product.provider, product.id)) !== null;
  const held = await getHeldFiles(store, product);
  return held !== null && areHeld(held, assets);
}

function seconds(provider: Provider, bytes: number): number | null {
  const { connections, bytes_per_second_per_connection: rate } = provider.info().limits;
  return rate === null ? null : Math.ceil(bytes / (connections * rate));
}

function toListed(product: Product): Preview['products'][number] {
  const { id, name, acquired_at, bytes, cloud_cover, footprint, quicklook, online } = product;
  return { id, title: name, acquired_at, bytes, cloud_cover, footprint, quicklook, online };
}
