/** RFC 9457 problem documents: the one shape in which an error is shown, over HTTP and inside a job. */
import { z } from 'zod';

export const problemSchema = z.object({
  type: z.string().describe('/problems/<code in kebab case>, a page of the API documentation'),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  instance: z.string().optional(),
  code: z.string(),
  hint: z.string().optional().describe('What can be done next'),
  requestId: z.string().optional(),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
});
export type Problem = z.infer<typeof problemSchema>;
