/** Faults of the wire (F001–F023): what a server does to a body must never reach the verified file. */
import { createHash } from 'node:crypto';
import dns from 'node:dns';
import { readFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Checksum } from '../../../src/jobs/product.js';
import { createTransferEngine } from '../../../src/transfer/index.js';
import { failingOnce } from '../../support/failing-files.js';
import { chunked, honest, type Answer, type Script } from '../../support/lying-server.js';
import { bytesOf, useKits, md5, OVERLAP_BYTES, type Kit } from '../../support/transfer-kit.js';

const file = bytesOf(700_000);
const other = bytesOf(700_000, 2);
const etag = '"one"';
const page = '<!DOCTYPE html><html><body>We are sorry</body></html>';
const serve = useKits();

/** Fetches, and the file must come out exact. */
async function fetchExactly({ fetch, source, content }: Kit) {
  const result = await fetch(source(file));
  expect((await content(result)).equals(file)).toBe(true);
  expect(result.checksum).toEqual({ algorithm: 'md5', value: md5(file), level: 'provider' });
  return result;
}

/** The whole body on the first request only as far as `cutAt`; later requests as the script says. */
function cutFirst(cutAt: number, options: Parameters<typeof honest>[2], later: Script): Script {
  return (request) => {
    if (request.index > 0) return later(request);
    const answer = honest(request, file, options);
    return { ...answer, body: answer.body.subarray(0, cutAt), then: 'end' };
  };
}

it('fetches, verifies and names a file', async () => {
  const kit = await serve((request) =>
    honest(request, file, {
      etag,
      headers: { 'content-disposition': 'attachment; filename=a.bin' },
    }),
  );
  const result = await fetchExactly(kit);
  expect(result).toMatchObject({
    bytes: file.length,
    fileName: 'a.bin',
    mediaType: 'application/octet-stream',
    bytesFetched: file.length,
    resumedFrom: 0,
  });
  expect(await kit.listing()).toEqual(['journal', 'verified']);
  expect(kit.server.requests[0]?.headers['accept-encoding']).toBe('identity');
});

it('F082 verifies again and returns the same file when it is asked twice', async () => {
  const kit = await serve((request) => honest(request, file, { etag }));
  const first = await fetchExactly(kit);
  const second = await fetchExactly(kit);
  expect(second).toEqual({ ...first, bytesFetched: 0, resumedFrom: file.length });
  expect(kit.server.requests).toHaveLength(1);
});

describe.each([
  ['with a strong ETag', etag],
  ['without a validator', null],
])('F001 a connection cut after N bytes, %s', (_, tag) => {
  it.each([0, 1, 350_000, file.length - 1])('resumes from %i', async (cutAt) => {
    const kit = await serve(
      cutFirst(cutAt, { etag: tag }, (request) => honest(request, file, { etag: tag })),
    );
    await fetchExactly(kit);
    const again = kit.server.requests[1];
    if (tag && cutAt > OVERLAP_BYTES) {
      expect(again?.from).toBe(Math.max(0, cutAt - OVERLAP_BYTES));
      expect(again?.headers['if-range']).toBe(tag);
    }
    kit.allow({ copies: 1 });
    expect(kit.notes).toContainEqual(
      expect.objectContaining({ type: 'retried', offset: cutAt, attempt: 1 }),
    );
  });
});

it('F001 says from where it goes on after an abort', async () => {
  const kit = await serve(
    cutFirst(300_000, { etag }, (request) => honest(request, file, { etag })),
  );
  const one = { limits: { triesWithoutProgress: 1 } };
  await expect(kit.fetch(kit.source(file), one)).rejects.toMatchObject({
    code: 'SourceUnavailable',
  });
  const result = await fetchExactly(kit);
  expect(result).toMatchObject({
    resumedFrom: 300_000,
    bytesFetched: file.length - 300_000 + OVERLAP_BYTES,
  });
  expect(kit.notes).toContainEqual({
    type: 'resumed',
    offset: 300_000,
    bytes_total: file.length,
  });
});

it('F002 a Content-Length larger than the body is never complete', async () => {
  const kit = await serve((request) => {
    const answer = honest(request, file, { etag });
    return request.index === 0 ? { ...answer, body: answer.body.subarray(0, 500_000) } : answer;
  });
  kit.allow({ copies: 1 });
  await fetchExactly(kit);
  expect(kit.server.requests).toHaveLength(2);
});

describe('F003 a Content-Length smaller than the body', () => {
  const short = String(file.length - 1000);
  it('is fetched again', async () => {
    const kit = await serve((request) => {
      const answer = honest(request, file);
      return request.index === 0 ? { ...answer, headers: { 'content-length': short } } : answer;
    });
    await fetchExactly(kit);
  });
  it.each([
    ['with a digest', {}],
    ['without', { checksums: [] }],
  ])('is a fault of the provider when it stays so, %s', async (_, changes) => {
    const kit = await serve((request) => ({
      ...honest(request, file, { ranges: false }),
      headers: { 'content-length': short },
    }));
    const failure = kit.fetch(kit.source(file, changes));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
    expect(await kit.listing()).not.toContain('verified');
  });
});

describe('F004 a chunked body that ends early with a valid last chunk', () => {
  const headers = { 'transfer-encoding': 'chunked' };
  it('is fetched again until the digest agrees', async () => {
    const kit = await serve((request) =>
      request.index === 0
        ? { headers, body: chunked(file.subarray(0, 100_000)) }
        : { headers, body: chunked(file.subarray(0, 400_000), file.subarray(400_000)) },
    );
    await fetchExactly(kit);
  });
  it('is refused when nothing but its end speaks for it', async () => {
    const kit = await serve(() => ({ headers, body: chunked(file.subarray(0, 100_000)) }));
    const failure = kit.fetch(kit.source(file, { checksums: [] }));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
  });
  it('is taken as unproven where not even the size is known', async () => {
    const kit = await serve(() => ({ headers, body: chunked(file) }));
    const result = await kit.fetch(kit.source(file, { checksums: [], expectedBytes: null }));
    expect(result.checksum.level).toBe('none');
  });
});

it('F005 refuses an answer with both Content-Length and chunks', async () => {
  const kit = await serve((request) =>
    request.index === 0
      ? {
          headers: { 'content-length': String(file.length), 'transfer-encoding': 'chunked' },
          body: chunked(file),
        }
      : honest(request, file),
  );
  await fetchExactly(kit);
  expect(kit.notes[0]).toMatchObject({
    reason: 'The answer has both Content-Length and Transfer-Encoding',
  });
});

describe('F006 a resume answered 200 with the whole file', () => {
  it('is proven against the prefix, not appended', async () => {
    const kit = await serve(
      cutFirst(400_000, { ranges: false }, (request) => honest(request, file, { ranges: false })),
    );
    await fetchExactly(kit);
    expect(kit.server.requests[1]?.isRanged).toBe(true);
  });
  it('brings the file anew where the prefix differs', async () => {
    const kit = await serve(
      cutFirst(400_000, {}, (request) => honest(request, other, { ranges: false })),
    );
    const result = await kit.fetch(kit.source(other));
    expect((await kit.content(result)).equals(other)).toBe(true);
    expect(kit.server.requests).toHaveLength(2);
  });
});

describe('F007 a 206 that starts earlier than asked', () => {
  const earlier = (body: Buffer): Script =>
    cutFirst(400_000, { etag }, (request) => {
      const start = request.from - 1000;
      return honest({ ...request, from: Math.max(0, start) }, body, { etag });
    });
  it('is compared where it overlaps and written at its place', async () => {
    await fetchExactly(await serve(earlier(file)));
  });
  it('is not glued when the overlap differs', async () => {
    const damaged = Buffer.from(file);
    damaged.fill(0, 380_100, 380_200);
    const kit = await serve(
      cutFirst(400_000, { etag }, (request) =>
        request.index === 1
          ? honest({ ...request, from: 380_000 }, damaged, { etag })
          : honest(request, file, { etag }),
      ),
    );
    await fetchExactly(kit);
    expect(kit.server.requests[2]?.from).toBeLessThan(380_000);
  });
});

describe('F008 a 206 that contradicts the question', () => {
  it.each([
    ['starts later', `bytes 400001-${file.length - 1}/${file.length}`],
    ['is malformed', 'bytes=0-…'],
    ['has another length than it says', `bytes 400000-400009/${file.length}`],
  ])('%s: is refused and asked again', async (_, range) => {
    const kit = await serve(
      cutFirst(400_000, { etag }, (request) => {
        const answer = honest(request, file, { etag });
        return request.index === 1
          ? { ...answer, headers: { ...answer.headers, 'content-range': range } }
          : answer;
      }),
    );
    await fetchExactly(kit);
    expect(kit.server.requests).toHaveLength(3);
  });
  it('drops the part when the total is another one', async () => {
    const longer = Buffer.concat([other, Buffer.from('!')]);
    const kit = await serve(cutFirst(400_000, {}, (request) => honest(request, longer)));
    const result = await kit.fetch(kit.source(longer));
    expect((await kit.content(result)).equals(longer)).toBe(true);
  });
  it('tolerates an equals sign where the rest is clear', async () => {
    const kit = await serve(
      cutFirst(400_000, { etag }, (request) => {
        const answer = honest(request, file, { etag });
        const range = answer.headers['content-range']?.replace('bytes ', 'bytes=') ?? '';
        return { ...answer, headers: { ...answer.headers, 'content-range': range } };
      }),
    );
    await fetchExactly(kit);
    expect(kit.server.requests).toHaveLength(2);
  });
});

it('F009 a 416 because every byte is here already goes on to verification', async () => {
  const whole = chunked(file).subarray(0, -5);
  const kit = await serve(({ index }): Answer =>
    index > 0
      ? { status: 416, headers: { 'content-length': '0' } }
      : { headers: { etag, 'transfer-encoding': 'chunked' }, body: whole, then: 'end' },
  );
  const result = await fetchExactly(kit);
  expect(result.bytesFetched).toBe(file.length);
  expect(kit.server.requests[1]?.from).toBe(file.length - OVERLAP_BYTES);
});

describe('F010 the object changes between requests', () => {
  it('drops the old part with a note and never glues', async () => {
    const kit = await serve(
      cutFirst(400_000, { etag }, (request) => honest(request, other, { etag: '"two"' })),
    );
    const result = await kit.fetch(kit.source(other));
    expect((await kit.content(result)).equals(other)).toBe(true);
    expect(kit.notes).toContainEqual(
      expect.objectContaining({ type: 'retried', reason: expect.stringContaining('ETag') }),
    );
  });
  it('gives up as SourceChanged when it never stops changing', async () => {
    const kit = await serve((request) => {
      const answer = honest({ ...request, isRanged: false }, file, { etag: `"${request.index}"` });
      return { ...answer, body: answer.body.subarray(0, 200_000), then: 'end' };
    });
    const undigested = kit.source(file, { checksums: [] });
    await expect(kit.fetch(undigested)).rejects.toMatchObject({ code: 'SourceChanged' });
  });
  it('notices by Last-Modified too', async () => {
    const dated = (day: number) => ({ 'last-modified': `0${day} Jan 2025` });
    const kit = await serve(
      cutFirst(400_000, { headers: dated(1) }, (request) =>
        honest(request, other, { headers: dated(2) }),
      ),
    );
    const result = await kit.fetch(kit.source(other));
    expect((await kit.content(result)).equals(other)).toBe(true);
  });
});

describe('F011 changed content of the same size, with nothing to tell by', () => {
  it('is caught by the overlap', async () => {
    const kit = await serve(cutFirst(400_000, {}, (request) => honest(request, other)));
    const result = await kit.fetch(kit.source(other));
    expect((await kit.content(result)).equals(other)).toBe(true);
  });
  it('is caught by the final digest where the overlap repeats', async () => {
    const changed = Buffer.from(file);
    changed.fill(7, 0, 1000);
    const kit = await serve(cutFirst(400_000, {}, (request) => honest(request, changed)));
    const result = await kit.fetch(kit.source(changed));
    expect((await kit.content(result)).equals(changed)).toBe(true);
  });
});

describe('F011 another object after a cut, with no digest to notice it by', () => {
  const scenes = [1, 4].flatMap((connections) =>
    [30_000, 200_000, 450_000].flatMap((cutAt) =>
      [1000, 20_000, 300_000].map((sliceBytes) => ({ connections, cutAt, sliceBytes })),
    ),
  );
  it.each(scenes)(
    'is seen by the overlap, and not a byte of it stays: %j',
    async ({ connections, cutAt, sliceBytes }) => {
      let lies = 2;
      let served = 0;
      const kit = await serve(
        (request) => {
          if (request.index === 0) {
            const answer = honest(request, file);
            const body = answer.body.subarray(0, cutAt);
            served = body.length;
            return { ...answer, body, then: 'end' };
          }
          const isOverlapping = request.from > 0 && request.from < served && lies-- > 0;
          return { ...honest(request, isOverlapping ? other : file), sliceBytes };
        },
        { connections },
      );
      const result = await kit.fetch(kit.source(file, { checksums: [] }));
      expect((await kit.content(result)).equals(file)).toBe(true);
      expect(result.digests).toEqual([
        { algorithm: 'sha256', value: createHash('sha256').update(file).digest('hex') },
      ]);
    },
  );
});

describe('F012 a page instead of the product', () => {
  it.each([
    ['HTML', 'text/html', page],
    ['HTML under another name', 'application/zip', page],
    ['XML', 'application/xml', '<?xml version="1.0"?><error>no</error>'],
    ['JSON', 'application/json', '{"error":"no"}'],
  ])('%s is refused and nothing of it kept', async (_, type, body) => {
    const kit = await serve(() => ({
      headers: { 'content-type': type, 'content-length': String(body.length) },
      body,
    }));
    const failure = kit.fetch(kit.source(file));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
    const [part] = (await kit.listing()).filter((name) => name.startsWith('part.'));
    expect(await readFile(join(kit.directory, part ?? ''))).toHaveLength(0);
  });
  it('is refused without a digest or a size to judge by', async () => {
    const kit = await serve(() => ({ headers: { 'content-type': 'text/html' }, body: page }));
    const failure = kit.fetch(kit.source(file, { checksums: [], expectedBytes: null }));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
  });
  it('is the product when the digest says so, whatever the server calls it', async () => {
    const orbit = Buffer.from('<?xml version="1.0"?><Earth_Explorer_File/>');
    const kit = await serve((request) =>
      honest(request, orbit, { headers: { 'content-type': 'application/zip' } }),
    );
    const result = await kit.fetch(kit.source(orbit));
    expect(result).toMatchObject({ mediaType: 'application/xml', bytes: orbit.length });
  });
});

it('F013 an error text at the tail of a cut body is rolled back', async () => {
  const error = Buffer.from('HTTP 500 upstream said no');
  const kit = await serve((request) => {
    const answer = honest(request, file);
    if (request.index > 0) return answer;
    return { ...answer, body: Buffer.concat([file.subarray(0, 400_000), error]), then: 'end' };
  });
  await fetchExactly(kit);
  expect(kit.server.requests.at(-1)?.from).toBeGreaterThan(200_000);
});

it('F013 an error text in a repeated part, and a cut behind it, is rolled back where no digest would tell', async () => {
  const short = bytesOf(20_000);
  const kit = await serve((request) => {
    const good = honest(request, short, { etag: '"one"' });
    const told = Buffer.from('HTTP/1.1 408 Request Timeout\r\n\r\n');
    if (request.index === 0) return { ...good, body: short.subarray(0, 13_000), then: 'end' };
    if (request.index === 1)
      return { ...good, body: Buffer.concat([good.body.subarray(0, 3_000), told]), then: 'end' };
    return good;
  });
  const result = await kit.fetch(kit.source(short, { checksums: [] }));
  expect((await kit.content(result)).equals(short)).toBe(true);
});

it('F012 a page of which the file’s length was kept is not the file for whoever goes on, with no digest to tell', async () => {
  const short = bytesOf(6);
  const stop = new AbortController();
  const kit = await serve((request) => {
    const good = honest(request, short);
    if (request.index === 0) return { ...good, body: short.subarray(0, 2), then: 'end' };
    if (request.index > 1) return good;
    setTimeout(() => stop.abort(), 20);
    return {
      headers: { 'content-type': 'text/html' },
      body: '<!DOCTYPE html><p>Log in',
      then: 'end',
    };
  });
  const source = kit.source(short, { checksums: [] });
  await kit.fetch(source, { signal: stop.signal }).catch(() => undefined);
  expect((await kit.content(await kit.fetch(source))).equals(short)).toBe(true);
});

it('F012 the end of a whole that an earlier call left is asked for once more, with no digest to tell', async () => {
  const lie = Buffer.from(file);
  lie[file.length - 7]! ^= 1;
  const kit = await serve((request) => honest(request, request.index === 0 ? lie : file), {
    files: failingOnce('rename', /verified$/, 'EIO'),
  });
  const source = kit.source(file, { checksums: [] });
  await expect(kit.fetch(source)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  expect((await kit.content(await kit.fetch(source))).equals(file)).toBe(true);
});

it('F014 a 202 is not the product', async () => {
  const kit = await serve(() => ({ status: 202, headers: { 'content-length': '0' } }));
  const failure = kit.fetch(kit.source(file));
  await expect(failure).rejects.toMatchObject({ code: 'SourceUnavailable' });
});

it.each([204, 200])('F015 a %i with no bytes is tried again', async (status) => {
  const kit = await serve((request) =>
    request.index === 0 ? { status, headers: { 'content-length': '0' } } : honest(request, file),
  );
  await fetchExactly(kit);
});

describe.each([1, 2, 3, 4])(
  'F015 %i bodies without a byte, of which nobody says how long they are',
  (bodies) => {
    it.each<[string, Answer]>([
      ['in chunks', { headers: { 'transfer-encoding': 'chunked' }, body: '0\r\n\r\n' }],
      ['ended by the connection', { headers: {}, body: '', then: 'end' }],
    ])('%s, are no file', async (_, nothing) => {
      const kit = await serve((request) =>
        request.index < bodies ? nothing : honest(request, file),
      );
      await fetchExactly(kit);
    });
  },
);

it('F016 a drip is a stall', async () => {
  const kit = await serve((request) => {
    const answer = honest(request, file, { etag });
    return request.index === 0 ? { ...answer, sliceBytes: 1, everyMs: 20 } : answer;
  });
  const limits = { idleMs: 10_000, floorMs: 200, floorBytesPerSecond: 1000 };
  const result = await kit.fetch(kit.source(file), { limits });
  expect((await kit.content(result)).equals(file)).toBe(true);
  expect(kit.notes[0]).toMatchObject({ reason: expect.stringMatching(/sent \d+ bytes in 200 ms/) });
});

describe('F017 a server that stops in the middle', () => {
  it('of accepting: after the connection', async () => {
    const kit = await serve((request) =>
      request.index === 0 ? { silent: true } : honest(request, file),
    );
    await fetchExactly(kit);
    expect(kit.notes[0]).toMatchObject({ reason: expect.stringContaining('did not answer') });
  });
  it('of the head: it never ends', async () => {
    const kit = await serve((request) =>
      request.index === 0
        ? { head: 'HTTP/1.1 200 OK\r\nx-slow: '.padEnd(1000, 'y'), headSliceBytes: 1, everyMs: 10 }
        : honest(request, file),
    );
    await fetchExactly(kit);
    expect(kit.notes[0]).toMatchObject({ reason: expect.stringContaining('did not answer') });
  });
  it('of the body: falls silent', async () => {
    const kit = await serve((request) => {
      const answer = honest(request, file, { etag });
      return request.index === 0
        ? { ...answer, body: answer.body.subarray(0, 300_000), then: 'hang' }
        : answer;
    });
    kit.allow({ copies: 1 });
    await fetchExactly(kit);
    expect(kit.server.requests[1]?.from).toBe(300_000 - OVERLAP_BYTES);
  });
});

it('F019 refuses a body that a proxy has compressed', async () => {
  const body = gzipSync(file);
  const kit = await serve(() => ({
    headers: { 'content-encoding': 'gzip', 'content-length': String(body.length) },
    body,
  }));
  const failure = kit.fetch(kit.source(file));
  await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
});

describe('F020 endless heads and redirects', () => {
  it('bounds the headers', async () => {
    const kit = await serve(() => ({ headers: { cookie: 'x'.repeat(1_000_000) } }));
    const failure = kit.fetch(kit.source(file));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
  });
  it('bounds the redirects', async () => {
    const kit = await serve(({ index }) => ({ status: 302, headers: { location: `/${index}` } }));
    const failure = kit.fetch(kit.source(file));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
    expect(kit.server.requests).toHaveLength(11);
  });
  it('bounds a head that never ends, however it is dealt out', async () => {
    const line = `x-more: ${'y'.repeat(1000)}\r\n`;
    // Large, yet made and sent well within the time that an answer has.
    const head = `HTTP/1.1 200 OK\r\n${line.repeat(10_000)}`;
    const kit = await serve(() => ({ head }));
    const failure = kit.fetch(kit.source(file));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
  });
  it('bounds interim answers that never end', async () => {
    const kit = await serve(() => ({
      head: 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(2_000_000),
      headSliceBytes: 64 * 1024,
      then: 'hang',
    }));
    const startMs = performance.now();
    const failure = kit.fetch(kit.source(file), { limits: { triesWithoutProgress: 1 } });
    await expect(failure).rejects.toMatchObject({
      code: expect.stringMatching(/^Source(Refused|Unavailable)$/),
    });
    expect(performance.now() - startMs).toBeLessThan(5000);
  });
  it('sees a circle', async () => {
    const kit = await serve(({ path }) => ({
      status: 302,
      headers: { location: path === '/file' ? '/b' : '/file?signature=canary-7f3a91' },
    }));
    const failure = kit.fetch(kit.source(file));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
    expect(kit.server.requests).toHaveLength(4);
  });
  it('comes back once to where it was', async () => {
    const kit = await serve((request) =>
      request.index === 0
        ? { status: 302, headers: { location: '/file?signature=canary-7f3a91' } }
        : honest(request, file, { etag }),
    );
    await fetchExactly(kit);
  });
});

describe.each([
  [1, 'in chunks'],
  [4, 'in chunks'],
  [1, 'until the connection ends'],
  [4, 'until the connection ends'],
])('F003 a length that one bad answer has told, %i connections, %s then', (connections, how) => {
  const page = 'Please try again in a moment.\n\n';
  const good: Answer =
    how === 'in chunks'
      ? { headers: { 'transfer-encoding': 'chunked' }, body: chunked(file) }
      : { headers: {}, body: file, then: 'end' };
  it.each<[string, Answer]>([
    ['a page', { headers: { 'content-length': String(page.length) }, body: page }],
    ['too little', { headers: { 'content-length': '9000' }, body: file.subarray(0, 9000) }],
    [
      'too much, and cut',
      { headers: { 'content-length': '999999' }, body: file.subarray(0, 9000), then: 'end' },
    ],
  ])('is not believed for ever: %s', async (_, lie) => {
    const kit = await serve((request) => (request.index === 0 ? lie : good), { connections });
    const source = kit.source(file, { expectedBytes: null });
    const result = await kit.fetch(source);
    expect((await kit.content(result)).equals(file)).toBe(true);
  });
});

it.each([20_000, 40_000, 66_000, 70_000, 100_000])(
  'F001 a server that cuts each answer after %i bytes gets there',
  async (bytes) => {
    const kit = await serve((request) => {
      const answer = honest(request, file, { etag });
      const isCut = answer.body.length > bytes;
      return isCut ? { ...answer, body: answer.body.subarray(0, bytes), then: 'end' } : answer;
    });
    await fetchExactly(kit);
    expect(kit.server.bytesSent()).toBeLessThan(1.6 * file.length + 64 * 1024);
  },
);

describe.each<[string, (part: ReturnType<typeof honest>) => Answer]>([
  [
    'without Content-Range',
    ({ headers: { 'content-range': _, ...headers }, ...part }) => ({ ...part, headers }),
  ],
  [
    'of another unit',
    ({ headers, ...part }) => ({
      ...part,
      headers: { ...headers, 'content-range': 'items 0-1/2' },
    }),
  ],
  ['refused by 405', () => ({ status: 405, headers: { 'content-length': '0' } })],
  ['refused by 412', () => ({ status: 412, headers: { 'content-length': '0' } })],
])('F008 where each part is %s, the whole is asked for', (_, spoil) => {
  it.each([1, 4])('on %i connections', async (connections) => {
    const kit = await serve(
      (request) => {
        const answer = honest(request, file, { etag });
        if (request.isRanged) return spoil(answer);
        return request.index === 0
          ? { ...answer, body: answer.body.subarray(0, 200_000), then: 'end' }
          : answer;
      },
      { connections },
    );
    await fetchExactly(kit);
  });
});

it('F019 one answer that is encoded is asked for again', async () => {
  const kit = await serve((request) =>
    request.index === 0
      ? {
          headers: { 'content-encoding': 'gzip', 'transfer-encoding': 'chunked' },
          body: chunked('encoded'),
        }
      : honest(request, file, { etag }),
  );
  await fetchExactly(kit);
});

it('F021 outlives a burst of server errors', async () => {
  const statuses = [500, 502, 503, 504];
  const kit = await serve((request) => {
    const status = statuses[request.index];
    return status ? { status, headers: { 'content-length': '0' } } : honest(request, file);
  });
  await fetchExactly(kit);
  expect(kit.notes).toHaveLength(4);
});

it('F021 gives up when nothing new comes', async () => {
  const kit = await serve(() => ({ status: 500, headers: { 'content-length': '0' } }));
  const failure = kit.fetch(kit.source(file));
  await expect(failure).rejects.toMatchObject({ code: 'SourceUnavailable' });
  expect(kit.server.requests).toHaveLength(5);
});

describe('F018 the link goes down and comes back', () => {
  /** The first answer stops half-way; from then on the server takes connections and says nothing, until it is told. */
  const blackHole = () => {
    const link = { isDown: false };
    const script: Script = (request) => {
      if (link.isDown) return { silent: true };
      const answer = honest(request, file, { etag });
      if (request.index > 0) return answer;
      link.isDown = true;
      return { ...answer, body: answer.body.subarray(0, 300_000), then: 'hang' };
    };
    return { link, script };
  };
  const limits = { connectMs: 100, headersMs: 100, idleMs: 100 };

  it('within the tries: the same call goes on by itself from where it was', async () => {
    const { link, script } = blackHole();
    const kit = await serve(script);
    kit.allow({ copies: 1 });
    const result = await kit.fetch(kit.source(file), {
      limits,
      onNote: () => kit.server.requests.length === 3 && (link.isDown = false),
    });
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(kit.server.requests.at(-1)?.from).toBe(300_000 - OVERLAP_BYTES);
  });
  it('for longer: a typed error, and a later call goes on from where it was', async () => {
    const { link, script } = blackHole();
    const kit = await serve(script);
    kit.allow({ copies: 1 });
    const startMs = performance.now();
    for (let call = 0; call < 3; call++)
      await expect(kit.fetch(kit.source(file), { limits })).rejects.toMatchObject({
        code: 'SourceUnavailable',
      });
    expect(performance.now() - startMs).toBeLessThan(10_000);
    link.isDown = false;
    const result = await fetchExactly(kit);
    expect(result).toMatchObject({
      resumedFrom: 300_000,
      bytesFetched: 400_000 + OVERLAP_BYTES,
    });
  });
});

describe('F022 a connection that breaks where it was about to be used again', () => {
  it('before the head: is tried again', async () => {
    const kit = await serve((request) =>
      request.index === 0 ? { head: '', then: 'reset' } : honest(request, file),
    );
    await fetchExactly(kit);
  });
  it.each(['end', 'reset'] as const)(
    'kept alive and closed under the next request by a %s: costs nothing but a new connection',
    async (then) => {
      const used = new Set<number>();
      const kit = await serve(
        (request) => {
          const isSecond = used.has(request.connection);
          used.add(request.connection);
          if (isSecond) return { head: '', then };
          const answer = honest(request, file, { etag });
          // no more than a part, so that there is a next request
          return request.to === null || request.to - request.from > 100_000
            ? honest({ ...request, isRanged: true, to: request.from + 100_000 }, file, { etag })
            : answer;
        },
        { connections: 2 },
      );
      await fetchExactly(kit);
    },
  );
  it('RST in the middle of the body: goes on from there', async () => {
    const kit = await serve((request) => {
      const answer = honest(request, file, { etag });
      return request.index < 3
        ? { ...answer, body: answer.body.subarray(0, 150_000), then: 'reset' }
        : answer;
    });
    kit.allow({ copies: 1 });
    await fetchExactly(kit);
    expect(kit.notes).toHaveLength(3);
  });
  it('answers of an earlier request never count for a later one', async () => {
    const kit = await serve((request) => {
      const part = honest({ ...request, isRanged: true, to: request.from + 100_000 }, file, {
        etag,
      });
      const forged = honest({ ...request, from: 0, isRanged: false }, other, { etag });
      const head = `HTTP/1.1 200 OK\r\ncontent-length: ${other.length}\r\netag: ${etag}\r\n\r\n`;
      return request.index < 3
        ? {
            ...part,
            body: Buffer.concat([part.body, Buffer.from(head), forged.body]),
            then: 'keep',
          }
        : honest(request, file, { etag });
    });
    await fetchExactly(kit);
  });
});

describe('F023 names that do not lead to the host', () => {
  const { lookup } = dns;
  type Address = { address: string; family: number };
  let answers: (Address[] | string)[] = [];
  beforeEach(() => {
    // the last answer is for ever
    const next = () => (answers.length > 1 ? answers.shift() : answers[0]) ?? 'ENOTFOUND';
    const answer = (options: dns.LookupAllOptions, done: (...all: unknown[]) => void) => {
      const found = next();
      if (typeof found === 'string') done(Object.assign(new Error(found), { code: found }));
      else if (options.all) done(null, found);
      else done(null, found[0]?.address, found[0]?.family);
    };
    dns.lookup = ((name: string, ...rest: Parameters<typeof answer>) =>
      name === 'files.example'
        ? answer(...rest)
        : Reflect.apply(lookup, dns, [name, ...rest])) as typeof dns.lookup;
    syncBuiltinESMExports();
  });
  afterEach(() => {
    dns.lookup = lookup;
    syncBuiltinESMExports();
  });
  const fetchByName = async (kit: Kit) => {
    const host = kit.server.host.replace('127.0.0.1', 'files.example');
    return kit.fetch(
      kit.source(file, {
        url: `http://${host}/file`,
        trustedHosts: [host],
        plainHttpHosts: [host],
      }),
      { limits: { connectMs: 10_000 } },
    );
  };
  const here = { address: '127.0.0.1', family: 4 };

  it.each(['EAI_AGAIN', 'ENOTFOUND'])('%s, then an address: is tried again', async (code) => {
    answers = [code, code, [here]];
    const kit = await serve((request) => honest(request, file, { etag }));
    const result = await fetchByName(kit);
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(kit.notes).toHaveLength(2);
    expect(kit.notes[0]).toMatchObject({ reason: expect.stringContaining(code) });
  });
  it('never an address: the message names the host', async () => {
    answers = ['ENOTFOUND'];
    const kit = await serve((request) => honest(request, file, { etag }));
    const failure = fetchByName(kit);
    await expect(failure).rejects.toMatchObject({ code: 'SourceUnavailable' });
    await expect(failure).rejects.toThrow(/files\.example/);
  });
  it.each([
    ['IPv6 first', [{ address: '100::1', family: 6 }, here]],
    [
      'two dead ones first',
      [{ address: '100::1', family: 6 }, { address: '100::2', family: 6 }, here],
    ],
    ['IPv4 first', [here, { address: '100::1', family: 6 }]],
  ])('IPv6 is dead and IPv4 is fine, %s: the living one is used', async (_, addresses) => {
    answers = [addresses];
    const kit = await serve((request) => honest(request, file, { etag }));
    const result = await fetchByName(kit);
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(kit.notes).toEqual([]);
  });
  it('names the host that cannot be reached', async () => {
    answers = [[here]];
    const kit = await serve(() => ({}));
    await kit.server.close();
    await expect(fetchByName(kit)).rejects.toThrow(/files\.example/);
  });
});

it('F030 a 404 or 410 is gone', async () => {
  const kit = await serve(({ index }) => ({
    status: index === 0 ? 404 : 410,
    headers: { 'content-length': '0' },
  }));
  for (let i = 0; i < 2; i++)
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'SourceGone' });
  expect(kit.server.requests).toHaveLength(2);
});

describe('F015 a file of no bytes', () => {
  const nothing = Buffer.alloc(0);
  // @see https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json
  const blake3OfNothing = {
    algorithm: 'blake3' as const,
    value: 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
  };
  const empty = async () => serve(() => ({ headers: { 'content-length': '0' }, body: '' }));
  it.each([
    ['its digest says so', { expectedBytes: null }],
    ['its BLAKE3 says so', { checksums: [blake3OfNothing], expectedBytes: null }],
    ['the catalogue says so', { checksums: [] }],
  ])('is one where %s', async (_, changes) => {
    const kit = await empty();
    const result = await kit.fetch(kit.source(nothing, changes));
    expect(result.bytes).toBe(0);
    expect(kit.server.requests).toHaveLength(1);
  });
  it('is none where nobody does', async () => {
    const kit = await empty();
    const failure = kit.fetch(kit.source(nothing, { checksums: [], expectedBytes: null }));
    await expect(failure).rejects.toMatchObject({ code: 'SourceUnavailable' });
  });
});

it('F003 whoever always sends more, and other bytes than announced, is given up on', async () => {
  const kit = await serve((request): Answer => {
    const answer = honest(request, file);
    if (!request.isRanged)
      return { ...answer, body: file.subarray(0, file.length / 2), then: 'end' };
    return { ...answer, body: Buffer.concat([answer.body, Buffer.from('more')]), then: 'end' };
  });
  const checksums: Checksum[] = [{ algorithm: 'md5', value: md5(Buffer.from('other')) }];
  const failure = kit.fetch(kit.source(file, { checksums }));
  await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
});

it.each(['220 ready\r\n', 'SSH-2.0-x\r\n', 'HTTP/1.1 200 OK\nContent-Length: 1\n\n', '\0\0'])(
  'F017 whoever says %j, and waits then, is not waited for',
  async (head) => {
    const kit = await serve(() => ({ head, body: '', then: 'hang' }));
    const limits = { headersMs: 60_000, triesWithoutProgress: 2 };
    await expect(kit.fetch(kit.source(file), { limits })).rejects.toMatchObject({
      code: 'SourceRefused',
    });
  },
);

describe('an address that a redirect led to', () => {
  const to = (location: string): Answer => ({
    status: 302,
    headers: { location, 'content-length': '0' },
    body: '',
  });
  it.each<[string, Answer]>([
    ['is silent', { silent: true }],
    ['closes the connection', { head: '', body: '', then: 'end' }],
    ['speaks no HTTP', { head: 'SSH-2.0-x\r\n\r\n', then: 'end' }],
    ['has no such file any longer', { status: 404, headers: { 'content-length': '0' }, body: '' }],
  ])('and that %s is asked for anew', async (_, dead) => {
    let asked = 0;
    let served = 0;
    const kit = await serve((request): Answer => {
      if (request.path.startsWith('/file')) return to(++asked === 1 ? '/one' : '/two');
      const answer = honest(request, file, { etag: '"one"' });
      if (request.path === '/two') return answer;
      if (served++ > 0) return dead;
      return { ...answer, body: answer.body.subarray(0, 100_000), then: 'end' };
    });
    await kit.fetch(kit.source(file));
    expect(asked).toBe(2);
  });

  it('and that expires under several connections is asked for anew', async () => {
    const large = bytesOf(4_000_000);
    let served = 0;
    const kit = await serve(
      async (request) => {
        const isExpired = served >= 2;
        if (request.path.startsWith('/file')) return to(isExpired ? '/new' : '/old');
        if (isExpired && request.path === '/old') {
          await new Promise((resolve) => setTimeout(resolve, 20));
          return { status: 404, headers: { 'content-length': '0' }, body: '' };
        }
        served++;
        return { ...honest(request, large, { etag: '"one"' }), sliceBytes: 32_768, everyMs: 4 };
      },
      { connections: 8 },
    );
    const limits = { blockBytes: 256 * 1024, headersMs: 2_000 };
    const result = await kit.fetch(kit.source(large), { limits });
    expect((await kit.content(result)).equals(large)).toBe(true);
    expect(kit.server.requests.map(({ path }) => path)).toContain('/new');
  });
});

describe('a source that leads to one of several copies', () => {
  const to = (location: string): Answer => ({
    status: 302,
    headers: { location, 'content-length': '0' },
    body: '',
  });
  const page = '<!DOCTYPE html><html><title>Please log in</title></html>';
  const flipped = Buffer.from(file);
  flipped[1000]! ^= 1;

  it.each<[string, (good: Answer) => Answer]>([
    ['is cut before its first byte', (good) => ({ ...good, body: '', then: 'reset' })],
    ['is empty', () => ({ status: 200, headers: { 'content-length': '0' }, body: '' })],
    [
      'is a page',
      () => ({
        status: 200,
        headers: { 'content-type': 'text/html', 'content-length': String(page.length) },
        body: page,
      }),
    ],
    ['is not there yet', () => ({ status: 404, headers: { 'content-length': '0' }, body: '' })],
    ['is not for us', () => ({ status: 403, headers: { 'content-length': '0' }, body: '' })],
  ])('asks the source again where the first %s', async (_, bad) => {
    let asked = 0;
    const kit = await serve((request): Answer => {
      if (request.path.startsWith('/file')) return to(++asked % 2 === 1 ? '/bad' : '/good');
      const answer = honest(request, file, { etag: '"one"' });
      return request.path === '/good' ? answer : bad(answer);
    });
    const result = await kit.fetch(kit.source(file));
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(asked).toBe(2);
  });

  it('fetches a copy whose digest is wrong from elsewhere', async () => {
    let asked = 0;
    const kit = await serve((request): Answer => {
      if (request.path.startsWith('/file')) return to(++asked === 1 ? '/bad' : '/good');
      return honest(request, request.path === '/bad' ? flipped : file, { etag: '"one"' });
    });
    const result = await kit.fetch(kit.source(file));
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(asked).toBe(2);
  });

  it.each([
    ['in capitals', (url: string) => url.replace('http:', 'HTTP:')],
    ['with dots and a fragment', (url: string) => url.replace('/file', '/x/../file#part')],
  ])('an address that is written %s is no redirect', async (_, write) => {
    const kit = await serve(() => ({ status: 404, body: 'gone' }));
    const source = kit.source(file, { url: write(kit.server.url()) });
    await expect(kit.fetch(source)).rejects.toMatchObject({ code: 'SourceGone' });
    expect(kit.server.requests).toHaveLength(1);
  });

  it('a refusal everywhere is told as what it is, after three tries', async () => {
    const kit = await serve(({ path }): Answer =>
      path.startsWith('/file')
        ? to('/gone')
        : { status: 410, headers: { 'content-length': '0' }, body: '' },
    );
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'SourceGone' });
    expect(kit.server.requests.filter(({ path }) => path === '/gone').length).toBe(3);
  });

  it('links that are good for one answer cost no tries', async () => {
    let links = 0;
    const used = new Set<string>();
    const kit = await serve((request): Answer => {
      if (request.path.startsWith('/file')) return to(`/link${++links}`);
      if (used.has(request.path))
        return { status: 403, headers: { 'content-length': '0' }, body: '' };
      used.add(request.path);
      const answer = honest(request, file, { etag: '"one"' });
      // Each brings too little to be progress.
      const body = answer.body.subarray(0, 1_000);
      return used.size < 5 ? { ...answer, body, then: 'reset' } : answer;
    });
    const result = await kit.fetch(kit.source(file), { limits: { triesWithoutProgress: 5 } });
    expect((await kit.content(result)).equals(file)).toBe(true);
  });
});

it.each(['under way', 'waiting for another try', 'waiting for an answer'])(
  'F084 closing the engine ends a transfer that is %s',
  async (what) => {
    const kit = await serve((request): Answer => {
      if (what === 'waiting for an answer') return { silent: true };
      if (what === 'under way') return { ...honest(request, file), sliceBytes: 1_000, everyMs: 20 };
      return { status: 429, headers: { 'retry-after': '3', 'content-length': '0' }, body: '' };
    });
    const engine = createTransferEngine({ hashThreads: 1 });
    const options = { directory: kit.directory, signal: new AbortController().signal };
    const going = engine.transfer(kit.source(file), options);
    const failure = expect(going).rejects.toMatchObject({ code: 'Interrupted' });
    setTimeout(() => void engine.close(), 100);
    const startMs = performance.now();
    await failure;
    expect(performance.now() - startMs).toBeLessThan(2_000);
  },
);
