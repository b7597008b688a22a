/**
 * Telling: events into the store (the durable story, from which the mirror can be rebuilt) and into the mirror, and at
 * the end the manifest. Repeats are harmless: a recording has one name, and both keep what they already have.
 */
import { z } from 'zod';
import type { ArtifactStore } from '../src/artifacts/artifact-store.js';
import {
  eventBatchSchema,
  jobEventSchema,
  productStoredDataSchema,
  type EventBatch,
  type JobEvent,
} from '../src/jobs/event.js';
import {
  jobDirectory,
  manifestPath,
  planPrefix,
  storyPrefix,
  storyRecord,
} from '../src/jobs/ids.js';
import {
  jobHeaderSchema,
  jobSnapshotSchema,
  type JobHeader,
  type JobSnapshot,
} from '../src/jobs/job.js';
import { buildManifest, type ManifestEntry } from '../src/jobs/manifest.js';
import { productListSchema, type Product } from '../src/jobs/product.js';
import type { ActivityDependencies } from './index.js';
import { activity } from './activity.js';

export interface Recording {
  job_id: string;
  /** Comes with the first event only; afterwards it is read from the story. */
  header: JobHeader | null;
  snapshot: JobSnapshot;
  events: JobEvent[];
  /** With the job's last events: the manifest is written first, and only then has the job ended. */
  manifest: boolean;
}

/** A recording as it lies in the store. */
const recordingSchema = z.object({
  header: jobHeaderSchema.nullable(),
  snapshot: jobSnapshotSchema,
  events: z.array(jobEventSchema),
});

const HEADERS_KEPT = 1_000;

export function createRecordActivities({
  store,
  mirror,
}: Pick<ActivityDependencies, 'store' | 'mirror'>) {
  const headers = new Map<string, JobHeader>();

  async function headerOf(jobId: string): Promise<JobHeader> {
    const known = headers.get(jobId);
    if (known) return known;
    const first = recordingSchema.parse(await store.getRecord(storyRecord(jobId, 1)));
    return remember(jobHeaderSchema.parse(first.header));
  }

  function remember(header: JobHeader): JobHeader {
    if (headers.size >= HEADERS_KEPT) headers.delete(headers.keys().next().value!);
    headers.set(header.job_id, header);
    return header;
  }

  return {
    async recordEvents({ job_id, header, snapshot, events, manifest }: Recording): Promise<void> {
      await activity(async () => {
        const known = header === null ? await headerOf(job_id) : remember(header);
        if (manifest) await writeManifest(store, known, events);
        await store.putRecord(storyRecord(job_id, events[0]!.number), { header, snapshot, events });
        await mirror.apply({ header: known, snapshot, events });
      });
    },
  };
}

/** The whole story of a job, oldest first, as batches that a mirror can apply. */
export async function* readStory(store: ArtifactStore, jobId: string): AsyncGenerator<EventBatch> {
  let header: JobHeader | null = null;
  for (const record of await store.listRecords(storyPrefix(jobId))) {
    const recording = recordingSchema.parse(await store.getRecord(record));
    header ??= recording.header;
    yield eventBatchSchema.parse({ ...recording, header });
  }
}

/** From records alone, and from the events that are about to become one: the same text however often it is written (F063). */
async function writeManifest(
  store: ArtifactStore,
  header: JobHeader,
  lastEvents: JobEvent[],
): Promise<void> {
  const { job_id } = header;
  const products = await plannedProducts(store, job_id);
  const entries = new Map<string, ManifestEntry>();
  const add = ({ type, data }: JobEvent): void => {
    if (type !== 'product.completed' && type !== 'product.reused') return;
    const { product_id, artifacts, selection } = productStoredDataSchema.parse(data);
    entries.set(product_id, {
      product: products.get(product_id)!,
      artifacts,
      reused: type === 'product.reused',
      selection,
    });
  };
  for await (const { events } of readStory(store, job_id)) events.forEach(add);
  lastEvents.forEach(add);
  // In the plan's order, so that the same job gives the same manifest whatever finished first.
  const ordered = [...products.keys()].flatMap((id) => entries.get(id) ?? []);
  const manifest = buildManifest(header, jobDirectory(job_id), ordered);
  await store.putFile(
    manifestPath(job_id),
    `${JSON.stringify(manifest, null, 2)}\n`,
    'application/geo+json',
  );
}

async function plannedProducts(store: ArtifactStore, jobId: string): Promise<Map<string, Product>> {
  const products = new Map<string, Product>();
  for (const record of await store.listRecords(planPrefix(jobId))) {
    const chunk = productListSchema.parse(await store.getRecord(record));
    for (const product of chunk.products) products.set(product.id, product);
  }
  return products;
}
