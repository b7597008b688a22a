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
    const meant = issue.code === 'invalid_union' ? closest(issue.errors) : null;
    if (meant) return flatten(meant, path);
    return [{ path: toPath(path), message: issue.message }];
  });
}

/** Of a union's branches, the one that the input comes nearest to: the fewest complaints. Null where none is nearest. */
function closest(branches: readonly z.core.$ZodIssue[][]): z.core.$ZodIssue[] | null {
  const complaints = (branch: z.core.$ZodIssue[]): number =>
    branch.reduce(
      (sum, issue) => sum + (issue.code === 'unrecognized_keys' ? 1 + issue.keys.length : 1),
      0,
    );
  const fewest = Math.min(...branches.map(complaints));
  const nearest = branches.filter((branch) => complaints(branch) === fewest);
  return nearest.length === 1 ? nearest[0]! : null;
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
