/**
 * An HTTP server that does to a client whatever a script says, byte by byte: it speaks on the bare socket, so that lengths,
 * ranges, endings and headers can be wrong in any way. It keeps its own ledger of requests, connections and body bytes sent.
 */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

export interface SeenRequest {
  method: string;
  /** Without the query. */
  path: string;
  headers: Record<string, string>;
  /** First byte of the Range asked for; 0 when none. */
  from: number;
  /** Where the Range asked for ends, exclusive; null = at the end of the file. */
  to: number | null;
  isRanged: boolean;
  /** How many requests came before this one. */
  index: number;
  /** Which connection brought it: 0 is the first. */
  connection: number;
  /** Answers under way for paths of the same folder, this one included. */
  atOnce: number;
}

/** What to answer. Headers are sent as given; nothing is added but what `honest` makes. */
export interface Answer {
  status?: number;
  headers?: Record<string, string | string[]>;
  /** Sent as they are, in place of status and headers; the empty line included. */
  head?: Buffer | string;
  /** In pieces where the whole would be too much to hold, or has pauses in it. */
  body?: Buffer | string | Iterable<Buffer> | AsyncIterable<Buffer>;
  /**
   * Then: end cleanly, cut with a reset, fall silent for ever, or keep the connection for the next request. By default a
   * connection is kept when the body is as long as announced and the client has not asked to close it.
   */
  then?: 'end' | 'reset' | 'hang' | 'keep';
  /** Pause before each slice of `sliceBytes`. */
  sliceBytes?: number;
  everyMs?: number;
  /** The head, too, comes in slices, one every `everyMs`. */
  headSliceBytes?: number;
  /** Sent on a connection that lies idle, a moment after the answer; then it ends. */
  late?: string;
  /** Say nothing at all. */
  silent?: boolean;
}

export type Script = (request: SeenRequest) => Answer | Promise<Answer>;

export interface LyingServerOptions {
  /** Speaks TLS with this key and certificate. */
  identity?: { key: Buffer; cert: Buffer };
  /** Asked for each connection before a byte is read from it. Bytes are sent at once. */
  onConnection?: (index: number) => 'accept' | 'reset' | 'hold' | Buffer;
  /** Address to listen on. */
  address?: string;
  /** Told of all body bytes handed to the network so far, after each slice. */
  onBytes?: (sent: number) => void;
}

export interface LyingServer {
  url: (path?: string) => string;
  host: string;
  requests: SeenRequest[];
  /** Body bytes handed to the network. */
  bytesSent: () => number;
  /** Bytes written that the kernel has not taken yet. */
  writableBytes: () => number;
  /** Bytes in the kernel that no client has read. */
  unreadBytes: () => number;
  /** Connections accepted, and those open now. */
  connections: () => { accepted: number; open: number };
  /** The most answers that were under way at once for one folder of paths (see `SETTLING_MS`), by folder. */
  peaks: Map<string, number>;
  /** What a script threw: a fault of the test. */
  failures: unknown[];
  close: () => Promise<void>;
}

/** A client may open a connection just after it closed one, and be seen the other way round: so long nothing is counted. */
const SETTLING_MS = 30;
/** Some 2 s: a client that reads no more then never will. */
const MOST_LOOKS = 400;

/** An answer as a good server gives it: ranges served, lengths right. */
export function honest(
  request: SeenRequest,
  file: Buffer,
  options: {
    etag?: string | null;
    headers?: Record<string, string>;
    ranges?: boolean;
    /** Bytes that a part has at most. */
    most?: number;
  } = {},
): Answer & { body: Buffer; headers: Record<string, string> } {
  const headers: Record<string, string> = { ...options.headers };
  if (options.etag) headers.etag = options.etag;
  const pinned = request.headers['if-range'];
  const ranged =
    options.ranges !== false && request.isRanged && (!pinned || pinned === options.etag);
  if (ranged && request.from >= file.length)
    return {
      status: 416,
      headers: { ...headers, 'content-range': `bytes */${file.length}`, 'content-length': '0' },
      body: Buffer.alloc(0),
    };
  const { most = Infinity } = options;
  const end = Math.min(request.to ?? file.length, file.length, request.from + most);
  const body = ranged ? file.subarray(request.from, end) : file;
  if (ranged) headers['content-range'] = `bytes ${request.from}-${end - 1}/${file.length}`;
  headers['content-length'] = String(body.length);
  return { status: ranged ? 206 : 200, headers, body };
}

export function chunked(...parts: (Buffer | string)[]): Buffer {
  const coded = parts.map((part) => {
    const bytes = Buffer.from(part);
    return Buffer.concat([
      Buffer.from(`${bytes.length.toString(16)}\r\n`),
      bytes,
      Buffer.from('\r\n'),
    ]);
  });
  return Buffer.concat([...coded, Buffer.from('0\r\n\r\n')]);
}

export async function startLyingServer(
  script: Script,
  options: LyingServerOptions = {},
): Promise<LyingServer> {
  const { identity, onConnection } = options;
  const sockets = new Set<net.Socket>();
  /** Below TLS: only there is a reset to be had. By the port of the other side. */
  const beneath = new Map<number | undefined, net.Socket>();
  const reset = (socket: net.Socket) => {
    const raw = identity ? beneath.get(socket.remotePort) : socket;
    // libuv refuses to reset what is being shut down, and Node then forgets the handle without closing it
    if (!socket.writableEnded) raw?.resetAndDestroy();
    socket.destroy();
  };
  const busy = new Map<net.Socket, string>();
  const peaks = new Map<string, number>();
  const countIn = (folder: string) => [...busy.values()].filter((one) => one === folder).length;
  const requests: SeenRequest[] = [];
  const failures: unknown[] = [];
  let sent = 0;
  let accepted = 0;
  const count = (bytes: number) => {
    sent += bytes;
    options.onBytes?.(sent);
  };
  const serve = (socket: net.Socket) => {
    const connection = identity ? accepted - 1 : accepted++;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      busy.delete(socket);
    });
    const welcome = identity ? 'accept' : onConnection?.(connection);
    if (welcome === 'reset') return reset(socket);
    if (welcome === 'hold') return;
    if (Buffer.isBuffer(welcome)) socket.write(welcome);
    let head = '';
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      const request = parse(head.slice(0, end), requests.length, connection);
      head = head.slice(end + 4);
      requests.push(request);
      const folder = request.path.replace(/[^/]*$/, '');
      busy.set(socket, folder);
      request.atOnce = countIn(folder);
      setTimeout(() => {
        const atOnce = countIn(folder);
        if (atOnce > (peaks.get(folder) ?? 0)) peaks.set(folder, atOnce);
      }, SETTLING_MS).unref();
      Promise.resolve(request)
        .then(script)
        .then((answer) => send(socket, request, answer, { count, reset }))
        .then((isDone) => isDone && busy.delete(socket))
        .catch((error: unknown) => {
          failures.push(error);
          socket.destroy();
        });
    });
  };
  const server = identity ? tls.createServer(identity, serve) : net.createServer(serve);
  if (identity)
    server.on('connection', (socket: net.Socket) => {
      const { remotePort } = socket;
      beneath.set(remotePort, socket);
      socket.on('close', () => beneath.delete(remotePort));
      const connection = accepted++;
      if (onConnection?.(connection) === 'reset') socket.resetAndDestroy();
    });
  server.listen(0, options.address ?? '127.0.0.1');
  await once(server, 'listening');
  const { address, port, family } = server.address() as net.AddressInfo;
  const host = family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
  return {
    host,
    url: (path = '/file') => `${identity ? 'https' : 'http'}://${host}${path}`,
    requests,
    bytesSent: () => sent,
    unreadBytes: () =>
      queues().reduce((sum, { from, to, unsent, unread }) => {
        const ofServer = from === port ? unsent : 0;
        return sum + (to === port ? unread : ofServer);
      }, 0),
    writableBytes: () => [...sockets].reduce((sum, socket) => sum + socket.writableLength, 0),
    connections: () => ({ accepted, open: sockets.size }),
    peaks,
    failures,
    async close() {
      for (const socket of sockets) socket.destroy();
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}

function parse(head: string, index: number, connection: number): SeenRequest {
  const [first = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const [method = '', target = ''] = first.split(' ');
  const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '');
  return {
    method,
    path: target.split('?')[0] ?? '',
    headers,
    from: Number(range?.[1] ?? 0),
    to: range?.[2] ? Number(range[2]) + 1 : null,
    isRanged: range !== null,
    index,
    connection,
    atOnce: 1,
  };
}

/** Resolves to whether the answer is over, for both sides. */
async function send(
  socket: net.Socket,
  request: SeenRequest,
  answer: Answer,
  { count, reset }: { count: (bytes: number) => void; reset: (socket: net.Socket) => void },
): Promise<boolean> {
  if (answer.silent) return false;
  const head = asBytes(answer.head ?? headOf(answer));
  await inSlices(socket, head, answer.headSliceBytes ?? head.length, answer);
  const isHead = request.method === 'HEAD';
  let bodyBytes = 0;
  for await (const piece of isHead ? [] : piecesOf(answer.body)) {
    bodyBytes += piece.length;
    await inSlices(socket, piece, answer.sliceBytes ?? 64 * 1024, answer, count);
    if (socket.destroyed) break;
  }
  const { late } = answer;
  const then = answer.then ?? (isDelimited(request, answer, bodyBytes) ? 'keep' : 'end');
  if (then === 'reset') {
    if (socket.writableLength > 0) await drained(socket);
    await arrived(socket);
    setTimeout(() => reset(socket), 20);
  } else if (late !== undefined) setTimeout(() => socket.end(late), 20);
  else if (then === 'end') socket.end();
  return then !== 'hang';
}

function headOf({ status = 200, headers = {} }: Answer): string {
  const fields = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((one) => `${name}: ${one}\r\n`),
  );
  return `HTTP/1.1 ${status} Said\r\n${fields.join('')}\r\n`;
}

async function inSlices(
  socket: net.Socket,
  bytes: Buffer,
  sliceBytes: number,
  { everyMs, headSliceBytes }: Answer,
  count?: (bytes: number) => void,
) {
  const waits = count !== undefined || headSliceBytes !== undefined;
  for (let at = 0; at < bytes.length && !socket.destroyed; at += sliceBytes) {
    const part = bytes.subarray(at, at + sliceBytes);
    if (everyMs && waits) await new Promise((resolve) => setTimeout(resolve, everyMs));
    const isFlowing = socket.write(part);
    count?.(part.length);
    if (!isFlowing) await drained(socket);
  }
}

function piecesOf(body: Answer['body']): Iterable<Buffer> | AsyncIterable<Buffer> {
  if (typeof body === 'string') return [Buffer.from(body)];
  return Buffer.isBuffer(body) ? [body] : (body ?? []);
}

/** Resolves when the socket takes more, or never will. */
function drained(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    if (socket.destroyed) resolve();
    else socket.on('drain', done).on('close', done);
  });
}

/** Resolves when the other side's kernel has what was written, which a reset would discard, or takes no more of it. */
async function arrived(socket: net.Socket): Promise<void> {
  const { localPort, remotePort } = socket;
  const isHeld = () =>
    queues().some(({ from, to, unsent }) => from === localPort && to === remotePort && unsent > 0);
  for (let looks = 0; looks < MOST_LOOKS && !socket.destroyed && isHeld(); looks++)
    await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Bytes in the kernel, for each end of a connection by its ports. None where there is no table to read. */
function queues(): { from: number; to: number; unsent: number; unread: number }[] {
  const hex = (text = '0') => parseInt(text, 16);
  const portOf = (address = '') => hex(address.split(':')[1]);
  return ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap((path) => (existsSync(path) ? readFileSync(path, 'latin1').split('\n').slice(1) : []))
    .map((row) => {
      const [, local, remote, , queue = ''] = row.trim().split(/\s+/);
      const [unsent, unread] = queue.split(':');
      return { from: portOf(local), to: portOf(remote), unsent: hex(unsent), unread: hex(unread) };
    });
}

/** Will the client know by itself where this answer ends, and is it willing to ask again on the same connection? */
function isDelimited(request: SeenRequest, answer: Answer, bodyBytes: number): boolean {
  if (request.headers.connection?.toLowerCase() === 'close' || answer.head !== undefined)
    return false;
  const headers = Object.fromEntries(
    Object.entries(answer.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  );
  if (headers.connection !== undefined) return false;
  if (request.method === 'HEAD') return true;
  if (headers['transfer-encoding'] !== undefined)
    return (
      headers['content-length'] === undefined &&
      Buffer.isBuffer(answer.body) &&
      answer.body.subarray(-5).toString('latin1') === '0\r\n\r\n'
    );
  return headers['content-length'] === String(bodyBytes);
}

function asBytes(head: Buffer | string): Buffer {
  return typeof head === 'string' ? Buffer.from(head, 'latin1') : head;
}
