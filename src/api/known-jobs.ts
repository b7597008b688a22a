/**
 * Which jobs there are. The mirror says so first; a job that was accepted while it was down may run without being there
 * yet, so what the mirror does not know is asked of the engine before anyone is told that it does not exist.
 */
import { acceptedBatch } from '../jobs/accepted.js';
import { ServiceError } from '../jobs/error-codes.js';
import type { JobHeader, JobRecord } from '../jobs/job.js';
import type { ApiContext } from './context.js';

type Stores = Pick<ApiContext, 'mirror' | 'engine'>;

export const noSuchJob = (): ServiceError => new ServiceError('NotFound', 'There is no such job');

/** @throws ServiceError NotFound, StoreUnavailable, EngineUnavailable */
export async function readJob(stores: Stores, jobId: string): Promise<JobRecord> {
  const known = await stores.mirror.getJob(jobId);
  if (known) return known;
  const header = await tellMirror(stores, jobId);
  return (await stores.mirror.getJob(jobId)) ?? asQueued(header);
}

/** @throws ServiceError NotFound, StoreUnavailable, EngineUnavailable */
export async function assertJob(stores: Stores, jobId: string): Promise<void> {
  if (!(await stores.mirror.getHeader(jobId))) await tellMirror(stores, jobId);
}

/** The job as its workflow's first event leaves it. */
export function asQueued(header: JobHeader): JobRecord {
  return { header, snapshot: acceptedBatch(header).snapshot, live: [] };
}

async function tellMirror({ mirror, engine }: Stores, jobId: string): Promise<JobHeader> {
  const header = await engine.findRunning(jobId);
  if (!header) throw noSuchJob();
  await mirror.apply(acceptedBatch(header));
  return header;
}
