/**
 * Ports of the local stack. A port that the user chose is taken or refused, never replaced; a default one gives way to
 * the next free port, and says so.
 */
import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { CommandError, EXIT } from '../exit-codes.js';

const HOST = '127.0.0.1';

export interface PortWish {
  wanted: number;
  /** True if the user named this port: then it is that one or none. */
  chosen: boolean;
  /** Who needs it: "the Temporal server". */
  what: string;
  /** How to change it: "--temporal-port" or "NIMBUS_API_PORT". */
  changedBy: string;
}

export function isPortFree(port: number, host: string = HOST): Promise<boolean> {
  return listen(port, host).then(
    async (server) => {
      await close(server);
      return true;
    },
    () => false,
  );
}

/**
 * Below the ports that systems hand to outgoing connections (32768 and up on Linux, 49152 and up elsewhere): one of those
 * may be taken by any connection between the choice and the server's start, or while a killed server is away.
 */
const FIRST_PORT = 20_000;
const PORTS = 12_000;

/** `count` different ports that nobody uses now. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = FIRST_PORT + randomInt(PORTS);
    if (!ports.has(port) && (await isPortFree(port))) ports.add(port);
  }
  return [...ports];
}

/** A port that nobody uses now and that is not promised to anybody. */
export async function freePort(taken: ReadonlySet<number>): Promise<number> {
  for (;;) {
    const [port] = await freePorts(1);
    if (port !== undefined && !taken.has(port)) return port;
  }
}

/** @throws CommandError (69) naming the port, who wants it and what changes it */
export async function pickPort(
  wish: PortWish,
  say: (line: string) => void,
  taken: ReadonlySet<number> = new Set(),
): Promise<number> {
  const usable = async (port: number): Promise<boolean> =>
    !taken.has(port) && (await isPortFree(port));
  if (await usable(wish.wanted)) return wish.wanted;
  if (wish.chosen) throw portInUse(wish);
  for (let port = wish.wanted + 1; port < Math.min(wish.wanted + 100, 65_536); port += 1)
    if (await usable(port)) {
      say(`Port ${wish.wanted} is in use: ${wish.what} listens on ${port} instead`);
      return port;
    }
  throw portInUse(wish);
}

export function portInUse(wish: Omit<PortWish, 'chosen'>): CommandError {
  return new CommandError(
    `Port ${wish.wanted} is in use by another program, and ${wish.what} wants it`,
    EXIT.unavailable,
    `Stop that program, or choose another port with ${wish.changedBy}`,
  );
}

function listen(port: number, host: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host, exclusive: true }, () => resolve(server));
  });
}

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => server.close(() => resolve()));

/** An API that listens everywhere is reached on this machine by loopback. */
export const loopbackOf = (host: string): string =>
  host === '0.0.0.0'
    ? '127.0.0.1'
    : host === '::'
      ? '[::1]'
      : host.includes(':')
        ? `[${host}]`
        : host;
