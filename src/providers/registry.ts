/** Which providers there are. A further one is its folder and one line here; it must pass test/contract/provider.contract.ts. */
import { ServiceError } from '../jobs/error-codes.js';
import { createCopernicus, type CopernicusSettings } from './copernicus/copernicus.provider.js';
import type { Provider } from './provider.js';

export interface ProvidersSettings {
  copernicus: CopernicusSettings;
}

export type Providers = ReadonlyMap<string, Provider>;

/** By id, in the order in which they are shown. */
export function createProviders(settings: ProvidersSettings): Map<string, Provider> {
  const providers = [createCopernicus(settings.copernicus)];
  return new Map(providers.map((provider) => [provider.id, provider]));
}

/** @throws InvalidInput listing the known ones */
export function providerOf(providers: Providers, id: string): Provider {
  const provider = providers.get(id);
  if (provider) return provider;
  const message = `There is no provider ${id}; there is ${[...providers.keys()].join(', ')}`;
  throw new ServiceError('InvalidInput', message, {
    details: { errors: [{ path: 'provider', message }] },
  });
}
