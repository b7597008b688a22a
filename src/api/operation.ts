/** One route, described once: what mounts it, what validates it and what documents it. */
import type { z } from 'zod';
import type { ErrorCode } from '../jobs/error-codes.js';
import type { HttpCode } from './http-problems.js';

export interface Answer {
  description: string;
  /** JSON body; absent for none, or for one of `contentType`. */
  schema?: z.ZodType;
  contentType?: string;
  headers?: Record<string, string>;
}

export interface Operation {
  id: string;
  method: 'get' | 'post' | 'delete';
  /** OpenAPI form; `{path}` is the rest of the address, slashes included. */
  path: string;
  tag: string;
  summary: string;
  /** Summary of HEAD, where it is worth a description of its own. */
  headSummary?: string;
  description?: string;
  params?: Record<string, string>;
  query?: z.ZodObject;
  headers?: Record<string, string>;
  body?: z.ZodType;
  answers: Record<number, Answer>;
  problems: readonly (ErrorCode | HttpCode)[];
  /** Needs no key. */
  open?: boolean;
  /** Body of the curl example. */
  example?: unknown;
}

/** Whether a request without a body is refused. */
export const needsBody = ({ body }: Operation): boolean =>
  body !== undefined && !body.safeParse(undefined).success;

/** Keeps the literal types, so that a handler's input follows from the schemas. */
export const operation = <const O extends Operation>(described: O): O => described;

export type QueryOf<O extends Operation> = O['query'] extends z.ZodObject
  ? z.output<O['query']>
  : Record<string, never>;
export type BodyOf<O extends Operation> = O['body'] extends z.ZodType
  ? z.output<O['body']>
  : Record<string, never>;
