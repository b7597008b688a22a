/**
 * Searching and planning. Lists of products never pass through workflow history: a page and a chunk are records in the
 * store, and what travels is their number, and of one chunk at a time what the workflow needs of it. Repeats are harmless:
 * each record has one name and is replaced as a whole.
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
  /** The first of them, so that nobody has to wait for it to be read; missing where there is none, and in older histories. */
  first?: PlannedChunk;
}

export interface SearchPageResult {
  /** Where to go on; null with the last page, which comes with the plan. */
  next: JobSearchCursor | null;
  plan: PlanSummary | null;
  repairs: string[];
  /** Named products that the provider does not know. */
  missing: string[];
}

/** A page as it is found; `record` is what is kept of it. */
interface FoundPage extends Omit<SearchPageResult, 'plan'> {
  record: { query?: string; products: Product[] };
}

/** As much of a product as the workflow needs. */
export interface PlannedProduct {
  id: string;
  name: string;
  bytes: number | null;
}

/** A chunk of the plan, as much of it as the workflow needs. */
export interface PlannedChunk {
  /** Holds the products as the catalogue described them. */
  record: string;
  products: PlannedProduct[];
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
  async function planJob(
    { job_id, request, page, chunkSize }: SearchPageInput,
    lastPage: Product[],
  ): Promise<PlanSummary> {
    const found: Product[] = [];
    for (let index = 0; index < page; index++)
      found.push(...(await readProducts(searchPageRecord(job_id, index))));
    found.push(...lastPage);
    const plan = planProducts(found, request);
    // Results that name many files fill a run's history sooner.
    const size = isSelective(request.assets) ? Math.min(chunkSize, SELECTIVE_CHUNK) : chunkSize;
    const chunks = Math.ceil(plan.products.length / size);
    for (let chunk = 0; chunk < chunks; chunk++)
      await store.putRecord(planChunkRecord(job_id, chunk), {
        products: plan.products.slice(chunk * size, (chunk + 1) * size),
      });
    const first = toChunk(planChunkRecord(job_id, 0), plan.products.slice(0, size));
    return {
      total: found.length - plan.repeats,
      products: plan.products.length,
      repeats: plan.repeats,
      leftOut: plan.leftOut,
      limitedBy: plan.limitedBy,
      bytesTotal: plan.bytesTotal,
      chunks,
      ...(chunks === 0 ? {} : { first }),
    };
  }

  /** The page itself: of the named products, of the whole search, or of the window of time that is being looked through. */
  async function findPage(input: SearchPageInput, signal: AbortSignal): Promise<FoundPage> {
    const { request } = input;
    const provider = providerOf(providers, request.provider);
    if (request.products !== undefined) {
      const { products, missing } = await findNamed(provider, request.products, signal);
      return { record: { products }, next: null, repairs: [], missing };
    }
    const aoi = request.aoi === undefined ? null : parseAoi(request.aoi);
    const { window, inner, found } = input.cursor ?? {
      window: firstWindow(request),
      inner: null,
      found: 0,
    };
    const asked = window === null ? request : withinWindow(request, window);
    const { query, products, next } = await provider.search(asked, aoi, inner, signal);
    const facts = { record: { query, products }, repairs: aoi?.repairs ?? [], missing: [] };
    const soFar = found + products.length;
    if (next !== null) return { ...facts, next: { window, inner: next, found: soFar } };
    const further =
      window === null || soFar >= request.max_products! ? null : nextWindow(request, window);
    if (further === null) return { ...facts, next: null };
    return { ...facts, next: { window: further, inner: null, found: soFar } };
  }

  return {
    /** One page, and with the last one the plan. */
    async searchPage(input: SearchPageInput): Promise<SearchPageResult> {
      return await activity(async () => {
        const signal = Context.current().cancellationSignal;
        const { record, next, ...facts } = await findPage(input, signal);
        const [plan] = await Promise.all([
          next === null ? planJob(input, record.products) : null,
          store.putRecord(searchPageRecord(input.job_id, input.page), record),
        ]);
        return { next, plan, ...facts };
      });
    },

    async readChunk(input: { job_id: string; chunk: number }): Promise<PlannedChunk> {
      return await activity(async () => {
        const record = planChunkRecord(input.job_id, input.chunk);
        return toChunk(record, await readProducts(record));
      });
    },
  };
}

function toChunk(record: string, products: readonly Product[]): PlannedChunk {
  return { record, products: products.map(({ id, name, bytes }) => ({ id, name, bytes })) };
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
