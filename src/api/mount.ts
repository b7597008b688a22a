/** Mounts operations: validation before the handler, typed input for it, and a check that none was forgotten. */
import type { Request, RequestHandler, Response, Router } from 'express';
import { isJobId } from '../jobs/ids.js';
import { parseOr } from './invalid.js';
import { noSuchJob } from './known-jobs.js';
import { jsonBody } from './middleware/json-body.js';
import { methodNotAllowed } from './middleware/errors.js';
import { needsBody, type BodyOf, type Operation, type QueryOf } from './operation.js';
import { allOperations } from './operations.js';
import { parseQuery } from './query.js';

export interface Call<O extends Operation> {
  query: QueryOf<O>;
  body: BodyOf<O>;
  request: Request;
  response: Response;
}

export type Mount = <O extends Operation>(
  operation: O,
  handler: (call: Call<O>) => void | Promise<void>,
) => void;

/** `/v1/jobs/{id}/files/{path}` → `/v1/jobs/:id/files/*path` */
const toExpressPath = (path: string): string =>
  path.replace('{path}', '*path').replaceAll(/\{(\w+)\}/g, ':$1');

export function createMount(
  router: Router,
  maxBodyBytes: number,
): { mount: Mount; finish: () => void } {
  const mounted = new Set<Operation>();
  const mount: Mount = (operation, handler) => {
    mounted.add(operation);
    const named: RequestHandler = (_request, response, next) => {
      response.locals['route'] = operation.path;
      next();
    };
    router[operation.method](
      toExpressPath(operation.path),
      named,
      ...(operation.body ? jsonBody(maxBodyBytes, needsBody(operation)) : []),
      (request, response) => handler({ ...parseCall(operation, request), request, response }),
    );
  };
  return { mount, finish: () => finish(router, mounted) };
}

function parseCall<O extends Operation>(
  operation: O,
  request: Request,
): { query: QueryOf<O>; body: BodyOf<O> } {
  const query = operation.query ? parseQuery(operation.query, request.url) : {};
  const body = operation.body
    ? parseOr(operation.body, request.body, 'InvalidInput', 'Request')
    : {};
  return { query: query as QueryOf<O>, body: body as BodyOf<O> };
}

/** Answers 405 for other methods of known addresses. @throws Error when an operation is served by nobody */
function finish(router: Router, mounted: ReadonlySet<Operation>): void {
  const missing = allOperations.filter((operation) => !mounted.has(operation));
  if (missing.length > 0 || mounted.size !== allOperations.length)
    throw new Error(`Operations and routes differ: ${missing.map(({ id }) => id).join(', ')}`);
  const methods = new Map<string, string[]>();
  for (const { path, method } of allOperations) {
    const known = methods.get(path) ?? ['OPTIONS'];
    methods.set(path, [...known, method.toUpperCase(), ...(method === 'get' ? ['HEAD'] : [])]);
  }
  for (const [path, known] of methods)
    router.all(toExpressPath(path), (request, response, next) => {
      response.locals['route'] = path;
      methodNotAllowed(known.sort().join(', '))(request, response, next);
    });
}

/** @throws ServiceError NotFound for what cannot be a job's id */
export function jobIdOf(request: Request): string {
  const id = request.params['id'];
  if (typeof id !== 'string' || !isJobId(id)) throw noSuchJob();
  return id;
}
