/**
 * From a request to a started job: the one way in, for single jobs, batches and retries. The engine decides whether a
 * job is new; the mirror is told so that the job can be read at once, and is never needed for it.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Aoi } from '../geo/aoi.js';
import { parseAoi } from '../geo/parse-aoi.js';
import { ServiceError } from '../jobs/error-codes.js';
import { acceptedBatch } from '../jobs/accepted.js';
import type { JobHeader, JobRecord } from '../jobs/job.js';
import type { JobRequest } from '../jobs/request.js';
import type { Provider } from '../providers/provider.js';
import { hashJson } from './canonical-json.js';
import type { ApiContext } from './context.js';
import { ifUp } from './deadline.js';
import { asQueued } from './known-jobs.js';

export interface Submitted {
  record: JobRecord;
  /** The job was there already: same key, same request. */
  repeated: boolean;
}

/** Job's id of a key: the same for the same caller, whatever the process; shaped as a UUID of version 8 (RFC 9562 §5.8). */
export function jobIdForKey(idempotencyKey: string, caller: string): string {
  const hash = createHash('sha256')
    .update(`nimbus job\0${caller}\0${idempotencyKey}`)
    .digest()
    .subarray(0, 16);
  hash[6] = (hash[6]! & 0x0f) | 0x80;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const visibleAscii = /^[\x21-\x7e]{1,255}$/;

/** @throws ServiceError BadRequest */
export function checkIdempotencyKey(key: string): string {
  if (!visibleAscii.test(key))
    throw new ServiceError(
      'BadRequest',
      'Idempotency-Key is not 1 to 255 visible ASCII characters',
    );
  return key;
}

/**
 * Everything that can be said of a request without asking anyone: the provider exists and serves it, the area is one.
 * @throws ServiceError InvalidInput
 */
export function checkRequest(
  context: ApiContext,
  request: JobRequest,
): { provider: Provider; aoi: Aoi | null } {
  const provider = context.providers.get(request.provider);
  if (!provider) {
    const message = `Unknown provider, not one of: ${[...context.providers.keys()].join(', ')}`;
    throw new ServiceError('InvalidInput', `Request not accepted: provider: ${message}`, {
      details: { errors: [{ path: 'provider', message }] },
    });
  }
  provider.validate(request);
  return { provider, aoi: request.aoi === undefined ? null : parseAoi(request.aoi) };
}

/**
 * Starts the job, or finds the one that this id already made. A repeat is harmless when `jobId` is given.
 * @throws ServiceError InvalidInput (also: the id belongs to another request), EngineUnavailable
 */
export async function submit(
  context: ApiContext,
  request: JobRequest,
  options: { jobId?: string; retryOf?: string } = {},
): Promise<Submitted> {
  checkRequest(context, request);
  const header: JobHeader = {
    job_id: options.jobId ?? randomUUID(),
    job_type: request.job_type,
    request,
    request_hash: hashJson(request),
    created_at: new Date(context.now()).toISOString(),
    retry_of: options.retryOf ?? null,
    recipe_id: null,
  };
  const { mirrorMs } = context.timings;
  if (options.jobId !== undefined) {
    const known = await ifUp(context.mirror.getJob(options.jobId), mirrorMs);
    if (known) return repeat(known, header);
  }
  const outcome = await context.engine.submit(header);
  const record = asQueued(outcome.header);
  const told = await ifUp(announce(context, outcome.header), mirrorMs);
  if (told === null)
    context.logger.warn({ jobId: header.job_id }, 'job accepted while the mirror is down');
  if (outcome.started) return { record, repeated: false };
  return repeat((await ifUp(context.mirror.getJob(header.job_id), mirrorMs)) ?? record, header);
}

function repeat(known: JobRecord, header: JobHeader): Submitted {
  if (known.header.request_hash !== header.request_hash)
    throw new ServiceError('InvalidInput', 'Idempotency-Key was used with another request before', {
      details: { errors: [{ path: 'Idempotency-Key', message: 'Used with another request' }] },
    });
  return { record: known, repeated: true };
}

async function announce(context: ApiContext, header: JobHeader): Promise<true> {
  await context.mirror.apply(acceptedBatch(header));
  return true;
}
