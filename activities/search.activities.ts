/**
 * Searching and planning. Lists of products never pass through workflow history: a page and a chunk are records in the
 * store, and what travels is their number. Repeats are harmless: each record has one name and is replaced as a whole.
 */
import { Context } from '@temporalio/activity';
import { z } from 'zod';
import { parseAoi } from '../src/geo/parse-aoi.js';
import { ServiceError } from '../src/jobs/error-codes.js';
import { planChunkRecord, searchPageRecord } from '../src/jobs/ids.js';
import { planProducts } from '../src/jobs/plan.js';
import { productSchema, type Product } from '../src/jobs/product.js';
import type { SearchDownloadRequest } from '../src/jobs/request.js';
import type { SearchCursor } from '../src/providers/provider.js';
import type { ActivityDependencies } from './index.js';
import { activity } from './activity.js';

export interface SearchPageInput {
  job_id: string;
  request: SearchDownloadRequest;
  page: number;
  cursor: SearchCursor | null;
}

export interface PlanInput {
  job_id: string;
  request: SearchDownloadRequest;
  pages: number;
  chunkSize: number;
}

/** As much of a product as the workflow needs. */
export interface PlannedProduct {
  id: string;
  name: string;
  bytes: number | null;
}

const productListSchema = z.object({ products: z.array(productSchema) });

export function createSearchActivities({
  providers,
  store,
}: Pick<ActivityDependencies, 'providers' | 'store'>) {
  async function readProducts(record: string): Promise<Product[]> {
    return productListSchema.parse(await store.getRecord(record)).products;
  }

  return {
    async searchPage(
      input: SearchPageInput,
    ): Promise<{ next: SearchCursor | null; found: number; repairs: string[] }> {
      return await activity(async () => {
        const provider = providers.get(input.request.provider);
        if (provider === undefined)
          throw new ServiceError('InvalidInput', `Unknown provider "${input.request.provider}"`);
        const signal = Context.current().cancellationSignal;
        const record = searchPageRecord(input.job_id, input.page);
        if (input.request.products !== undefined) {
          const products = await provider.find(input.request.products, signal);
          await store.putRecord(record, { products });
          return { next: null, found: products.length, repairs: [] };
        }
        const aoi = input.request.aoi === undefined ? null : parseAoi(input.request.aoi);
        const page = await provider.search(input.request, aoi, input.cursor, signal);
        await store.putRecord(record, { query: page.query, products: page.products });
        return { next: page.next, found: page.products.length, repairs: aoi?.repairs ?? [] };
      });
    },

    async planJob(input: PlanInput) {
      return await activity(async () => {
        const found: Product[] = [];
        for (let page = 0; page < input.pages; page++)
          found.push(...(await readProducts(searchPageRecord(input.job_id, page))));
        const plan = planProducts(found, input.request);
        const chunks = Math.ceil(plan.products.length / input.chunkSize);
        for (let chunk = 0; chunk < chunks; chunk++)
          await store.putRecord(planChunkRecord(input.job_id, chunk), {
            products: plan.products.slice(chunk * input.chunkSize, (chunk + 1) * input.chunkSize),
          });
        return {
          total: found.length - plan.repeats,
          products: plan.products.length,
          repeats: plan.repeats,
          leftOut: plan.leftOut,
          bytesTotal: plan.bytesTotal,
          chunks,
        };
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
