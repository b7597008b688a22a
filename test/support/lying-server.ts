/**
 * An HTTP server that does to a client whatever a script says, byte by byte: it speaks on the bare socket, so that lengths,
 * ranges, endings and headers can be wrong in any way. It keeps its own ledger of requests and of body bytes sent.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

export interface SeenRequest {
  path: string;
  headers: Record<string, string>;
  /** First byte of the Range asked for; 0 when none. */
  from: number;
  isRanged: boolean;
  /** How many requests came before this one. */
  index: number;
}

/** What to answer. Headers are sent as given; nothing is added but what `honest` makes. */
export interface Answer {
  status?: number;
  headers?: Record<string, string | string[]>;
  body?: Buffer | string;
  /** Then: end cleanly (default), cut with a reset, or fall silent for ever. */
  then?: 'end' | 'reset' | 'hang';
  /** Pause before each slice of `sliceBytes`. */
  sliceBytes?: number;
  everyMs?: number;
  /** Say nothing at all. */
  silent?: boolean;
}

export type Script = (request: SeenRequest) => Answer | Promise<Answer>;

export interface LyingServer {
  url: (path?: string) => string;
  host: string;
  requests: SeenRequest[];
  /** Body bytes handed to the network. */
  bytesSent: () => number;
  close: () => Promise<void>;
}

/** An answer as a good server gives it: ranges served, lengths right. */
export function honest(
  request: SeenRequest,
  file: Buffer,
  options: { etag?: string | null; headers?: Record<string, string>; ranges?: boolean } = {},
): Answer & { body: Buffer; headers: Record<string, string> } {
  const headers: Record<string, string> = { ...options.headers };
  if (options.etag) headers.etag = options.etag;
  const pinned = request.headers['if-range'];
  const ranged =
    options.ranges !== false && request.isRanged && (!pinned || pinned === options.etag);
  if (ranged && request.from >= file.length)
    return {
      status: 416,
      headers: { ...headers, 'content-range': `bytes */${file.length}` },
      body: Buffer.alloc(0),
    };
  const body = ranged ? file.subarray(request.from) : file;
  if (ranged) headers['content-range'] = `bytes ${request.from}-${file.length - 1}/${file.length}`;
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

/** @param identity speaks TLS with this key and certificate */
export async function startLyingServer(
  script: Script,
  identity?: { key: Buffer; cert: Buffer },
): Promise<LyingServer> {
  const sockets = new Set<net.Socket>();
  const requests: SeenRequest[] = [];
  let sent = 0;
  const serve = (socket: net.Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
    let head = '';
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      const request = parse(head.slice(0, end), requests.length);
      head = head.slice(end + 4);
      requests.push(request);
      void Promise.resolve(script(request)).then((answer) =>
        send(socket, answer, (bytes) => (sent += bytes)),
      );
    });
  };
  const server = identity ? tls.createServer(identity, serve) : net.createServer(serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  return {
    host,
    url: (path = '/file') => `${identity ? 'https' : 'http'}://${host}${path}`,
    requests,
    bytesSent: () => sent,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function parse(head: string, index: number): SeenRequest {
  const [first = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const range = /^bytes=(\d+)-/.exec(headers.range ?? '')?.[1];
  return {
    path: first.split(' ')[1] ?? '',
    headers,
    from: Number(range ?? 0),
    isRanged: range !== undefined,
    index,
  };
}

async function send(socket: net.Socket, answer: Answer, count: (bytes: number) => void) {
  if (answer.silent) return;
  const fields = Object.entries(answer.headers ?? {}).flatMap(([name, value]) =>
    [value].flat().map((one) => `${name}: ${one}\r\n`),
  );
  socket.write(`HTTP/1.1 ${answer.status ?? 200} Said\r\n${fields.join('')}\r\n`, 'latin1');
  const body = Buffer.from(answer.body ?? '');
  const slice = answer.sliceBytes ?? 64 * 1024;
  for (let at = 0; at < body.length && !socket.destroyed; at += slice) {
    const part = body.subarray(at, at + slice);
    if (answer.everyMs) await new Promise((resolve) => setTimeout(resolve, answer.everyMs));
    const isFlowing = socket.write(part);
    count(part.length);
    if (!isFlowing)
      await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => undefined);
  }
  if (answer.then === 'hang') return;
  if (answer.then === 'reset') {
    if (socket.writableLength > 0) await once(socket, 'drain').catch(() => undefined);
    // what was written has to arrive before the reset that would discard it
    setTimeout(() => socket.resetAndDestroy(), 20);
  } else socket.end();
}
