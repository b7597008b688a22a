/** The one error handler, and the two answers for addresses that lead nowhere. */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import type { Logger } from '../../telemetry/log.js';
import { httpProblem, sendError, sendProblem } from '../http-problems.js';

export const notFound: RequestHandler = () => {
  throw new ServiceError('NotFound', 'There is nothing at this address');
};

/** @param allow the Allow header: methods that this address knows */
export function methodNotAllowed(allow: string): RequestHandler {
  return (request, response) => {
    response.set('Allow', allow);
    if (request.method === 'OPTIONS') return void response.status(204).end();
    sendProblem(
      request,
      response,
      httpProblem('MethodNotAllowed', `${request.method} is not possible here`),
    );
  };
}

export function handleErrors(logger: Logger): ErrorRequestHandler {
  return (thrown: unknown, request, response, _next) => {
    const error = translate(thrown);
    const known = isServiceError(error);
    const requestId = response.locals['requestId'] as string;
    if (!known) logger.error({ requestId, err: error }, 'request failed');
    else if (error.kind !== 'permanent')
      logger.warn({ requestId, code: error.code, reason: error.message }, 'request not served');
    // The answer has begun: all that is left is to make its end visible as a failure.
    if (response.headersSent) return void response.destroy();
    sendError(request, response, error);
  };
}

/** What Express itself throws is about the address: one that cannot be decoded names nothing. */
function translate(error: unknown): unknown {
  return error instanceof URIError
    ? new ServiceError('NotFound', 'There is nothing at this address')
    : error;
}
