/**
 * Problems on the wire (RFC 9457). Codes of the domain come from src/jobs/error-codes.ts; the few that only HTTP
 * knows stand here. Both tables together are the pages under /problems/.
 */
import type { Request, Response } from 'express';
import { ERROR_CODES, isServiceError } from '../jobs/error-codes.js';
import { toProblem, type Problem } from '../jobs/problem.js';

const HTTP_CODES = {
  MethodNotAllowed: {
    status: 405,
    title: 'Method not allowed',
    hint: 'Use one of the methods in the Allow header',
  },
  RangeNotSatisfiable: {
    status: 416,
    title: 'Range not satisfiable',
    hint: 'Ask for bytes that exist: Content-Range tells the length',
  },
  OriginRefused: {
    status: 403,
    title: 'Origin refused',
    hint: 'Add the origin to NIMBUS_CORS_ORIGINS if it may change things here',
  },
} as const;
export type HttpCode = keyof typeof HTTP_CODES;

export interface ProblemKind {
  code: string;
  slug: string;
  status: number;
  title: string;
  hint: string;
}

const slugOf = (code: string): string => code.replace(/(?<!^)([A-Z])/g, '-$1').toLowerCase();

/** Every problem that an answer may carry, in the order of the tables. */
export const problemKinds: readonly ProblemKind[] = [
  ...Object.entries(ERROR_CODES),
  ...Object.entries(HTTP_CODES),
].map(([code, { status, title, hint }]) => ({ code, slug: slugOf(code), status, title, hint }));

export function httpProblem(code: HttpCode, detail: string): Problem {
  const { status, title, hint } = HTTP_CODES[code];
  return { type: `/problems/${slugOf(code)}`, title, status, detail, code, hint };
}

const RETRY_AFTER_SECONDS = 5;
const LONGEST_INSTANCE = 500;

export const hasBody = ({ headers }: Request): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** Answers with a problem; adds the request's own path and id. */
export function sendProblem(request: Request, response: Response, problem: Problem): void {
  const instance = request.originalUrl.split('?', 1)[0]!.slice(0, LONGEST_INSTANCE);
  const requestId = response.locals['requestId'] as string;
  // What is left of a refused body is not read.
  if (hasBody(request) && !request.complete) response.set('Connection', 'close');
  response
    .status(problem.status)
    .type('application/problem+json')
    .send(JSON.stringify({ ...problem, instance, requestId }));
}

/** Answers with the problem that an error stands for, and says when to come back where that is known. */
export function sendError(request: Request, response: Response, error: unknown): void {
  const problem = toProblem(error);
  const told = isServiceError(error) ? error.retryAfterMs : undefined;
  if (told !== undefined) response.set('Retry-After', String(Math.max(1, Math.ceil(told / 1000))));
  else if (problem.status === 503) response.set('Retry-After', String(RETRY_AFTER_SECONDS));
  if (problem.status === 401) response.set('WWW-Authenticate', 'Bearer realm="nimbus"');
  sendProblem(request, response, problem);
}
