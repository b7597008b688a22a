/** What servers do that mean well: machines that stand in for each other, limits, pauses, and words of their own in headers. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import { hideTotal } from '../../support/faults.js';
import {
  chunked,
  honest,
  type Answer,
  type Script,
  type SeenRequest,
} from '../../support/lying-server.js';
import { bytesOf, md5, useKits, type Kit } from '../../support/transfer-kit.js';

const MIB = 1024 * 1024;
const file = bytesOf(3 * MIB);
const etag = '"one"';
const slowly = { sliceBytes: 32 * 1024, everyMs: 3 };
const limits = { blockBytes: MIB / 4, triesWithoutProgress: 5 };
const undigested = { checksums: [] };
const serve = useKits();

async function exactly(kit: Kit, changes = {}, content = file) {
  const result = await kit.fetch(kit.source(content, changes), { limits });
  expect((await kit.content(result)).equals(content)).toBe(true);
  return result;
}

describe.each([
  ['with a digest', {}],
  ['without one', undigested],
])('F010 machines that stand in for each other, %s', (_, changes) => {
  const serveAnd = (headersOf: (index: number) => Record<string, string>) =>
    serve(
      (request) => ({
        ...honest(request, file, { etag, headers: headersOf(request.index) }),
        ...slowly,
      }),
      { connections: 4 },
    );

  it('may date the bytes of one strong ETag differently', async () => {
    const kit = await serveAnd((index) => ({
      'last-modified': `Sun, 0${1 + (index % 2)} Nov 2026 00:00:00 GMT`,
    }));
    await exactly(kit, changes);
    expect(kit.notes).toEqual([]);
  });

  it('may weaken an ETag', async () => {
    const kit = await serve(
      (request) => {
        const { headers, ...answer } = honest(request, file, { etag });
        return { ...answer, headers: { ...headers, etag: request.index % 2 ? `W/${etag}` : etag } };
      },
      { connections: 4 },
    );
    await exactly(kit, changes);
  });
});

describe('F010 machines that each have an ETag of their own for the same bytes', () => {
  const fromMachine = (machines: number) =>
    serve(
      (request) => {
        const own = `"machine-${request.index % machines}"`;
        return { ...honest(request, file, { etag: own }), ...slowly };
      },
      { connections: 4 },
    );

  it.each([2, 3, Infinity])('%d of them, with a digest', async (machines) => {
    const kit = await fromMachine(machines);
    const result = await exactly(kit);
    expect(result.bytesFetched).toBeLessThan(3 * file.length);
  });

  it('two of them, without: one answer is of one object', async () => {
    const kit = await serve(
      (request) => {
        const own = `"machine-${Number(request.from > 0)}"`;
        return { ...honest(request, file, { etag: own, most: MIB }), ...slowly };
      },
      { connections: 4 },
    );
    await exactly(kit, undigested);
    expect(kit.server.requests.at(-1)?.isRanged).toBe(false);
  });

  it('two of them, without, and no answer that is whole', async () => {
    const kit = await serve((request) => {
      const answer = honest(request, file, { etag: `"${request.index % 2}"` });
      return { ...answer, body: answer.body.subarray(0, MIB), then: 'end' };
    });
    await expect(exactly(kit, undigested)).rejects.toMatchObject({ code: 'SourceChanged' });
  });

  it('what has come is kept for the next call', async () => {
    const kit = await fromMachine(3);
    const stop = new AbortController();
    const stopAt = 2 * MIB;
    const onProgress = ({ bytes }: { bytes: number }) => bytes > stopAt && stop.abort();
    const first = kit.fetch(kit.source(file), { limits, signal: stop.signal, onProgress });
    await expect(first).rejects.toMatchObject({ code: 'Cancelled' });
    const result = await exactly(kit);
    expect(result.bytesFetched).toBeLessThanOrEqual(file.length - stopAt + MIB / 2);
  });

  it('a product that becomes another one all the time is none', async () => {
    const kit = await serve(
      (request) => {
        const changing = Buffer.from(file);
        changing.fill(request.index % 251, MIB / 2);
        return { ...honest(request, changing, { etag: `"${request.index}"` }), ...slowly };
      },
      { connections: 4 },
    );
    await expect(kit.fetch(kit.source(file), { limits })).rejects.toMatchObject({
      code: expect.stringMatching(/^(ChecksumMismatch|ChecksumDisputed|SourceChanged)$/) as string,
    });
  });
});

it.each([
  ['with a digest', {}],
  ['without one', undigested],
])(
  'F009 416 to a range that there is refuses ranges, and drops nothing, %s',
  async (_, changes) => {
    const cutAt = 2 * MIB;
    const kit = await serve((request) => {
      const answer = honest({ ...request, isRanged: false }, file, { etag });
      if (request.isRanged)
        return {
          status: 416,
          headers: { 'content-range': `bytes */${file.length}`, 'content-length': '0' },
        };
      return request.index === 0
        ? { ...answer, body: answer.body.subarray(0, cutAt), then: 'end' }
        : answer;
    });
    await exactly(kit, changes);
    expect(kit.notes).not.toContainEqual(
      expect.objectContaining({ reason: expect.stringContaining('dropped') as string }),
    );
  },
);

it('F012 a page is the product where a digest says so', async () => {
  const page = Buffer.from(`<!doctype html><html>${'x'.repeat(2000)}</html>`);
  const headers = { 'content-type': 'text/html; charset=utf-8' };
  const kit = await serve((request) => honest(request, page, { etag, headers }));
  await exactly(kit, { expectedBytes: null }, page);
});

it('F012 a page after a failure of another kind is asked for again', async () => {
  const page = '<!doctype html><html>Down for maintenance</html>';
  const kit = await serve((request) => {
    if (request.index === 0) return { status: 503, headers: { 'content-length': '0' } };
    if (request.index === 1)
      return { headers: { 'content-length': String(page.length) }, body: page };
    return honest(request, file, { etag });
  });
  await exactly(kit);
});

it('F023 a token that cannot be had for the moment is asked for again', async () => {
  const kit = await serve((request) => honest(request, file, { etag }));
  let asked = 0;
  const headers = async () => {
    if (asked++ === 0) throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
    return { authorization: 'Bearer x' };
  };
  await exactly(kit, { headers });
});

it.each([
  ['SourceDenied', undefined],
  ['SourceThrottled', 90_000],
] as const)('F023 what the keeper of the token says is said: %s', async (code, retryAfterMs) => {
  const kit = await serve((request) => honest(request, file, { etag }));
  let asked = 0;
  const headers = async () => {
    asked++;
    throw new ServiceError(code, 'No credentials', { ...(retryAfterMs && { retryAfterMs }) });
  };
  await expect(kit.fetch(kit.source(file, { headers }))).rejects.toMatchObject({
    code,
    message: 'No credentials',
    ...(retryAfterMs && { retryAfterMs }),
  });
  expect(asked).toBe(1);
});

it('what the keeper of the token throws without a code is a fault of ours, not of the source', async () => {
  const kit = await serve((request) => honest(request, file, { etag }));
  const cause = new TypeError('keeper is not a function');
  const headers = () => Promise.reject(cause);
  await expect(kit.fetch(kit.source(file, { headers }))).rejects.toMatchObject({
    code: 'Internal',
    cause,
  });
  expect(kit.server.requests).toEqual([]);
});

describe.each([
  ['with its length', (page: string) => ({ 'content-length': String(page.length) })],
  ['without a length', () => ({ connection: 'close' })],
])('F012 a page %s in the place of the rest costs nothing where a digest is known', (_, length) => {
  it.each([
    ['and a size', {}],
    ['and no size', { expectedBytes: null }],
  ])('%s', async (__, changes) => {
    const page = `<!doctype html><html>Down for maintenance${' '.repeat(600)}</html>`;
    const kit = await serve((request): Answer => {
      const answer = honest(request, file, { etag });
      if (request.index === 0) return { ...answer, body: file.subarray(0, MIB), then: 'end' };
      const headers = { 'content-type': 'text/html', ...length(page) };
      return request.index === 1 ? { headers, body: page, then: 'end' } : answer;
    });
    kit.allow({ copies: 1 });
    const { bytesFetched } = await exactly(kit, changes);
    expect(bytesFetched).toBeLessThan(1.1 * file.length);
  });
});

/** Parts come slowly until as many are under way as there may be; from then on they are refused, so many times. */
const refusing = (status: number, times: number) => {
  let refused = 0;
  let isFull = false;
  let wholes = 0;
  const script: Script = async (request) => {
    if (!request.isRanged && request.index > 0) wholes++;
    isFull ||= request.atOnce >= 4;
    if (request.isRanged && isFull && refused < times && request.atOnce < 4) {
      refused++;
      return { status, headers: { 'content-length': '0' } };
    }
    return { ...honest(request, file, { etag, most: 128 * 1024 }), sliceBytes: 16_384, everyMs: 3 };
  };
  return { script, refused: () => refused, wholes: () => wholes };
};

describe.each([400, 405, 412, 416, 501])('F008 ranges that are refused by %i', (status) => {
  it('once, by accident: the rest comes in parts', async () => {
    const { script, refused, wholes } = refusing(status, 1);
    const kit = await serve(script, { connections: 4 });
    await exactly(kit);
    expect([refused(), wholes()]).toEqual([1, 0]);
  });

  it('from some time on: the whole is asked for', async () => {
    const { script, refused, wholes } = refusing(status, Infinity);
    const kit = await serve(script, { connections: 4 });
    await exactly(kit);
    expect(refused()).toBeGreaterThanOrEqual(2);
    expect(wholes()).toBeGreaterThan(0);
  });
});

it('F008 fills all gaps from one whole where ranges are no longer served', async () => {
  let servesRanges = true;
  const kit = await serve(
    (request) => ({
      ...honest(request, file, { etag, ranges: servesRanges }),
      ...(servesRanges && { sliceBytes: 16_384, everyMs: 5 }),
    }),
    { connections: 4 },
  );
  const stop = new AbortController();
  const stopped = kit.fetch(kit.source(file), { limits, signal: stop.signal });
  setTimeout(() => stop.abort(), 300);
  await expect(stopped).rejects.toMatchObject({ code: 'Cancelled' });
  expect(new Set(kit.server.requests.map(({ connection }) => connection)).size).toBe(4);
  servesRanges = false;
  const before = kit.server.requests.length;
  const { bytesFetched } = await exactly(kit);
  // One that was pinned, one that was not.
  expect(kit.server.requests.length - before).toBeLessThanOrEqual(2);
  expect(bytesFetched).toBeLessThan(2 * file.length);
});

describe('F019 a Content-Encoding that encodes nothing', () => {
  const gzipped = gzipSync(file);
  it.each(['', 'none', 'binary', 'utf-8', 'aws-chunked', 'identity'])('"%s"', async (coding) => {
    const headers = { 'content-encoding': coding };
    const kit = await serve((request) => honest(request, gzipped, { etag, headers }));
    await exactly(kit, {}, gzipped);
  });
});

describe.each(['gzip', 'x-gzip', 'aws-chunked, gzip', 'br', 'zstd', 'deflate', 'compress'])(
  'F019 a Content-Encoding that says "%s"',
  (coding) => {
    const headers = { 'content-encoding': coding };
    const gzipped = gzipSync(file);
    const serveGzipped = (options = {}) =>
      serve((request) => honest(request, gzipped, { etag, headers }), options);

    it.each([
      [1, {}],
      [4, {}],
      [1, { expectedBytes: null }],
    ])(
      'of the bytes that the digest is about, %i connections, %j',
      async (connections, changes) => {
        await exactly(await serveGzipped({ connections }), changes, gzipped);
      },
    );
    it('F010 of a product that was replaced', async () => {
      const old = bytesOf(gzipped.length, 8);
      const kit = await serve((request): Answer => {
        // answered with a part of it, as by servers that do not know If-Range
        const { 'if-range': _, ...asked } = request.headers;
        if (request.index > 0)
          return honest({ ...request, headers: asked }, gzipped, { etag: '"new"', headers });
        const answer = honest(request, old, { etag, headers });
        return { ...answer, body: answer.body.subarray(0, MIB), then: 'end' };
      });
      await exactly(kit, {}, gzipped);
    });
    it.each<[string, object]>([
      ['nobody knows the digest', undigested],
      ['another length was announced', { expectedBytes: file.length }],
    ])('is refused where %s', async (_, changes) => {
      const kit = await serveGzipped();
      await expect(exactly(kit, changes, gzipped)).rejects.toMatchObject({ code: 'SourceRefused' });
    });
    it('is refused where it comes in chunks, as compressed on the way', async () => {
      const kit = await serve((): Answer => ({
        headers: { ...headers, 'transfer-encoding': 'chunked' },
        body: chunked(gzipped),
      }));
      const changes = { expectedBytes: null };
      await expect(exactly(kit, changes, gzipped)).rejects.toMatchObject({ code: 'SourceRefused' });
    });
  },
);

it.each([1, 4])('a Content-Range on a whole says nothing, %i connections', async (connections) => {
  const headers = { 'content-range': `bytes 0-${file.length - 1}/${file.length}` };
  const kit = await serve((request) => honest(request, file, { etag, headers, ranges: false }), {
    connections,
  });
  await exactly(kit);
});

it('F012 a page that was announced as it is, is no page in the place of something', async () => {
  const page = Buffer.from(`<!DOCTYPE html><html><body>${'preview '.repeat(500)}</body></html>`);
  const headers = { 'content-type': 'text/html' };
  const kit = await serve((request) => honest(request, page, { etag, headers }));
  await exactly(kit, {}, page);
});

it.each<[string, Record<string, string>]>([
  ['nimbus', {}],
  ['survey/2', { 'user-agent': 'survey/2' }],
])('says who it is: %s', async (name, headers) => {
  const kit = await serve((request) => honest(request, file));
  await exactly(kit, { headers: async () => headers });
  expect(kit.server.requests[0]?.headers['user-agent']).toBe(name);
});

it('follows an address in UTF-8 that nobody has escaped', async () => {
  const moved = 'HTTP/1.1 302 Found\r\nLocation: /dät\r\nContent-Length: 0\r\n\r\n';
  const kit = await serve((request): Answer => {
    if (request.path === '/d%C3%A4t') return honest(request, file);
    if (request.index > 0) return { status: 404, headers: { 'content-length': '0' } };
    return { head: Buffer.from(moved, 'utf8'), then: 'end' };
  });
  await exactly(kit);
});

describe('one connection is allowed, and others are refused', () => {
  const large = bytesOf(6 * MIB);
  it.each<[string, Answer]>([
    ['by a 503', { status: 503, headers: { 'content-length': '0' } }],
    ['by a 429', { status: 429, headers: { 'content-length': '0' } }],
    ['by a reset', { head: '', body: '', then: 'reset' }],
  ])('%s: they are not tried again and again', async (_, refusal) => {
    const kit = await serve(
      (request) =>
        request.atOnce > 1
          ? refusal
          : { ...honest(request, large, { etag }), sliceBytes: 16 * 1024, everyMs: 5 },
      { connections: 4 },
    );
    await exactly(kit, {}, large);
    const parts = large.length / limits.blockBytes;
    expect(kit.server.requests.length).toBeLessThan(parts + 10);
  });
});

it('a token that expires costs no connections', async () => {
  const large = bytesOf(16 * MIB);
  let token = 0;
  let valid = 0;
  let mostAfterwards = 0;
  const kit = await serve(
    (request): Answer => {
      if (request.index === 12) valid = 1;
      if (request.headers.authorization !== `Bearer ${valid}`)
        return { status: 401, headers: { 'content-length': '0' } };
      if (valid === 1) mostAfterwards = Math.max(mostAfterwards, request.atOnce);
      return { ...honest(request, large, { etag }), sliceBytes: 16 * 1024, everyMs: 5 };
    },
    { connections: 4 },
  );
  const headers = async () => ({ authorization: `Bearer ${token}` });
  await exactly(kit, { headers, rejected: () => void (token = 1) }, large);
  expect(valid).toBe(1);
  expect(mostAfterwards).toBe(4);
});

describe('a pause that is longer than the limit, at one place of the file', () => {
  const pausing =
    (answerOf: (request: SeenRequest) => ReturnType<typeof honest>): Script =>
    (request) => {
      const answer = answerOf(request);
      const from = answer.status === 206 ? request.from : 0;
      const paused = async function* () {
        yield answer.body.subarray(0, Math.max(0, MIB - from));
        await sleep(450);
        yield answer.body.subarray(Math.max(0, MIB - from));
      };
      return { ...answer, body: from < MIB ? paused() : answer.body };
    };

  it.each([true, false])('is waited for the longer, ranges: %s', async (ranges) => {
    const kit = await serve(pausing((request) => honest(request, file, { etag, ranges })));
    await exactly(kit);
    expect(kit.server.requests.length).toBeLessThanOrEqual(4);
  });
});

const most = MIB / 4;
/** The parts of an honest server, which do not say how long the file is. */
function withoutTotal(request: SeenRequest, most = Infinity) {
  const answer = honest(request, file, { etag, most });
  hideTotal(answer.headers);
  return answer;
}

it.each([
  ['a catalogue that is a byte off', 1, (it: SeenRequest) => honest(it, file, { etag, most })],
  ['a total that nobody says', 0, (it: SeenRequest) => withoutTotal(it, most)],
])('%s costs no part its connection', async (_, off, answerOf) => {
  const kit = await serve(answerOf, { connections: 2 });
  await exactly(kit, { expectedBytes: file.length + off });
  expect(kit.server.requests.length).toBeGreaterThan(8);
  expect(kit.server.connections().accepted).toBeLessThanOrEqual(3);
});

describe('a catalogue whose size is wrong', () => {
  it.each([-1, 1, 1000])(
    'by %i, and nothing to prove the file by: a whole that came twice is asked for no more',
    async (off) => {
      const kit = await serve(() => ({
        headers: { 'transfer-encoding': 'chunked' },
        body: chunked(file),
      }));
      const expectedBytes = file.length + off;
      await expect(exactly(kit, { ...undigested, expectedBytes })).rejects.toMatchObject({
        code: 'SourceRefused',
      });
      expect(kit.server.requests).toHaveLength(2);
    },
  );
});

describe('parts that do not say how long the file is', () => {
  it.each([
    ['with a digest', {}],
    ['without one', { ...undigested, expectedBytes: null }],
  ])('end where nothing follows, whoever asks: %s', async (_, changes) => {
    let isHeld = true;
    const kit = await serve(
      (request) =>
        isHeld && request.from >= file.length ? { silent: true } : withoutTotal(request),
      { connections: 2 },
    );
    const source = kit.source(file, { expectedBytes: null, ...changes });
    const once = { limits: { ...limits, triesWithoutProgress: 1 } };
    await expect(kit.fetch(source, once)).rejects.toMatchObject({ code: 'SourceUnavailable' });
    isHeld = false;
    await exactly(kit, { expectedBytes: null, ...changes });
  });

  it('heal a length that was too small, though nothing but the catalogue tells', async () => {
    const dated = { 'last-modified': 'Sun, 01 Nov 2026 00:00:00 GMT' };
    const kit = await serve(
      (request) => {
        const { headers, ...answer } =
          request.index === 0 ? honest(request, file.subarray(0, MIB)) : withoutTotal(request);
        return { ...answer, headers: { ...headers, ...dated } };
      },
      { connections: 2 },
    );
    await exactly(kit, undigested);
  });

  it.each([0, 23])('heal a wrong byte, and a length that was wrong by %i', async (more) => {
    const wrong = Buffer.concat([file, Buffer.alloc(more)]);
    wrong[2 * MIB]! ^= 1;
    const kit = await serve((request) =>
      request.index === 0 ? honest(request, wrong, { etag }) : withoutTotal(request),
    );
    await exactly(kit, {
      expectedBytes: null,
      checksums: [{ algorithm: 'md5', value: md5(file) }],
    });
  });
});

describe('servers that want no range, or not just so', () => {
  it.each([1, 4])(
    'the whole in answer to If-Range, and no answer that is whole, %i connections',
    async (connections) => {
      const kit = await serve(
        (request) => {
          const isPinned = request.headers['if-range'] !== undefined;
          const answer = honest(request, file, { etag, ranges: !isPinned });
          return { ...answer, body: answer.body.subarray(0, MIB), then: 'end' };
        },
        { connections },
      );
      const result = await exactly(kit);
      expect(result.bytesFetched).toBeLessThan(2.5 * file.length);
    },
  );

  it.each([1, 4])(
    'a cut near the end costs no second copy where a pinned range is answered with the whole, %i connections',
    async (connections) => {
      const kit = await serve(
        (request) => {
          const isPinned = request.headers['if-range'] !== undefined;
          const answer = honest(request, file, { etag, ranges: !isPinned });
          if (request.index > 0) return answer;
          return { ...answer, body: answer.body.subarray(0, 0.9 * file.length), then: 'reset' };
        },
        { connections },
      );
      const result = await exactly(kit);
      expect(result.bytesFetched).toBeLessThan(1.2 * file.length);
    },
  );

  it.each([undigested, {}])('416 to what is behind 0, without a word why: %j', async (changes) => {
    const kit = await serve(
      (request) => {
        if (request.from > 0) return { status: 416, headers: { 'content-length': '0' } };
        return { ...honest(request, file, { etag }), ...slowly };
      },
      { connections: 4 },
    );
    await exactly(kit, changes);
  });

  it.each([
    [1000, etag, {}],
    [4095, etag, {}],
    [4096, null, undigested],
    [6000, null, undigested],
  ])('parts of no more than %i bytes, ETag %s, %j', async (few, pin, changes) => {
    const kit = await serve((request) => honest(request, file, { etag: pin, most: few }), {
      connections: 4,
    });
    const result = await exactly(kit, changes);
    expect(result.bytesFetched).toBeLessThan(3 * file.length);
    expect(kit.server.requests.length).toBeLessThan(20);
  });

  it('a wrong length first, and then parts that say none', async () => {
    const kit = await serve((request): Answer => {
      const answer = honest(request, file);
      if (request.index === 0)
        return { ...answer, headers: { 'content-length': String(2 * file.length) }, then: 'end' };
      hideTotal(answer.headers);
      return answer;
    });
    const stop = new AbortController();
    const onProgress = ({ bytes }: { bytes: number }) => bytes === file.length && stop.abort();
    const first = kit.fetch(kit.source(file, undigested), {
      limits,
      onProgress,
      signal: stop.signal,
    });
    await expect(first).rejects.toMatchObject({ code: 'Cancelled' });
    await exactly(kit, undigested);
  });

  it('F010 after one change without a digest, several connections as before', async () => {
    const large = bytesOf(8 * MIB, 6);
    const old = bytesOf(8 * MIB, 7);
    const kit = await serve(
      (request) =>
        request.index === 0
          ? { ...honest(request, old, { etag: '"old"' }), ...slowly }
          : { ...honest(request, large, { etag: '"new"' }), ...slowly },
      { connections: 4 },
    );
    const result = await exactly(kit, undigested, large);
    expect(result.bytesFetched).toBeLessThan(large.length + MIB);
    expect(kit.server.connections().accepted).toBeLessThan(10);
  });
});

/** Passes one connection on at a time, until its client closes it; the others wait. */
async function oneAtATime(to: string): Promise<string> {
  const waiting: Socket[] = [];
  let current: Socket | null = null;
  const next = () => {
    current = waiting.shift() ?? null;
    if (!current) return;
    const inner = connect(Number(new URL(`http://${to}`).port), '127.0.0.1');
    current.pipe(inner).on('error', () => undefined);
    inner.pipe(current).on('error', () => undefined);
    current.once('close', next);
  };
  const front = createServer({ pauseOnConnect: true }, (socket) => {
    waiting.push(socket);
    if (!current) next();
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  onTestFinished(() => {
    for (const socket of [...waiting, current]) socket?.destroy();
    front.close();
  });
  return `127.0.0.1:${(front.address() as AddressInfo).port}`;
}

it('one connection at a time, and kept: those that wait get their turn', async () => {
  const large = bytesOf(8 * MIB, 6);
  const kit = await serve((request) => ({ ...honest(request, large, { etag }), ...slowly }), {
    connections: 4,
  });
  const host = await oneAtATime(kit.server.host);
  kit.allow({ hosts: [host] });
  const hosts = { url: `http://${host}/file`, trustedHosts: [host], plainHttpHosts: [host] };
  await kit.fetch(kit.source(large, hosts), { limits: { ...limits, headersMs: 15_000 } });
  expect(kit.notes).toEqual([]);
  expect(kit.server.requests.length).toBeGreaterThan(2);
});
