/**
 * Another object in the place of the first, where little tells: no digest, and validators that are missing, come and go, or
 * are said by an answer that is none. A file is one object's or none.
 */
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

describe('F014 without digest or validator', () => {
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

it('F014 an answer that leaves the ETag out does not make the next one right', async () => {
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
    return request.index < 3 ? { headers, body: page } : honest(request, file, { etag });
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

describe('F014 validators that come and go', () => {
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
});
