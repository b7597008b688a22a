/** What `GET /v1/jobs/{id}/result` answers. */
import { z } from 'zod';
import { jobStates } from './job.js';
import { problemSchema } from './problem-schema.js';
import { checksumAlgorithms, verificationLevels } from './product.js';

export const productOutcomeSchema = z.object({
  id: z.string(),
  name: z.string(),
  outcome: z.enum(['completed', 'reused', 'failed', 'cancelled']),
  paths: z.array(z.string()),
  bytes: z.number().int(),
  error: problemSchema.nullable(),
});
export type ProductOutcome = z.infer<typeof productOutcomeSchema>;

export const jobResultSchema = z.object({
  job_id: z.string(),
  state: z.enum(jobStates),
  paths: z.array(z.string()),
  checksums: z.record(
    z.string(),
    z.object({
      algorithm: z.enum(checksumAlgorithms),
      value: z.string(),
      level: z.enum(verificationLevels),
    }),
  ),
  manifest: z.string().nullable(),
  bytes: z.number().int(),
  products: z.array(productOutcomeSchema),
});
export type JobResult = z.infer<typeof jobResultSchema>;
