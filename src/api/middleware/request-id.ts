/** Names each request: the caller's own X-Request-Id where it is harmless, else a new one. Echoed, logged, in problems. */
import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';

const harmless = /^[A-Za-z0-9._-]{1,100}$/;

export const requestId: RequestHandler = (request, response, next) => {
  const given = request.get('x-request-id');
  const id = given !== undefined && harmless.test(given) ? given : randomUUID();
  response.locals['requestId'] = id;
  response.set('X-Request-Id', id);
  next();
};
