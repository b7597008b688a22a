/** The shapes that only HTTP has: pages, previews, health. Those of the domain live in src/jobs. */
import { z } from 'zod';
import { jobEventSchema, storedEventTypes } from '../jobs/event.js';
import { jobSchema, jobStates } from '../jobs/job.js';
import { problemSchema } from '../jobs/problem-schema.js';
import { geometrySchema } from '../jobs/product.js';

export const jobPageSchema = z.object({
  items: z.array(jobSchema),
  page: z.number().int(),
  page_size: z.number().int(),
  total: z.number().int(),
  next_cursor: z.string().nullable().describe('Give it as `cursor` for the next page; null = last'),
});

export const MOST_BATCH_JOBS = 500;
export const batchRequestSchema = z.strictObject({
  jobs: z
    .array(z.unknown())
    .min(1)
    .max(MOST_BATCH_JOBS)
    .describe('Each a JobRequest; one that is not becomes an error of its own'),
});
export const batchAnswerSchema = z.object({
  items: z.array(
    z.union([
      z.object({ job_id: z.string(), state: z.enum(jobStates) }),
      z.object({ error: problemSchema }),
    ]),
  ),
});

export const eventPageSchema = z.object({ items: z.array(jobEventSchema) });

/** `data` of each message of the event stream. */
export const streamedEventSchema = z.object({
  job_id: z.string().nullable(),
  number: z.number().int().nullable().describe('null for job.progress and snapshot: not stored'),
  type: z.enum([...storedEventTypes, 'job.progress', 'snapshot']),
  at: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export type StreamedEvent = z.infer<typeof streamedEventSchema>;

export const ticketSchema = z.object({
  ticket: z.string().describe('Good for one stream, for 30 seconds'),
});

export const previewSchema = z.object({
  total: z.number().int(),
  bytes_total: z.number().int().nullable().describe('null as soon as one size is unknown'),
  already_held: z.number().int(),
  products: z.array(
    z.object({
      id: z.string(),
      title: z.string(),
      acquired_at: z.string().nullable(),
      bytes: z.number().int().nullable(),
      cloud_cover: z.number().nullable(),
      footprint: geometrySchema.nullable(),
      quicklook: z.string().nullable(),
      online: z.boolean(),
    }),
  ),
  aoi: z.object({ repaired: z.boolean(), repairs: z.array(z.string()) }),
  estimate: z.object({
    seconds: z.number().nullable().describe('null where size or rate is unknown'),
    disk_free: z.number().int().describe('Bytes'),
    quota_share: z.number().nullable().describe('Of the provider’s monthly allowance; 1 = all'),
  }),
  complete: z
    .boolean()
    .describe('false: the search was cut short; the job itself goes on to the end'),
});
export type Preview = z.infer<typeof previewSchema>;

export const providersSchema = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      title: z.string(),
      base_url: z.string(),
      collections: z.array(
        z.object({ id: z.string(), title: z.string(), product_types: z.array(z.string()) }),
      ),
      tile_grid: z.enum(['mgrs', 'wrs2']).nullable(),
      limits: z.object({
        connections: z.number().int(),
        bytes_per_second_per_connection: z.number().nullable(),
      }),
      slots_used: z.number().int().nullable().describe('null while the mirror does not answer'),
      credentials: z.enum(['configured', 'missing', 'rejected']),
    }),
  ),
});

export const tilesSchema = z.object({
  type: z.literal('FeatureCollection'),
  features: z.array(
    z.object({
      type: z.literal('Feature'),
      id: z.string(),
      geometry: geometrySchema,
      properties: z.object({ id: z.string(), grid: z.literal('mgrs') }),
      bbox: z
        .tuple([z.number(), z.number(), z.number(), z.number()])
        .describe('west, south, east, north; west > east crosses the antimeridian'),
    }),
  ),
});

const checkSchema = z.object({ status: z.enum(['ok', 'degraded']), detail: z.string().optional() });
export type Check = z.infer<typeof checkSchema>;
export const healthSchema = z.object({
  status: z.enum(['ok', 'degraded']),
  version: z.string(),
  checks: z.object({
    temporal: checkSchema,
    mirror: checkSchema,
    data_dir: checkSchema,
    providers: checkSchema,
  }),
});
export type Health = z.infer<typeof healthSchema>;
export const liveSchema = z.object({ status: z.literal('ok') });
export const readySchema = z.object({
  status: z.enum(['ready', 'not ready']),
  checks: z.object({ temporal: checkSchema, mirror: checkSchema }),
});
