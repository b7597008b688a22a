/** From what zod says to what a person reads: a flat list of paths and messages. */
import type { z } from 'zod';
import { ServiceError, type ErrorCode } from '../jobs/error-codes.js';

export interface FieldError {
  path: string;
  message: string;
}

const MOST_ERRORS = 100;

function flatten(
  issues: readonly z.core.$ZodIssue[],
  prefix: readonly PropertyKey[],
): FieldError[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path];
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({ path: toPath([...path, key]), message: 'Unknown field' }));
    if (issue.code === 'invalid_union' && issue.errors.length > 0)
      return flatten(closest(issue.errors), path);
    return [{ path: toPath(path), message: issue.message }];
  });
}

/** Of a union's branches, the one that the input comes nearest to: the fewest complaints, the first of equals. */
function closest(branches: readonly z.core.$ZodIssue[][]): z.core.$ZodIssue[] {
  const complaints = (branch: z.core.$ZodIssue[]): number =>
    branch.reduce(
      (sum, issue) => sum + (issue.code === 'unrecognized_keys' ? 1 + issue.keys.length : 1),
      0,
    );
  return branches.reduce((best, branch) => (complaints(branch) < complaints(best) ? branch : best));
}

const toPath = (path: readonly PropertyKey[]): string => path.map(String).join('.').slice(0, 300);

export function toInvalid(code: ErrorCode, what: string, error: z.ZodError): ServiceError {
  const errors = flatten(error.issues, []).slice(0, MOST_ERRORS);
  const named = errors
    .slice(0, 3)
    .map(({ path, message }) => (path ? `${path}: ${message}` : message))
    .join('; ');
  return new ServiceError(code, `${what} not accepted: ${named}`, { details: { errors } });
}

/** @throws ServiceError `code` with `errors: [{ path, message }]` */
export function parseOr<S extends z.ZodType>(
  schema: S,
  value: unknown,
  code: ErrorCode,
  what: string,
): z.output<S> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw toInvalid(code, what, parsed.error);
  return parsed.data;
}
