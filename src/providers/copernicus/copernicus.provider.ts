/**
 * The Copernicus Data Space Ecosystem behind the provider's port: three hosts (catalogue, identity, download), put together here and
 * nowhere else. The parts: search.ts and find.ts ask the catalogue, token-keeper.ts the identity host, download-source.ts tells the
 * transfer engine about the download host.
 */
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import type { SearchDownloadRequest } from '../../jobs/request.js';
import type { ProxyFor } from '../../transfer/index.js';
import type { Provider } from '../provider.js';
import { systemClock, type Clock } from './clock.js';
import { createDownloadSource, createFileRoutes } from './download-source.js';
import { BYTES_PER_SECOND_PER_CONNECTION, COLLECTIONS } from './facts.js';
import { findProducts } from './find.js';
import { createHttp } from './http.js';
import { PROVIDER_ID } from './product-mapping.js';
import { createSearch } from './search.js';
import { createTokenKeeper } from './token-keeper.js';

export interface CopernicusSettings {
  /** Root of the catalogue's host, without `/odata/v1`. */
  baseUrl: string;
  /** Root of the download host, without `/odata/v1`. */
  downloadUrl: string;
  /** Complete address of the token endpoint. */
  tokenUrl: string;
  username: string | null;
  password: string | null;
  /** Downloads at once that the account may run. */
  connections: number;
  /** For catalogue and identity; none by default. The transfer engine has its own. */
  proxyFor?: ProxyFor;
  clock?: Clock;
  /** Products a page; 1,000 at most and by default. */
  pageSize?: number;
  /** The deepest `$skip` that the catalogue takes; 10,000 by default. */
  skipMax?: number;
}

export function createCopernicus(given: CopernicusSettings): Provider {
  const clock = given.clock ?? systemClock;
  const http = createHttp({ clock, proxyFor: given.proxyFor });
  const settings = { ...given, clock, http };
  const tokens = createTokenKeeper(settings);
  return {
    id: PROVIDER_ID,
    info: () => ({
      id: PROVIDER_ID,
      title: 'Copernicus Data Space Ecosystem',
      collections: COLLECTIONS.map(({ id, title, productTypes }) => ({
        id,
        title,
        product_types: productTypes,
      })),
      tile_grid: 'mgrs',
      limits: {
        connections: given.connections,
        bytes_per_second_per_connection: BYTES_PER_SECOND_PER_CONNECTION,
      },
      base_url: given.baseUrl,
    }),
    credentials: () => tokens.state(),
    validate,
    search: createSearch(settings),
    find: (idsOrNames, signal) => findProducts(idsOrNames, settings, signal),
    source: (product) => createDownloadSource(product, { ...settings, tokens }),
    fileRoutes: (product) => createFileRoutes(product, { ...settings, tokens }),
    async check(signal) {
      try {
        await tokens.token(signal);
        return { state: 'configured', detail: 'Logged in' };
      } catch (error) {
        if (isServiceError(error) && error.code === 'SourceDenied')
          return { state: tokens.state(), detail: error.message };
        throw error;
      }
    },
    async close() {
      tokens.close();
      http.close();
    },
  };
}

function validate(request: SearchDownloadRequest): void {
  const facts = COLLECTIONS.find(({ id }) => id === request.collection);
  const errors: { path: string; message: string }[] = [];
  if (!facts)
    errors.push({
      path: 'collection',
      message: `Copernicus has no collection ${request.collection}; it has ${COLLECTIONS.map(({ id }) => id).join(', ')}`,
    });
  if (facts?.hasClouds === false && request.cloud_cover_max !== undefined)
    errors.push({
      path: 'cloud_cover_max',
      message: `Products of ${facts.id} do not say how cloudy they are: leave it out`,
    });
  if (errors.length > 0)
    throw new ServiceError('InvalidInput', errors.map(({ message }) => message).join('; '), {
      details: { errors },
    });
}
