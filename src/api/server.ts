/**
 * The API as a server: listens, is patient with slow clients only so long, and drains when it is told to stop. What it
 * was given (mirror, engine, …) belongs to the caller and stays open.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from '../config.js';
import { createMetrics } from '../telemetry/metrics.js';
import { createApp } from './app.js';
import type { ApiDeps } from './context.js';

export interface RunningApi {
  port: number;
  /** Stops accepting, ends event streams, waits for requests under way (at most 10 s), then closes what is left. */
  close(): Promise<void>;
}

const DRAIN_MS = 10_000;
const DRAIN_LOOK_MS = 25;

const serverOptions = {
  headersTimeout: 10_000,
  /** The whole request, body included: long enough for the largest body on a poor line. */
  requestTimeout: 60_000,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: 5_000,
  // A client may give any nonsense as Last-Event-ID and still gets a stream (F110).
  maxHeaderSize: 2 * 1024 * 1024,
};

export interface StartApiOptions extends Omit<ApiDeps, 'settings'> {
  config: Pick<Config, 'api'>;
}

/** @throws Error naming the port and its variable when the port cannot be had */
export async function startApi({ config, ...deps }: StartApiOptions): Promise<RunningApi> {
  const { host, port, ...settings } = config.api;
  const metrics = createMetrics({ processFigures: true });
  const { app, endStreams } = createApp({ ...deps, settings }, metrics);
  const server = createServer(serverOptions, app);
  await listen(server, host, port);
  const address = server.address() as AddressInfo;
  deps.logger.info({ host, port: address.port }, 'API listens');
  let closing: Promise<void> | null = null;
  return {
    port: address.port,
    close: () => (closing ??= drain(server, endStreams)),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, host, port)));
    server.listen(port, host, resolve);
  });
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const reasons: Record<string, string> = {
    EADDRINUSE: `Port ${port} on ${host} is in use: stop what uses it, or set NIMBUS_API_PORT`,
    EACCES: `Port ${port} on ${host} may not be used by this user: set NIMBUS_API_PORT`,
    EADDRNOTAVAIL: `${host} is not an address of this machine: set NIMBUS_API_HOST`,
    ENOTFOUND: `${host} is not an address of this machine: set NIMBUS_API_HOST`,
  };
  const reason = error.code === undefined ? undefined : reasons[error.code];
  return reason === undefined ? error : new Error(reason, { cause: error });
}

async function drain(server: Server, endStreams: () => void): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  endStreams();
  // A connection that has just answered counts as idle only from now on: look again until none is left.
  const look = setInterval(() => server.closeIdleConnections(), DRAIN_LOOK_MS);
  const last = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
  await closed;
  clearInterval(look);
  clearTimeout(last);
}
