/** A provider whose catalogue is a list: pages of a given size, nothing filtered. */
import { ServiceError } from '../../../src/jobs/error-codes.js';
import type { Product } from '../../../src/jobs/product.js';
import type { CredentialsState, Provider } from '../../../src/providers/provider.js';

export interface MemoryProvider extends Provider {
  products: Product[];
  pageSize: number;
  state: CredentialsState;
  searches: number;
  /** Called before each page is answered. */
  beforePage: (signal: AbortSignal) => Promise<void>;
}

export function makeProduct(index: number, changes: Partial<Product> = {}): Product {
  return {
    provider: 'copernicus',
    id: `product-${index}`,
    name: `S2A_MSIL2A_${index}.SAFE`,
    collection: 'SENTINEL-2',
    product_type: 'S2MSI2A',
    acquired_at: new Date(Date.UTC(2025, 0, 1, 0, index)).toISOString(),
    published_at: null,
    bytes: 1_000_000,
    checksums: [],
    online: true,
    cloud_cover: 10,
    footprint: null,
    quicklook: null,
    attributes: {},
    lineage: { query: 'memory', answer_sha256: '00' },
    ...changes,
  };
}

export function createMemoryProvider(products: Product[] = []): MemoryProvider {
  const unused = (): never => {
    throw new Error('not part of this double');
  };
  const provider: MemoryProvider = {
    id: 'copernicus',
    products,
    pageSize: 100,
    state: 'configured',
    searches: 0,
    beforePage: async () => {},
    info: () => ({
      id: 'copernicus',
      title: 'Copernicus Data Space',
      base_url: 'http://127.0.0.1:9',
      collections: [{ id: 'SENTINEL-2', title: 'Sentinel-2', product_types: ['S2MSI2A'] }],
      tile_grid: 'mgrs',
      limits: { connections: 4, bytes_per_second_per_connection: 1_000_000 },
    }),
    credentials: () => provider.state,
    validate(request) {
      if (request.collection === 'SENTINEL-2') return;
      const errors = [{ path: 'collection', message: `Unknown collection ${request.collection}` }];
      throw new ServiceError('InvalidInput', 'Unknown collection', { details: { errors } });
    },
    async search(_request, _aoi, cursor, signal) {
      await provider.beforePage(signal);
      provider.searches++;
      const from = Number(cursor?.['from'] ?? 0);
      const to = from + provider.pageSize;
      return {
        products: provider.products.slice(from, to),
        next: to < provider.products.length ? { from: to } : null,
        query: 'memory',
        totalHint: provider.products.length,
      };
    },
    async find(wanted) {
      const found = wanted.map((id) => provider.products.find((product) => product.id === id));
      const missing = wanted.filter((_, index) => !found[index]);
      if (missing.length > 0)
        throw new ServiceError('NotFound', `No such product: ${missing.join(', ')}`);
      return found.filter((product) => product !== undefined);
    },
    source: unused,
    fileRoutes: () => [],
    check: async () => ({ state: provider.state, detail: 'memory' }),
    async close() {},
  };
  return provider;
}
