/** What workflows may ask for, as one object made from its dependencies. One file for each area. */
import type { ArtifactStore } from '../src/artifacts/artifact-store.js';
import type { ChecksumAlgorithm } from '../src/jobs/product.js';
import type { Mirror } from '../src/mirror/mirror.js';
import type { Provider } from '../src/providers/provider.js';
import type { Bandwidth } from '../src/transfer/bandwidth.js';
import type { ConnectionSlots, ProxyFor } from '../src/transfer/index.js';
import type { Transfer } from '../src/transfer/transfer.js';
import { createFetchActivities } from './fetch.activities.js';
import { createRecordActivities } from './record.activities.js';
import { createSearchActivities } from './search.activities.js';

export interface ActivityDependencies {
  providers: ReadonlyMap<string, Provider>;
  store: ArtifactStore;
  /** Only written to here: nothing decides from it. */
  mirror: Pick<Mirror, 'apply' | 'reportProgress'>;
  transfer: Transfer;
  /** The connections that may be open at this provider at once, shared by all its transfers in this worker. */
  slots: (provider: string) => ConnectionSlots;
  /** Which proxy to go through for an address; the engine has its own word on it. */
  proxyFor: ProxyFor;
  /** A new transfer's share of what may be fetched from this provider. */
  bandwidth: (provider: string) => Bandwidth;
  /** Digests that every stored file is to have, besides the one that is verified. */
  digests: readonly ChecksumAlgorithm[];
  /** Aborts when this worker is told to stop: transfers flush, let go and are taken up elsewhere. */
  stopping: AbortSignal;
}

export function createActivities(dependencies: ActivityDependencies) {
  return {
    ...createSearchActivities(dependencies),
    ...createFetchActivities(dependencies),
    ...createRecordActivities(dependencies),
  };
}

export type Activities = ReturnType<typeof createActivities>;
export type {
  JobSearchCursor,
  PlannedChunk,
  PlannedProduct,
  PlanSummary,
  SearchPageResult,
} from './search.activities.js';
