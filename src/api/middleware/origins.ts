/**
 * Which web pages may call: CORS for the listed origins, never with credentials, and a refusal of changes that come
 * from any other page, because a browser sends a plain cross-site POST without asking first.
 */
import cors from 'cors';
import type { RequestHandler } from 'express';
import { httpProblem, sendProblem } from '../http-problems.js';

export function corsHeaders(origins: readonly string[]): RequestHandler {
  return cors({
    origin: origins.includes('*') ? '*' : [...origins],
    credentials: false,
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    allowedHeaders: [
      'Authorization',
      'Content-Type',
      'Idempotency-Key',
      'If-Match',
      'If-None-Match',
      'If-Range',
      'Last-Event-ID',
      'Range',
      'X-API-Key',
      'X-Request-Id',
    ],
    exposedHeaders: [
      'Accept-Ranges',
      'Content-Disposition',
      'Content-Range',
      'ETag',
      'Location',
      'Retry-After',
      'X-Request-Id',
    ],
    maxAge: 600,
  });
}

const harmless = new Set(['GET', 'HEAD', 'OPTIONS']);

export function refuseForeignChanges(origins: readonly string[]): RequestHandler {
  return (request, response, next) => {
    const origin = request.get('origin');
    if (
      harmless.has(request.method) ||
      origin === undefined ||
      origins.includes('*') ||
      origins.includes(origin) ||
      isOwn(origin, request.get('host'))
    )
      return next();
    sendProblem(
      request,
      response,
      httpProblem('OriginRefused', 'Pages of this origin may not change things here'),
    );
  };
}

function isOwn(origin: string, host: string | undefined): boolean {
  try {
    return host !== undefined && new URL(origin).host === host.toLowerCase();
  } catch {
    return false;
  }
}
