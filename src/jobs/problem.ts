/** RFC 9457 problem documents: the one shape in which an error is shown, over HTTP and inside a job. */
import { z } from 'zod';
import { ERROR_CODES, ServiceError, type ErrorCode } from './error-codes.js';

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

/** `ChecksumMismatch` → `/problems/checksum-mismatch`. */
export function problemType(code: ErrorCode): string {
  return `/problems/${code.replace(/(?<!^)([A-Z])/g, '-$1').toLowerCase()}`;
}

/** Any error → a problem. Only ServiceErrors show their message: the text of a bug stays in the log. */
export function toProblem(error: unknown): Problem {
  const known = error instanceof ServiceError ? error : undefined;
  const code: ErrorCode = known?.code ?? 'Internal';
  const facts = ERROR_CODES[code];
  const errors = known?.details['errors'] as Problem['errors'];
  return {
    type: problemType(code),
    title: facts.title,
    status: facts.status,
    detail: known?.message ?? 'Something went wrong inside Nimbus',
    code,
    hint: facts.hint,
    ...(errors ? { errors } : {}),
  };
}
