/** From search results to the list of products that a job fetches: without repeats, in order, within the limits asked for. Pure. */
import { isSelective } from './asset-patterns.js';
import type { Product } from './product.js';
import type { SearchDownloadRequest } from './request.js';

export type PlanLimit = 'max_products' | 'max_bytes';

export interface Plan {
  products: Product[];
  /** Found twice: pages overlapped, or halves of a split area both matched. */
  repeats: number;
  /** Left out by max_products or max_bytes. */
  leftOut: number;
  /** The limit of the request that was reached. */
  limitedBy: PlanLimit | null;
  /** Sum of announced sizes; null as soon as one is unknown, and where single files are selected. */
  bytesTotal: number | null;
}

export function planProducts(
  found: readonly Product[],
  request: Pick<
    SearchDownloadRequest,
    'order' | 'max_products' | 'max_bytes' | 'products' | 'assets'
  >,
): Plan {
  const unique = [...new Map(found.map((product) => [product.id, product])).values()];
  // Products that were named are fetched in the order in which they were named.
  const ordered = request.products ? unique : unique.sort(comparators[request.order]);
  const chosen: Product[] = [];
  let bytes = 0;
  let limitedBy: PlanLimit | null = null;
  for (const product of ordered) {
    // A size that nobody announced counts once it is known: the job itself stops then.
    const size = announcedBytes(product, request) ?? 0;
    if (request.max_bytes !== undefined && bytes + size > request.max_bytes) {
      limitedBy = 'max_bytes';
      break;
    }
    bytes += size;
    chosen.push(product);
    // Also where nothing more was found: the search went no further than this.
    if (chosen.length === request.max_products) {
      limitedBy = 'max_products';
      break;
    }
  }
  return {
    products: chosen,
    repeats: found.length - unique.length,
    leftOut: unique.length - chosen.length,
    limitedBy,
    bytesTotal: chosen.every((product) => announcedBytes(product, request) !== null) ? bytes : null,
  };
}

/** What fetching this product will take, as far as anybody said; of selected files nobody does. */
export function announcedBytes(
  product: Pick<Product, 'bytes'>,
  { assets }: Pick<SearchDownloadRequest, 'assets'>,
): number | null {
  return isSelective(assets) ? null : product.bytes;
}

type Comparator = (a: Product, b: Product) => number;
const byId: Comparator = (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
const byTime: Comparator = (a, b) =>
  compareText(a.acquired_at ?? '', b.acquired_at ?? '') || byId(a, b);

const comparators: Record<SearchDownloadRequest['order'], Comparator> = {
  oldest: byTime,
  newest: (a, b) => -compareText(a.acquired_at ?? '', b.acquired_at ?? '') || byId(a, b),
  cloud: (a, b) => (a.cloud_cover ?? 101) - (b.cloud_cover ?? 101) || byTime(a, b),
  // Unknown sizes go last.
  size: (a, b) => compareBytes(a.bytes, b.bytes) || byTime(a, b),
};

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareBytes(a: number | null, b: number | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a - b;
}
