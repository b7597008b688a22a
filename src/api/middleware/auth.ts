/**
 * Who may call. One key for everything; a ticket for one event stream. Keys are compared by their digests in constant
 * time, and every refusal is the same, so that nothing can be learned from it. A key in an address is never taken.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { ServiceError } from '../../jobs/error-codes.js';
import { allOperations, operations } from '../operations.js';
import { toQueryRecord } from '../query.js';
import type { Tickets } from '../tickets.js';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Stands for the caller wherever requests of different callers must not meet. */
export function callerIdentity(key: string | null): string {
  return key === null ? 'anonymous' : digest(key).toString('hex');
}

const openPaths = new Set(allOperations.filter(({ open }) => open).map(({ path }) => path));

export function authenticate(key: string | null, tickets: Tickets): RequestHandler {
  if (key === null) return (_request, _response, next) => next();
  const expected = digest(key);
  return (request, _response, next) => {
    const held = presented(request).some((given) => timingSafeEqual(digest(given), expected));
    if (held || openPaths.has(request.path) || hasTicket(request, tickets)) return next();
    throw new ServiceError('Unauthorized', 'A valid API key is needed');
  };
}

function presented(request: Request): string[] {
  const bearer = /^Bearer +(\S+)$/i.exec(request.get('authorization') ?? '')?.[1];
  return [request.get('x-api-key'), bearer].filter((given) => given !== undefined);
}

function hasTicket(request: Request, tickets: Tickets): boolean {
  if (request.path !== operations.streamEvents.path || request.method !== 'GET') return false;
  const { ticket } = toQueryRecord(request.url);
  return typeof ticket === 'string' && tickets.redeem(ticket);
}
