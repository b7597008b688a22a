import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import { openRemote, readRemote } from '../../../src/transfer/remote-reader.js';

const content = Buffer.from(Array.from({ length: 5_000 }, (_, at) => (at * 7) % 251));
const limits = { headersMs: 2_000, idleMs: 500, triesWithoutProgress: 3 };
const closers: (() => void)[] = [];
afterEach(() => closers.splice(0).forEach((close) => close()));

type Handler = (request: IncomingMessage, response: ServerResponse, turn: number) => void;

/** Serves `content` with ranges; `odd` may answer a request itself by returning true. */
async function serve(odd: (...args: Parameters<Handler>) => boolean = () => false) {
  let turn = 0;
  const ranges: (string | undefined)[] = [];
  const tokens: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    tokens.push(request.headers.authorization);
    if (odd(request, response, ++turn)) return;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (from === undefined) return void response.writeHead(200).end(content);
    const end = Math.min(content.length, Number(to) + 1);
    response.writeHead(206, { 'content-range': `bytes ${from}-${end - 1}/${content.length}` });
    response.end(content.subarray(Number(from), end));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => (server.closeAllConnections(), server.close()));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  let token = 1;
  const source = {
    url: `http://${host}/file`,
    headers: async () => ({ authorization: `Bearer ${token}` }),
    rejected: () => void token++,
    trustedHosts: [host],
    plainHttpHosts: [host],
    translate: () => null,
  };
  const options = { signal: new AbortController().signal, limits };
  const failing = (promise: Promise<unknown>): Promise<ServiceError> =>
    promise.then(
      () => Promise.reject(new Error('It did not fail')),
      (error: ServiceError) => error,
    );
  return { source, options, server, ranges, tokens, failing };
}

describe('a remote file read by ranges', () => {
  it('gives exactly the bytes asked for, and asks for each stretch once', async () => {
    const { source, options, ranges } = await serve();
    const reader = await openRemote(source, options);
    expect(reader.bytes).toBe(5_000);
    expect(reader.first.equals(content.subarray(0, 512))).toBe(true);
    expect((await reader.read(100, 50)).equals(content.subarray(100, 150))).toBe(true);
    const tail = await reader.read(4_000, 1_000);
    expect(tail.equals(content.subarray(4_000))).toBe(true);
    expect((await reader.read(4_990, 10)).equals(content.subarray(4_990))).toBe(true);
    expect(ranges).toEqual(['bytes=0-511', 'bytes=4000-4999']);
    expect(reader.bytesFetched).toBe(1_512);
  });

  it('F001 refuses a server that answers a range with everything', async () => {
    const { source, options, failing } = await serve((_request, response) => {
      response.writeHead(200).end(content);
      return true;
    });
    expect(await failing(openRemote(source, options))).toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('does not serve ranges'),
    });
  });

  it.each([
    ['begins elsewhere', 'bytes 101-200/5000', 100],
    ['is shorter than asked', 'bytes 100-150/5000', 51],
    ['has no Content-Range', undefined, 100],
    ['contradicts its length', 'bytes 100-199/5000', 90],
  ])('refuses a 206 that %s, after asking again', async (_what, range, bytes) => {
    const { source, options, ranges, failing } = await serve((_request, response, turn) => {
      if (turn === 1) return false;
      const headers = { 'content-length': bytes, ...(range && { 'content-range': range }) };
      response.writeHead(206, headers).end(content.subarray(0, bytes));
      return true;
    });
    const reader = await openRemote(source, options);
    expect((await failing(reader.read(1_100, 100))).code).toBe('SourceRefused');
    expect(ranges).toHaveLength(1 + limits.triesWithoutProgress);
  });

  it('a file that has another length or ETag by now is another file', async () => {
    const answer =
      (etag: string, total: number): Handler =>
      (_request, response) =>
        void response
          .writeHead(206, { etag, 'content-range': `bytes 1000-1099/${total}` })
          .end(content.subarray(1_000, 1_100));
    for (const later of [answer('"a"', 5_001), answer('"b"', 5_000)]) {
      const { source, options, failing } = await serve((request, response, turn) => {
        if (turn > 1) later(request, response, turn);
        else
          response
            .writeHead(206, { etag: '"a"', 'content-range': 'bytes 0-511/5000' })
            .end(content.subarray(0, 512));
        return true;
      });
      const reader = await openRemote(source, options);
      expect((await failing(reader.read(1_000, 100))).code).toBe('SourceChanged');
    }
  });

  it('outlives a cut and a 500, and gets a new token once', async () => {
    const { source, options, tokens } = await serve((_request, response, turn) => {
      if (turn === 1) response.writeHead(401).end();
      else if (turn === 2) response.writeHead(500).end();
      else if (turn === 3) {
        response.writeHead(206, { 'content-range': 'bytes 0-511/5000', 'content-length': 512 });
        response.write(content.subarray(0, 100), () => response.destroy());
      } else return false;
      return true;
    });
    const patient = { ...options, limits: { ...limits, triesWithoutProgress: 5 } };
    expect((await openRemote(source, patient)).bytes).toBe(5_000);
    expect(tokens).toEqual(['Bearer 1', 'Bearer 2', 'Bearer 2', 'Bearer 2']);
  });

  it('F041 waits as long as a 429 asks, where that is short, and leaves longer waits to others', async () => {
    for (const [seconds, turns] of [
      [1, 2],
      [60, 1],
    ] as const) {
      let asked = 0;
      const { source, options } = await serve((_request, response, turn) => {
        asked = turn;
        if (turn === 1) response.writeHead(429, { 'retry-after': String(seconds) }).end();
        return turn === 1;
      });
      const translate = ({ status }: { status: number }) =>
        status === 429
          ? new ServiceError('SourceThrottled', 'Too many', { retryAfterMs: seconds * 1000 })
          : null;
      const opening = openRemote({ ...source, translate }, options);
      if (turns === 2) expect((await opening).bytes).toBe(content.length);
      else await expect(opening).rejects.toMatchObject({ code: 'SourceThrottled' });
      expect(asked).toBe(turns);
    }
  });

  it('F019 is refused where the server encodes it', async () => {
    const { source, options, failing } = await serve((_request, response) => {
      response.setHeader('content-encoding', 'gzip');
      return false;
    });
    expect(await failing(openRemote(source, options))).toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('gzip'),
    });
  });

  it('asks again for a token where nobody could be asked, and hears an abort while it waits for one', async () => {
    const { source, options, failing } = await serve(() => false);
    let asked = 0;
    const headers = async () => {
      if (++asked === 1)
        throw new TypeError('fetch failed', {
          cause: Object.assign(new Error('no'), { code: 'ECONNREFUSED' }),
        });
      return {};
    };
    expect((await openRemote({ ...source, headers }, options)).bytes).toBe(content.length);
    const stop = new AbortController();
    const silent = { ...source, headers: () => new Promise<never>(() => undefined) };
    const waiting = failing(openRemote(silent, { ...options, signal: stop.signal }));
    stop.abort();
    expect(await waiting).toMatchObject({ code: 'Cancelled' });
  });

  it('is refused for good with a token that stays refused, and stops when it is told to', async () => {
    const denied = await serve((_request, response) => {
      response.writeHead(401).end();
      return true;
    });
    expect((await denied.failing(openRemote(denied.source, denied.options))).code).toBe(
      'SourceDenied',
    );
    expect(denied.tokens).toHaveLength(2);
    const silent = await serve(() => true);
    const stop = new AbortController();
    const waiting = silent.failing(
      openRemote(silent.source, { ...silent.options, signal: stop.signal }),
    );
    setTimeout(() => stop.abort(), 50);
    expect((await waiting).code).toBe('Cancelled');
  });
});

describe('a small remote file read whole', () => {
  it('comes whole, by length, in chunks, or to the end of the connection', async () => {
    for (const headers of [{ 'content-length': '5000' }, {}, { connection: 'close' }]) {
      const { source, options } = await serve((_request, response) => {
        response.writeHead(200, headers);
        response.write(content.subarray(0, 1_000));
        response.end(content.subarray(1_000));
        return true;
      });
      const { content: read, bytesFetched } = await readRemote(source, 10_000, options);
      expect(read.equals(content)).toBe(true);
      expect(bytesFetched).toBe(5_000);
    }
  });

  it('is refused when it is longer than it may be, announced or not', async () => {
    for (const headers of [{ 'content-length': '5000' }, {}]) {
      const { source, options, failing } = await serve((_request, response) => {
        response.writeHead(200, headers);
        response.end(content);
        return true;
      });
      expect(await failing(readRemote(source, 4_000, options))).toMatchObject({
        code: 'SourceRefused',
        message: expect.stringContaining('4000'),
      });
    }
  });
});

it('I10 leaves no connection behind', async () => {
  const { source, options, server } = await serve();
  for (let turn = 0; turn < 5; turn++) await readRemote(source, 10_000, options);
  const open = () => new Promise<number>((resolve) => server.getConnections((_, n) => resolve(n)));
  await expect.poll(open).toBe(0);
});
