/**
 * The recorded answers of the real Copernicus, replayed word for word on loopback, with the real bytes behind them: the
 * catalogue answers every product query with the recorded page, the download host with the recorded headers.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { sharedPath } from './shared.js';

interface Recording {
  response: {
    status: number;
    headers: Record<string, string>;
    body: { value: { Id: string; Name: string }[] };
  };
}

const read = (path: string): Recording =>
  JSON.parse(
    readFileSync(sharedPath(`providers/recordings/copernicus/${path}`), 'utf8'),
  ) as Recording;

export interface RecordedCopernicus {
  baseUrl: string;
  tokenUrl: string;
  product: { id: string; name: string };
  bytes: Buffer;
  /** Requests to the download path, by status. */
  downloads: number[];
  close(): Promise<void>;
}

export async function replayOrbitProduct(): Promise<RecordedCopernicus> {
  const listing = read('odata/orbit-poeorb-2020-with-headers.json').response;
  const value = read('download/value-orbit-headers.json').response;
  const item = listing.body.value[0]!;
  const bytes = gunzipSync(readFileSync(sharedPath(`scenes/orbits/${item.Name}.gz`)));
  const downloads: number[] = [];

  const server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://localhost');
    if (url.pathname.endsWith('/token')) return sendJson(response, 200, token());
    if (url.pathname.endsWith('/$value')) return sendValue(request, response);
    if (url.pathname.startsWith('/odata/v1/Products(')) return sendJson(response, 200, item);
    // The recorded query asked for one product: its link to the next page leads to an empty one.
    const page =
      url.searchParams.has('$skip') && url.searchParams.get('$skip') !== '0' ? [] : [item];
    sendJson(response, listing.status, { '@odata.context': '$metadata#Products', value: page });
  });

  function sendValue(request: IncomingMessage, response: ServerResponse): void {
    const authorized = request.headers.authorization === `Bearer ${token().access_token}`;
    downloads.push(authorized ? value.status : 401);
    if (!authorized)
      return sendJson(response, 401, { code: 'DAT-ZIP-604', message: 'Token not found' });
    response.writeHead(value.status, value.headers);
    response.end(bytes);
  }

  await listen(server);
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    baseUrl,
    tokenUrl: `${baseUrl}/auth/realms/CDSE/protocol/openid-connect/token`,
    product: { id: item.Id, name: item.Name },
    bytes,
    downloads,
    close: () =>
      new Promise((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  };
}

/** As recorded, the secrets (left out there) made up. */
function token() {
  return {
    access_token: 'a.b.c',
    refresh_token: 'd.e.f',
    expires_in: 600,
    refresh_expires_in: 3600,
    token_type: 'Bearer',
  };
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}
