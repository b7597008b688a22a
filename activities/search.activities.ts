/**
 * Searching and planning. Lists of products never pass through workflow history: a page and a chunk are records in the
 * store, and what travels is their number. Repeats are harmless: each record has one name and is replaced as a whole.
 */
import { Context } from '@temporalio/activity';
import { z } from 'zod';
import { parseAoi } from '../src/geo/parse-aoi.js';
import { isSelective } from '../src/jobs/asset-patterns.js';
import { isServiceError } from '../src/jobs/error-codes.js';
import { planChunkRecord, searchPageRecord } from '../src/jobs/ids.js';
import { planProducts, type PlanLimit } from '../src/jobs/plan.js';
import { productListSchema, type Product } from '../src/jobs/product.js';
import type { SearchDownloadRequest } from '../src/jobs/request.js';
import {
  firstWindow,
  nextWindow,
  withinWindow,
  type SearchWindow,
} from '../src/jobs/search-window.js';
import type { Provider, SearchCursor } from '../src/providers/provider.js';
import { providerOf } from '../src/providers/registry.js';
import type { ActivityDependencies } from './index.js';
import { activity } from './activity.js';

export interface SearchPageInput {
  job_id: string;
  request: SearchDownloadRequest;
  page: number;
  cursor: JobSearchCursor | null;
  /** Products in one chunk of the plan. */
  chunkSize: number;
}

/** Where a job's search stands: in which window of time, where in that, and how much was found so far. */
export interface JobSearchCursor {
  window: SearchWindow | null;
  inner: SearchCursor | null;
  found: number;
}

/** What was found, in numbers; the products themselves are in the plan's chunks. */
export interface PlanSummary {
  total: number;
  products: number;
  repeats: number;
  leftOut: number;
  /** Missing in histories from before it was told. */
  limitedBy?: PlanLimit | null;
  bytesTotal: number | null;
  chunks: number;
}

export interface SearchPageResult {
  /** Where to go on; null with the last page, which comes with the plan. */
  next: JobSearchCursor | null;
  plan: PlanSummary | null;
  repairs: string[];
  /** Named products that the provider does not know. */
  missing: string[];
}

/** As much of a product as the workflow needs. */
export interface PlannedProduct {
  id: string;
  name: string;
  bytes: number | null;
}

/** Products in a chunk, at the most, where single files of each are fetched. */
const SELECTIVE_CHUNK = 20;

export function createSearchActivities({
  providers,
  store,
}: Pick<ActivityDependencies, 'providers' | 'store'>) {
  async function readProducts(record: string): Promise<Product[]> {
    return productListSchema.parse(await store.getRecord(record)).products;
  }

  /** From all pages to the chunks that will be fetched. With the last page, because each step is a round trip. */
  async function planJob({
    job_id,
    request,
    page,
    chunkSize,
  }: SearchPageInput): Promise<PlanSummary> {
    const found: Product[] = [];
    for (let index = 0; index <= page; index++)
      found.push(...(await readProducts(searchPageRecord(job_id, index))));
    const plan = planProducts(found, request);
    // Results that name many files fill a run's history sooner.
    const size = isSelective(request.assets) ? Math.min(chunkSize, SELECTIVE_CHUNK) : chunkSize;
    const chunks = Math.ceil(plan.products.length / size);
    for (let chunk = 0; chunk < chunks; chunk++)
      await store.putRecord(planChunkRecord(job_id, chunk), {
        products: plan.products.slice(chunk * size, (chunk + 1) * size),
      });
    return {
      total: found.length - plan.repeats,
      products: plan.products.length,
      repeats: plan.repeats,
      leftOut: plan.leftOut,
      limitedBy: plan.limitedBy,
      bytesTotal: plan.bytesTotal,
      chunks,
    };
  }

  return {
    /** One page: of the named products, of the whole search, or of the window of time that is being looked through. */
    async searchPage(input: SearchPageInput): Promise<SearchPageResult> {
      return await activity(async () => {
        const provider = providerOf(providers, input.request.provider);
        const signal = Context.current().cancellationSignal;
        const record = searchPageRecord(input.job_id, input.page);
        if (input.request.products !== undefined) {
          const { products, missing } = await findNamed(provider, input.request.products, signal);
          await store.putRecord(record, { products });
          return { next: null, plan: await planJob(input), repairs: [], missing };
        }
        const aoi = input.request.aoi === undefined ? null : parseAoi(input.request.aoi);
        const { window, inner, found } = input.cursor ?? {
          window: firstWindow(input.request),
          inner: null,
          found: 0,
        };
        const request = window === null ? input.request : withinWindow(input.request, window);
        const page = await provider.search(request, aoi, inner, signal);
        await store.putRecord(record, { query: page.query, products: page.products });
        const repairs = aoi?.repairs ?? [];
        const soFar = found + page.products.length;
        if (page.next !== null)
          return {
            next: { window, inner: page.next, found: soFar },
            plan: null,
            repairs,
            missing: [],
          };
        const further =
          window === null || soFar >= input.request.max_products!
            ? null
            : nextWindow(input.request, window);
        if (further === null)
          return { next: null, plan: await planJob(input), repairs, missing: [] };
        const next = { window: further, inner: null, found: soFar };
        return { next, plan: null, repairs, missing: [] };
      });
    },

    async readChunk(input: {
      job_id: string;
      chunk: number;
    }): Promise<{ record: string; products: PlannedProduct[] }> {
      return await activity(async () => {
        const record = planChunkRecord(input.job_id, input.chunk);
        const products = await readProducts(record);
        return { record, products: products.map(({ id, name, bytes }) => ({ id, name, bytes })) };
      });
    },
  };
}

const missingSchema = z.object({ missing: z.array(z.string()) });

/** The named products that there are, and the names of those that there are not. */
async function findNamed(
  provider: Provider,
  names: string[],
  signal: AbortSignal,
): Promise<{ products: Product[]; missing: string[] }> {
  try {
    return { products: await provider.find(names, signal), missing: [] };
  } catch (error) {
    if (!isServiceError(error) || error.code !== 'NotFound') throw error;
    const { missing } = missingSchema.parse(error.details);
    const known = names.filter((name) => !missing.includes(name));
    return { products: known.length === 0 ? [] : await provider.find(known, signal), missing };
  }
}
