/**
 * A job's result, from its stored product events alone. The last word on a product counts: a failure that was fetched
 * after all is completed, and a product that began and never ended in a job that has ended was cancelled.
 */
import {
  productFailedDataSchema,
  productStoredDataSchema,
  type JobEvent,
  type StoredEventType,
} from '../jobs/event.js';
import { hasEnded, type JobSnapshot } from '../jobs/job.js';
import type { Artifact } from '../jobs/product.js';
import type { JobResult, ProductOutcome } from '../jobs/result.js';

export const productEventTypes = [
  'product.started',
  'product.reused',
  'product.completed',
  'product.failed',
] as const satisfies StoredEventType[];

interface Entry {
  outcome: ProductOutcome;
  artifacts: Artifact[];
}

/** @param events the job's product events, ascending by number */
export function buildResult(jobId: string, snapshot: JobSnapshot, events: JobEvent[]): JobResult {
  const entries = new Map<string, Entry>();
  for (const event of events) {
    const entry = toEntry(event);
    if (entry) entries.set(entry.outcome.id, entry);
  }
  const ended = hasEnded(snapshot.state);
  const told = [...entries.values()].filter(
    (entry) => ended || entry.outcome.outcome !== 'cancelled',
  );
  const artifacts = told.flatMap((entry) => entry.artifacts);
  return {
    job_id: jobId,
    state: snapshot.state,
    paths: [...new Set(artifacts.map((artifact) => artifact.path))],
    checksums: Object.fromEntries(artifacts.map(({ path, checksum }) => [path, checksum])),
    manifest: snapshot.manifest,
    bytes: told.reduce((sum, entry) => sum + entry.outcome.bytes, 0),
    products: told.map((entry) => entry.outcome),
  };
}

function toEntry(event: JobEvent): Entry | null {
  switch (event.type) {
    case 'product.completed':
    case 'product.reused':
      return storedEntry(event, event.type === 'product.reused' ? 'reused' : 'completed');
    case 'product.failed':
      return failedEntry(event);
    case 'product.started':
      return startedEntry(event);
    default:
      return null;
  }
}

function storedEntry(event: JobEvent, outcome: 'completed' | 'reused'): Entry | null {
  const parsed = productStoredDataSchema.safeParse(event.data);
  if (!parsed.success) return null;
  const { product_id: id, name, bytes, artifacts } = parsed.data;
  const paths = artifacts.map((artifact) => artifact.path);
  return { outcome: { id, name, outcome, paths, bytes, error: null }, artifacts };
}

function failedEntry(event: JobEvent): Entry | null {
  const parsed = productFailedDataSchema.safeParse(event.data);
  if (!parsed.success) return null;
  const { product_id: id, name, error } = parsed.data;
  const outcome = error.code === 'Cancelled' ? 'cancelled' : 'failed';
  return { outcome: { id, name, outcome, paths: [], bytes: 0, error }, artifacts: [] };
}

/** Counts as cancelled until a later event says how it went. */
function startedEntry(event: JobEvent): Entry | null {
  const { product_id: id, name } = event.data;
  if (typeof id !== 'string') return null;
  const outcome: ProductOutcome = {
    id,
    name: typeof name === 'string' ? name : id,
    outcome: 'cancelled',
    paths: [],
    bytes: 0,
    error: null,
  };
  return { outcome, artifacts: [] };
}

/** The artifacts that an event names. */
export function artifactsOf(event: JobEvent): Artifact[] {
  if (event.type !== 'product.completed' && event.type !== 'product.reused') return [];
  const parsed = productStoredDataSchema.safeParse(event.data);
  return parsed.success ? parsed.data.artifacts : [];
}
