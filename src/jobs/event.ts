/**
 * A job's story: append-only, numbered 1, 2, 3 … by the job's own workflow. Whatever people read is a projection
 * of these events; each batch carries the job's whole snapshot, so that a projection is "replace if newer".
 */
import { z } from 'zod';
import { jobHeaderSchema, jobSnapshotSchema } from './job.js';
import { problemSchema } from './problem-schema.js';
import { artifactSchema } from './product.js';

export const storedEventTypes = [
  'job.queued',
  'job.started',
  'job.waiting',
  'job.paused',
  'job.resumed',
  'job.succeeded',
  'job.failed',
  'job.cancelled',
  'search.completed',
  'product.started',
  'product.reused',
  'product.completed',
  'product.failed',
  'transfer.retried',
  'transfer.resumed',
] as const;
export type StoredEventType = (typeof storedEventTypes)[number];
/** `job.progress` and `snapshot` are streamed and never stored. */
export type StreamedEventType = StoredEventType | 'job.progress' | 'snapshot';

export const jobEventSchema = z.object({
  job_id: z.string(),
  number: z.number().int().positive().describe('The job’s own: 1, 2, 3 … without gaps'),
  type: z.enum(storedEventTypes),
  at: z.string().describe('RFC 3339, UTC'),
  data: z.record(z.string(), z.unknown()),
});
export type JobEvent = z.infer<typeof jobEventSchema>;

/** What a workflow hands to the mirror: `snapshot.version` is the number of the last event it includes. */
export const eventBatchSchema = z.object({
  header: jobHeaderSchema,
  snapshot: jobSnapshotSchema,
  events: z.array(jobEventSchema),
});
export type EventBatch = z.infer<typeof eventBatchSchema>;

/** Data of `product.completed` and `product.reused`: enough to answer a job's result without any other source. */
export const productStoredDataSchema = z.object({
  product_id: z.string(),
  name: z.string(),
  bytes: z.number().int(),
  artifacts: z.array(artifactSchema),
  damaged_before: z
    .boolean()
    .optional()
    .describe('A held file was damaged and was replaced by this one'),
  selection: z
    .object({ files: z.number().int(), of: z.number().int() })
    .optional()
    .describe('Single files were selected: how many of how many'),
  bytes_fetched: z
    .number()
    .int()
    .describe('What came over the wire, repeats included; 0 when reused'),
});
export type ProductStoredData = z.infer<typeof productStoredDataSchema>;

/** Data of `product.failed`. */
export const productFailedDataSchema = z.object({
  product_id: z.string(),
  name: z.string(),
  error: problemSchema,
});
export type ProductFailedData = z.infer<typeof productFailedDataSchema>;
