/** Small, complete domain objects for tests. */
import type { JobHeader } from '../../src/jobs/job.js';
import type { Product } from '../../src/jobs/product.js';
import { jobRequestSchema } from '../../src/jobs/request.js';

export function product(id: string, change: Partial<Product> = {}): Product {
  return {
    provider: 'copernicus',
    id,
    name: `${id}.SAFE`,
    collection: 'SENTINEL-2',
    product_type: 'S2MSI2A',
    acquired_at: '2025-01-01T11:00:00Z',
    published_at: '2025-01-01T15:00:00Z',
    bytes: 100,
    checksums: [],
    online: true,
    cloud_cover: null,
    footprint: null,
    quicklook: null,
    attributes: {},
    lineage: { query: 'q', answer_sha256: '00' },
    ...change,
  };
}

export const guidePolygon = 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))';

export function jobHeader(jobId: string, change: Partial<JobHeader['request']> = {}): JobHeader {
  return {
    job_id: jobId,
    job_type: 'search_download',
    request: {
      ...jobRequestSchema.parse({
        provider: 'copernicus',
        collection: 'SENTINEL-2',
        product_type: 'S2MSI2A',
        start_date: '2025-01-01',
        end_date: '2025-01-03',
        aoi: { wkt: guidePolygon },
      }),
      ...change,
    },
    request_hash: 'hash',
    created_at: '2025-06-01T00:00:00.000Z',
    retry_of: null,
    recipe_id: null,
  };
}
