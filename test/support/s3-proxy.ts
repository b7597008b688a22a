/**
 * Stands before a real S3 server and does to its traffic what networks, load and broken servers do: each request is shown
 * to `script`, which says what becomes of it. Keeps a ledger of what reached the server. Signatures stay valid, since
 * nothing that is signed is changed.
 */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

export type Operation =
  | ('PutObject' | 'HeadObject' | 'GetObject' | 'DeleteObject' | 'ListObjects')
  | ('CreateUpload' | 'UploadPart' | 'ListParts' | 'Complete' | 'Abort' | 'ListUploads');

export interface Seen {
  operation: Operation;
  path: string;
  partNumber: number | null;
  headers: IncomingMessage['headers'];
}

export type Action =
  | 'pass'
  /** Answered here, with an error of this status. */
  | { status: number; code: string }
  /** Answered here, as if it had gone well. */
  | { ok: true }
  /** The connection ends after so many bytes of the request's body. */
  | { cutAfter: number }
  /** The server does it, and the client never learns. */
  | 'lose-answer'
  /** One byte of the request's body is another when it arrives. */
  | 'flip'
  /** The answer's body ends after so many bytes. */
  | { cutAnswerAfter: number }
  /** Headers of the answer are others. */
  | { answer: Record<string, string> }
  | 'never-answer';

export interface S3Proxy {
  endpoint: string;
  /** What reached the server and was answered by it, in order. */
  ledger: (Seen & { status: number })[];
  script: (seen: Seen, nth: number) => Action | Promise<Action>;
  /** Called when the server has answered, before the client hears of it. */
  onAnswered: (seen: Seen) => void | Promise<void>;
  close(): Promise<void>;
}

export async function startS3Proxy(target: string): Promise<S3Proxy> {
  const counts = new Map<string, number>();
  const server = createServer((incoming, outgoing) => {
    void handle(incoming, outgoing).catch(() => outgoing.destroy());
  });
  const proxy: S3Proxy = {
    endpoint: '',
    ledger: [],
    script: () => 'pass',
    onAnswered: () => undefined,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const seen = toSeen(incoming);
    const nth = (counts.get(seen.operation) ?? 0) + 1;
    counts.set(seen.operation, nth);
    const action = await proxy.script(seen, nth);
    if (action === 'never-answer') return void incoming.resume();
    if (typeof action === 'object' && 'status' in action) {
      await drained(incoming);
      const body = `<?xml version="1.0"?><Error><Code>${action.code}</Code><Message>scripted</Message></Error>`;
      return void outgoing
        .writeHead(action.status, { 'content-type': 'application/xml' })
        .end(body);
    }
    if (typeof action === 'object' && 'ok' in action) {
      await drained(incoming);
      return void outgoing.writeHead(200, { etag: '"0123456789abcdef0123456789abcdef"' }).end();
    }
    forward(seen, action, incoming, outgoing);
  }

  function forward(
    seen: Seen,
    action: Action,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ) {
    const { method, url, headers } = incoming;
    const upstream = request(target + url!, { method, headers });
    upstream.on('error', () => outgoing.destroy());
    outgoing.on('close', () => upstream.destroy());
    if (typeof action === 'object' && 'cutAfter' in action) {
      let passed = 0;
      incoming.on('data', (piece: Buffer) => {
        passed += piece.length;
        if (passed >= action.cutAfter) incoming.socket.destroy();
        else upstream.write(piece);
      });
      return;
    }
    incoming.pipe(action === 'flip' ? flipping() : passing()).pipe(upstream);
    upstream.on('response', (answer) => {
      void (async () => {
        proxy.ledger.push({ ...seen, status: answer.statusCode! });
        await proxy.onAnswered(seen);
        if (action === 'lose-answer') return void outgoing.destroy();
        const changed = typeof action === 'object' && 'answer' in action ? action.answer : {};
        outgoing.writeHead(answer.statusCode!, { ...answer.headers, ...changed });
        if (typeof action === 'object' && 'cutAnswerAfter' in action)
          return void cut(answer, outgoing, action.cutAnswerAfter);
        answer.pipe(outgoing);
      })();
    });
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}

function cut(answer: IncomingMessage, outgoing: ServerResponse, after: number): void {
  let passed = 0;
  answer.on('data', (piece: Buffer) => {
    const rest = piece.subarray(0, Math.max(0, after - passed));
    passed += piece.length;
    if (passed < after) return void outgoing.write(rest);
    answer.destroy();
    outgoing.write(rest, () => outgoing.destroy());
  });
}

function flipping(): Transform {
  let done = false;
  return new Transform({
    transform(piece: Buffer, _encoding, callback: TransformCallback) {
      const copy = Buffer.from(piece);
      if (!done) copy[Math.floor(copy.length / 2)]! ^= 1;
      done = true;
      callback(null, copy);
    },
  });
}

const passing = () =>
  new Transform({ transform: (piece, _encoding, callback) => callback(null, piece) });

async function drained(incoming: IncomingMessage): Promise<void> {
  for await (const _ of incoming);
}

function toSeen({ method, url, headers }: IncomingMessage): Seen {
  const { pathname, searchParams } = new URL(url!, 'http://proxy');
  const part = searchParams.get('partNumber');
  const facts = {
    path: decodeURIComponent(pathname).split('/').slice(2).join('/'),
    partNumber: part === null ? null : Number(part),
    headers,
  };
  const has = (name: string) => searchParams.has(name);
  const operation = ((): Operation => {
    if (method === 'HEAD') return 'HeadObject';
    if (method === 'POST') return has('uploads') ? 'CreateUpload' : 'Complete';
    if (method === 'PUT') return part === null ? 'PutObject' : 'UploadPart';
    if (method === 'DELETE') return has('uploadId') ? 'Abort' : 'DeleteObject';
    if (has('uploadId')) return 'ListParts';
    if (has('uploads')) return 'ListUploads';
    return has('list-type') ? 'ListObjects' : 'GetObject';
  })();
  return { operation, ...facts };
}
