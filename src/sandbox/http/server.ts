/** A listener of the sandbox: turns a request into an exchange, asks the fault book, and sends what the route answers. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { FaultAction, FaultBook } from '../faults.js';
import type { Ledger } from '../ledger.js';
import { json, redirectTo, type Answer } from './answer.js';
import { BodyTooLarge, readBody, send, waitOrGone, type Exchange } from './exchange.js';

export type Route = (exchange: Exchange) => Promise<Answer>;

export interface ServerDeps {
  name: 'catalogue' | 'download';
  ledger: Ledger;
  faults: FaultBook;
  route: Route;
  /** Speed of answers that carry product bytes. */
  bytesPerSecond: () => number | null;
  /** The session a request's token belongs to, or null. */
  sessionOf: (request: IncomingMessage, url: URL) => string | null;
}

let connections = 0;
const connectionNumbers = new WeakMap<Socket, number>();

function connectionNumber(socket: Socket): number {
  const known = connectionNumbers.get(socket) ?? (connections += 1);
  connectionNumbers.set(socket, known);
  return known;
}

export function createListener(deps: ServerDeps): Server {
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    void handle(request, response, deps).catch(() => response.destroy());
  });
  // Longer than clients keep theirs, so that a request never meets a connection that is being closed.
  server.keepAliveTimeout = 65_000;
  return server;
}

/** @returns the port */
export function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}

export function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  deps: ServerDeps,
): Promise<void> {
  const startedAt = performance.now();
  const url = new URL(request.url ?? '/', 'http://sandbox');
  const path = safeDecode(url.pathname);
  const method = request.method ?? 'GET';
  const product = /\/Products\(([^)']+)\)/.exec(path)?.[1] ?? null;
  const fault = deps.faults.take({ server: deps.name, method, path, productId: product });
  const entry = deps.ledger.open({
    server: deps.name,
    method,
    path,
    query: publicQuery(url),
    product,
    range: request.headers.range ?? null,
    tokenSession: deps.sessionOf(request, url),
    connection: connectionNumber(request.socket),
    faulted: fault !== null && Object.keys(fault).length > 0,
  });
  const exchange: Exchange = {
    method,
    path,
    search: url.search,
    query: url.searchParams,
    headers: request.headers,
    entry,
    fault: fault ?? {},
    body: (limit) => readBody(request, limit),
  };
  try {
    await waitOrGone(response, exchange.fault.delayMs ?? 0);
    if (exchange.fault.closeBeforeHeaders) return void request.socket.resetAndDestroy();
    await answer(response, exchange, deps);
  } finally {
    entry.durationMs = Math.round(performance.now() - startedAt);
  }
}

async function answer(
  response: ServerResponse,
  exchange: Exchange,
  deps: ServerDeps,
): Promise<void> {
  const scripted = scriptedAnswer(exchange.fault);
  const found = scripted ?? (await deps.route(exchange).catch(failure));
  const { ledger } = deps;
  try {
    await send(response, found, {
      ledger,
      entry: exchange.entry,
      fault: exchange.fault,
      bytesPerSecond: found.release ? deps.bytesPerSecond() : null,
    });
  } finally {
    found.release?.();
  }
}

/** Answers that replace the route's own. */
function scriptedAnswer(fault: FaultAction): Answer | null {
  if (fault.redirect !== undefined) return redirectTo(302, fault.redirect);
  if (fault.htmlPage)
    return {
      status: fault.status ?? 200,
      headers: { 'content-type': 'text/html; charset=utf-8' },
      body: Buffer.from('<!DOCTYPE html><html><body><h1>Service unavailable</h1></body></html>\n'),
    };
  if (fault.status === undefined) return null;
  if (typeof fault.body === 'string')
    return { status: fault.status, headers: {}, body: Buffer.from(fault.body) };
  if (fault.body !== undefined) return json(fault.status, fault.body);
  return { status: fault.status, headers: {}, body: Buffer.alloc(0) };
}

function failure(error: unknown): Answer {
  if (error instanceof BodyTooLarge) return json(413, { detail: error.message });
  return json(500, { detail: error instanceof Error ? error.message : String(error) });
}

function safeDecode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function publicQuery(url: URL): string {
  const shown = new URLSearchParams(url.search);
  shown.delete('token');
  return [...shown].map(([key, value]) => `${key}=${value}`).join('&');
}
