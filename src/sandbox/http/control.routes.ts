/** The control port, on loopback only: fault scripts, the ledger, settings, and the truth about products. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { faultSchema } from '../faults.js';
import { settingsPatchSchema } from '../options.js';
import type { Sandbox } from '../sandbox.js';
import { BodyTooLarge, readBody } from './exchange.js';

class ControlError extends Error {
  override readonly name = 'ControlError';
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Handler = (request: IncomingMessage, url: URL, sandbox: Sandbox) => Promise<unknown>;

const routes: Record<string, Handler> = {
  'GET /health': async () => ({ status: 'ok' }),
  'GET /faults': async (_request, _url, sandbox) => sandbox.scripted(),
  'POST /faults': async (request, _url, sandbox) => {
    const body = await parsedBody(request, z.union([faultSchema, z.array(faultSchema)]));
    return { added: sandbox.script(Array.isArray(body) ? body : [body]) };
  },
  'DELETE /faults': async (_request, _url, sandbox) => sandbox.clearFaults(),
  'GET /ledger': async (_request, _url, sandbox) => sandbox.ledger(),
  'DELETE /ledger': async (_request, _url, sandbox) => sandbox.resetLedger(),
  'GET /settings': async (_request, _url, sandbox) => sandbox.configure({}),
  'PUT /settings': async (request, _url, sandbox) =>
    sandbox.configure(await parsedBody(request, settingsPatchSchema)),
  'GET /products': async (_request, url, sandbox) => sandbox.products(productQuery(url)),
};

export function createControlServer(sandbox: () => Sandbox): Server {
  return createServer((request, response) => {
    void respond(request, response, sandbox());
  });
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  sandbox: Sandbox,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://control');
  try {
    answer(response, 200, (await dispatch(request, url, sandbox)) ?? {});
  } catch (error) {
    const status =
      error instanceof ControlError ? error.status : error instanceof BodyTooLarge ? 413 : 400;
    answer(response, status, { error: error instanceof Error ? error.message : String(error) });
  }
}

async function dispatch(request: IncomingMessage, url: URL, sandbox: Sandbox): Promise<unknown> {
  const method = request.method ?? 'GET';
  const amend = /^\/products\/([^/]+)$/.exec(url.pathname);
  if (amend && method === 'PATCH') {
    const fields = await parsedBody(request, z.record(z.string(), z.unknown()));
    return sandbox.amend(decodeURIComponent(amend[1]!), fields);
  }
  const handler = routes[`${method} ${url.pathname}`];
  if (!handler) throw new ControlError(404, `No ${method} ${url.pathname} here`);
  return handler(request, url, sandbox);
}

async function parsedBody<T>(request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
  const text = await readBody(request, 8 * 1024 * 1024);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ControlError(400, 'The body is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new ControlError(400, z.prettifyError(parsed.error));
  return parsed.data;
}

function productQuery(url: URL): Parameters<Sandbox['products']>[0] {
  const known = ['id', 'name', 'filter', 'offset', 'limit', 'digests'];
  const stray = [...url.searchParams.keys()].find((key) => !known.includes(key));
  if (stray !== undefined)
    throw new ControlError(400, `Unknown parameter ${stray}; known: ${known.join(', ')}`);
  const text = (name: string): string | undefined => url.searchParams.get(name) ?? undefined;
  const number = (name: string): number | undefined => {
    const value = text(name);
    if (value !== undefined && !/^\d+$/.test(value))
      throw new ControlError(400, `${name} is not a number`);
    return value === undefined ? undefined : Number(value);
  };
  return {
    ...optional('id', text('id')),
    ...optional('name', text('name')),
    ...optional('filter', text('filter')),
    ...optional('offset', number('offset')),
    ...optional('limit', number('limit')),
    digests: text('digests') === 'true',
  };
}

function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>);
}

function answer(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}
