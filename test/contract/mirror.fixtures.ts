/** Headers, snapshots, events and batches for tests of mirrors. */
import { randomUUID } from 'node:crypto';
import type { EventBatch, JobEvent, StoredEventType } from '../../src/jobs/event.js';
import type { JobHeader, JobSnapshot, LiveProgress } from '../../src/jobs/job.js';
import { initialSnapshot } from '../../src/jobs/snapshot.js';
import type { Artifact } from '../../src/jobs/product.js';
import { searchDownloadRequestSchema, type SearchDownloadInput } from '../../src/jobs/request.js';

export const baseMs = Date.UTC(2025, 0, 1);
export const instant = (offsetMs: number): string => new Date(baseMs + offsetMs).toISOString();

export function header(
  changes: Partial<JobHeader> & { of?: Partial<SearchDownloadInput> } = {},
): JobHeader {
  const { of, ...rest } = changes;
  return {
    job_id: randomUUID(),
    job_type: 'search_download',
    request: searchDownloadRequestSchema.parse({
      provider: 'copernicus',
      collection: 'SENTINEL-2',
      product_type: 'S2MSI2A',
      products: ['a'],
      ...of,
    }),
    request_hash: '0'.repeat(64),
    created_at: instant(0),
    retry_of: null,
    recipe_id: null,
    ...rest,
  };
}

export function event(
  jobId: string,
  number: number,
  type: StoredEventType = 'job.waiting',
  data: Record<string, unknown> = {},
): JobEvent {
  return { job_id: jobId, number, type, at: instant(number * 1_000), data };
}

export function batch(
  of: JobHeader,
  version: number,
  events: JobEvent[],
  changes: Partial<JobSnapshot> = {},
): EventBatch {
  const snapshot = { ...initialSnapshot(of.created_at), version, ...changes };
  return { header: of, snapshot, events };
}

/** What a submit stores. */
export function queued(of: JobHeader, changes: Partial<JobSnapshot> = {}): EventBatch {
  return batch(of, 1, [event(of.job_id, 1, 'job.queued')], changes);
}

export function progress(productId: string, bytes: number, atMs: number): LiveProgress {
  return {
    product_id: productId,
    bytes,
    bytes_total: 1_000,
    speed_bytes_per_second: 10.5,
    at: instant(atMs),
  };
}

export function artifact(path: string, bytes = 10): Artifact {
  const md5 = { algorithm: 'md5' as const, value: 'd41d8cd98f00b204e9800998ecf8427e' };
  return {
    path,
    bytes,
    checksum: { ...md5, level: 'provider' },
    digests: [md5],
    media_type: 'application/zip',
  };
}

export function storedData(productId: string, artifacts: Artifact[]): Record<string, unknown> {
  const bytes = artifacts.reduce((sum, file) => sum + file.bytes, 0);
  return {
    product_id: productId,
    name: `${productId}.SAFE`,
    bytes,
    artifacts,
    bytes_fetched: bytes,
  };
}
