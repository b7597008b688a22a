/** From errors to problems. Without zod, because workflows bundle it: a bundle is evaluated for each workflow. */
import { ERROR_CODES, ServiceError, type ErrorCode } from './error-codes.js';
import type { Problem } from './problem-schema.js';

export type { Problem } from './problem-schema.js';

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
