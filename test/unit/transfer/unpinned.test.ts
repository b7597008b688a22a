/**
 * Another object in the place of the first, where little tells: no digest, and validators that are missing, come and go, or
 * are said by an answer that is none. A file is one object's or none.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { honest, type Answer, type SeenRequest } from '../../support/lying-server.js';
import { bytesOf, useKits, type Kit } from '../../support/transfer-kit.js';

const MIB = 1024 * 1024;
const file = bytesOf(3 * MIB);
const before = bytesOf(3 * MIB, 2);
const limits = { blockBytes: MIB / 4, triesWithoutProgress: 5 };
const serve = useKits();

const source = (kit: Kit, changes = {}) => kit.source(file, { checksums: [], ...changes });

async function exactly(kit: Kit, changes = {}) {
  const result = await kit.fetch(source(kit, changes), { limits });
  expect((await kit.content(result)).equals(file)).toBe(true);
  return result;
}

describe('F011 without digest or validator', () => {
  const slowly = { sliceBytes: 32 * 1024, everyMs: 5 };

  it.each([2, 5, 9])('an object that changes with request %i is noticed', async (at) => {
    const kit = await serve(
      // in parts so short that there are more of them than it takes, however fast the machine
      (request) => ({
        ...honest(request, request.index < at ? before : file, { most: 256 * 1024 }),
        ...slowly,
      }),
      { connections: 4 },
    );
    await exactly(kit);
    expect(kit.server.requests.length).toBeGreaterThan(at);
    expect(Math.max(...kit.server.peaks.values()), 'in order, over one connection').toBe(1);
  });

  it('a validator is enough for several connections', async () => {
    const kit = await serve(
      (request) => ({ ...honest(request, file, { etag: '"one"' }), ...slowly }),
      {
        connections: 4,
      },
    );
    await exactly(kit);
    expect(Math.max(...kit.server.peaks.values())).toBeGreaterThan(1);
  });

  it('what an earlier call left of another object is dropped, however much it is', async () => {
    let isBefore = true;
    const kit = await serve((request) => {
      if (!isBefore) return honest(request, file);
      return { ...honest(request, before), body: before.subarray(0, 2.5 * MIB), then: 'end' };
    });
    // more than four differences would uncover, one after the other
    const small = { ...limits, blockBytes: 16 * 1024 };
    const once = { limits: { ...small, triesWithoutProgress: 1 } };
    await expect(kit.fetch(source(kit), once)).rejects.toMatchObject({ code: 'SourceUnavailable' });
    isBefore = false;
    const result = await kit.fetch(source(kit), { limits: { ...small, triesWithoutProgress: 8 } });
    expect((await kit.content(result)).equals(file)).toBe(true);
  });
});

it('F011 an answer that leaves the ETag out does not make the next one right', async () => {
  const etags = ['"A"', null, '"B"'];
  const kit = await serve(
    (request) => {
      const etag = etags[Math.min(request.index, 2)]!;
      const headers = { ...(etag && { etag }), connection: 'close' };
      const { 'if-range': _, ...asked } = request.headers;
      const served = request.index < 2 ? before : file;
      return honest({ ...request, headers: asked }, served, { headers, most: MIB });
    },
    { connections: 2 },
  );
  await exactly(kit);
});

it('F012 a page in the place of the rest is refused, and costs nothing of what is there', async () => {
  const page = '<!doctype html><html><body>Please log in</body></html>';
  const etag = '"one"';
  const kit = await serve((request): Answer => {
    if (request.index === 0)
      return { ...honest(request, file, { etag }), body: file.subarray(0, 2 * MIB), then: 'end' };
    const headers = { 'content-type': 'text/html', 'content-length': String(page.length) };
    return request.index < 4 ? { headers, body: page } : honest(request, file, { etag });
  });
  await expect(kit.fetch(source(kit), { limits })).rejects.toMatchObject({ code: 'SourceRefused' });
  const { resumedFrom } = await exactly(kit);
  expect(resumedFrom).toBe(2 * MIB);
});

it('F010 a length that only the head of a cut answer has told is asked for again', async () => {
  const part = (request: SeenRequest, total: string, end: number): Answer => ({
    status: 206,
    headers: {
      'content-range': `bytes ${request.from}-${end - 1}/${total}`,
      'content-length': String(end - request.from),
    },
    body: file.subarray(request.from, end),
  });
  const lied = file.length - 7;
  const kit = await serve(
    (request) => {
      const end = Math.min(request.to ?? lied, lied);
      if (request.index === 0)
        return { ...part(request, String(lied), end), body: file.subarray(0, 600), then: 'end' };
      return request.index === 1 ? part(request, '*', end) : honest(request, file);
    },
    { connections: 2 },
  );
  const result = await kit.fetch(source(kit, { expectedBytes: null }), {
    limits: { ...limits, blockBytes: 16 * MIB },
  });
  expect((await kit.content(result)).equals(file)).toBe(true);
});

describe('F011 validators that come and go', () => {
  const date = (day: number) => ({ 'last-modified': `Sun, 0${day} Nov 2026 00:00:00 GMT` });
  const weak = { etag: 'W/"one"' };
  it.each<[string, Record<string, string>[]]>([
    ['an ETag on the first answer alone', [{ etag: '"A"' }, {}]],
    ['an ETag, then a date', [{ etag: '"A"' }, date(1)]],
    ['a date on the first answer alone', [date(1), {}]],
    ['a date that the second answer leaves out', [date(1), {}, date(2)]],
    ['a weak ETag that stays', [weak, weak]],
    ['an ETag without quotes that stays', [{ etag: 'one' }, { etag: 'one' }]],
  ])('%s: two objects are not glued', async (_, all) => {
    const kit = await serve(
      (request) => {
        const headers = all[Math.min(request.index, all.length - 1)]!;
        const { 'if-range': _, ...asked } = request.headers;
        const served = request.index === 0 ? before : file;
        return honest({ ...request, headers: asked }, served, { headers, most: MIB });
      },
      { connections: 4 },
    );
    await exactly(kit);
  });

  it('a whole without ETag that was cut does not make the next object right', async () => {
    const old = Buffer.from(file);
    bytesOf(200_000, 9).copy(old, MIB);
    const kit = await serve((request): Answer => {
      if (request.index === 0) {
        const answer = honest(request, old, { etag: '"A"' });
        return { ...answer, body: old.subarray(0, 2 * MIB), then: 'end' };
      }
      if (request.index > 1) return honest(request, file, { etag: '"B"' });
      const whole = honest(request, file, { ranges: false });
      return { ...whole, body: file.subarray(0, MIB / 2), then: 'end' };
    });
    await exactly(kit);
  });

  it('a server that gives short parts has each of them repeated in part', async () => {
    const kit = await serve(
      (request) => honest(request, request.index < 2 ? before : file, { most: 300_000 }),
      { connections: 2 },
    );
    await exactly(kit);
  });

  it.each([10_000, 40_000, 65_537, 68_557, 100_000])(
    'parts of %i bytes bring more than what had to be repeated',
    async (most) => {
      const kit = await serve((request) => honest(request, file, { most }), { connections: 2 });
      const result = await exactly(kit, { expectedBytes: file.length });
      expect(result.bytesFetched).toBeLessThan(2.2 * file.length);
    },
  );
});

describe('F010 parts that had an ETag, and an answer without validators among them', () => {
  const parts = bytesOf(8 * MIB, 3);
  const other = bytesOf(parts.length, 4);
  const large = { blockBytes: MIB, triesWithoutProgress: 50, idleMs: 3000, headersMs: 3000 };
  const isOneOf = (content: Buffer, ...objects: Buffer[]) =>
    objects.some((object) => object.equals(content));

  it.each([true, false])('fills no gap between them, ranges: %s', async (ranges) => {
    // changed in place: the same up to behind where the gap begins
    const after = Buffer.concat([parts.subarray(0, 700_000), bytesOf(parts.length - 700_000, 5)]);
    let isAfter = false;
    const kit = await serve(
      (request): Answer => {
        if (isAfter) return honest({ ...request, headers: {} }, after, { ranges });
        const answer = honest(request, parts, { etag: '"one"' });
        if (request.from === 0)
          return { ...answer, body: answer.body.subarray(0, 600_000), then: 'reset' };
        if (request.from < MIB) return { ...answer, body: '', then: 'hang' };
        return { ...answer, sliceBytes: 16 * 1024, everyMs: 5 };
      },
      { connections: 4 },
    );
    kit.allow({ unproven: true });
    const stop = new AbortController();
    const stopping = setTimeout(() => stop.abort(), 1500);
    const first = kit.fetch(source(kit), { limits: large, signal: stop.signal });
    await expect(first).rejects.toMatchObject({ code: 'Cancelled' });
    clearTimeout(stopping);
    isAfter = true;
    const result = await kit.fetch(source(kit, { expectedBytes: after.length }), { limits: large });
    expect(isOneOf(await kit.content(result), after)).toBe(true);
  });

  it('is none of theirs that was asked for alone, and came when others were at work', async () => {
    let refused = 0;
    let isOver = false;
    let askedAtMs = 0;
    const kit = await serve(
      async (request): Promise<Answer> => {
        const answer = honest(request, parts, { etag: '"one"' });
        const slowly = { ...answer, sliceBytes: 16 * 1024, everyMs: 10 };
        if (isOver) return slowly;
        if (request.index < 4) {
          askedAtMs = performance.now();
          return { ...slowly, body: answer.body.subarray(0, 600_000), then: 'reset' };
        }
        if (refused > 0 || performance.now() - askedAtMs < 900) {
          refused++;
          await sleep(60);
          refused--;
          return { head: '', body: '', then: 'reset' };
        }
        isOver = true;
        await sleep(300);
        const headers = { 'content-length': String(other.length) };
        return { headers, body: other };
      },
      { connections: 4 },
    );
    kit.allow({ unproven: true });
    const result = await kit.fetch(source(kit, { expectedBytes: null }), { limits: large });
    expect(isOneOf(await kit.content(result), parts, other)).toBe(true);
  });
});

it.each([0, 3])(
  'F011 cuts do not shorten the proof: two objects share what %i answers end with',
  async (cuts) => {
    // no data in either, where the first answer was cut
    const [first, second] = [before, file].map((object) => {
      const bytes = Buffer.from(object);
      return bytes.fill(0, MIB - 9_000, MIB + 20_000);
    }) as [Buffer, Buffer];
    const kit = await serve((request): Answer => {
      if (request.index > cuts) return honest(request, second);
      const answer = honest(request, first);
      return { ...answer, body: answer.body.subarray(0, MIB - request.from), then: 'end' };
    });
    kit.allow({ unproven: true });
    const wide = { limits: { ...limits, blockBytes: 16 * MIB } };
    const ended = await kit.fetch(source(kit), wide).then(
      async (result) => await kit.content(result),
      (error: unknown) => error,
    );
    if (Buffer.isBuffer(ended)) expect(ended.equals(second)).toBe(true);
    else expect(ended).toMatchObject({ code: 'SourceChanged' });
  },
);
