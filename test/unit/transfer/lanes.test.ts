/** Several connections for one file: what one of them meets must not hang, end or spoil what the others bring. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { nodeFiles, type Files } from '../../../src/transfer/files.js';
import { createConnectionSlots } from '../../../src/transfer/slots.js';
import { failingFiles } from '../../support/failing-files.js';
import { honest } from '../../support/lying-server.js';
import { CANARY } from '../../support/invariants.js';
import { bytesOf, useKits } from '../../support/transfer-kit.js';

const MIB = 1024 * 1024;
const serve = useKits();
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it('a failure of a connection that was opened later ends the transfer, and nothing but the transfer', async () => {
  const file = bytesOf(2 * MIB);
  const kit = await serve(
    (request) => {
      if (request.index > 0) return { status: 404, headers: { 'content-length': '0' }, body: '' };
      return { ...honest(request, file, { etag: '"one"' }), sliceBytes: 4096, everyMs: 10 };
    },
    { connections: 4 },
  );
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  try {
    const source = kit.source(file);
    await expect(kit.fetch(source)).rejects.toMatchObject({ code: 'SourceGone' });
    await sleep(20);
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
  expect(unhandled).toEqual([]);
});

it.each([
  [429, 'fewer connections than before'],
  [403, 'as many connections as before'],
])(
  'where a further connection is answered with %i, the account gives out %s',
  async (status, expected) => {
    const file = bytesOf(3 * MIB);
    const kit = await serve(
      (request) => {
        if (request.index > 0) return { status, headers: { 'content-length': '0' }, body: '' };
        return { ...honest(request, file, { etag: '"one"' }), sliceBytes: 16_384, everyMs: 5 };
      },
      { connections: 4 },
    );
    const slots = createConnectionSlots(4);
    const limits = { blockBytes: MIB };
    await kit.fetch(kit.source(file), { slots, limits }).catch(() => undefined);
    expect(kit.server.requests.length).toBeGreaterThan(1);
    let free = 0;
    while (slots.takeExtra()) free++;
    expect(free < 4).toBe(expected.startsWith('fewer'));
  },
);

it('F041 a file on its only connection that is answered with 429 lowers what the account gives out', async () => {
  const file = bytesOf(2 * MIB);
  const kit = await serve((request) => {
    if (request.path === '/refused')
      return { status: 429, headers: { 'content-length': '0', 'retry-after': '60' } };
    return { ...honest(request, file, { ranges: false }), sliceBytes: 64 * 1024, everyMs: 10 };
  });
  const slots = createConnectionSlots(4);
  const fetchTo = (name: string) =>
    kit.fetch(kit.source(file, { url: `${kit.server.url(`/${name}`)}?signature=${CANARY}` }), {
      slots,
      directory: join(kit.directory, name),
    });
  const others = ['one', 'two'].map(fetchTo);
  while (kit.server.requests.length < 2) await sleep(5);
  await expect(fetchTo('refused')).rejects.toMatchObject({ code: 'SourceThrottled' });
  await Promise.all(others);
  let free = 0;
  while (slots.takeExtra()) free++;
  expect(free).toBe(2);
});

it('the next file is asked for over the same connection while the last bytes of one wait for the disk', async () => {
  const file = bytesOf(300_000);
  let asked: (nothing: undefined) => void = () => undefined;
  const isAsked = new Promise<undefined>((resolve) => (asked = resolve));
  const kit = await serve(
    (request) => {
      if (request.index === 1) asked(undefined);
      return honest(request, file, { etag: '"one"' });
    },
    {
      files: failingFiles(({ name, path }) =>
        name === 'write' && /first\/part\./.test(path) ? isAsked : undefined,
      ),
    },
  );
  const slots = createConnectionSlots(1);
  const fetchTo = (name: string) =>
    kit.fetch(kit.source(file), {
      slots,
      limits: { blockBytes: MIB },
      directory: join(kit.directory, name),
    });
  const results = await Promise.all([fetchTo('first'), fetchTo('second')]);
  for (const result of results) expect((await kit.content(result)).equals(file)).toBe(true);
  expect(kit.server.connections().accepted).toBe(1);
  expect(slots.inUse).toBe(0);
});

it('a file that has given its connection on waits for another in turn, should its last answer turn out wrong', async () => {
  const file = bytesOf(300_000);
  let asked = 0;
  const kit = await serve((request) => {
    expect(request.atOnce).toBe(1);
    const answer = honest(request, file, { etag: '"one"' });
    const body = Buffer.from(answer.body as Buffer);
    if (request.path !== '/first') return answer;
    if (++asked === 1) return { ...answer, body: body.subarray(0, 200_000), then: 'reset' };
    // what must repeat itself after the cut does not
    if (asked === 2) body[0]! ^= 1;
    return { ...answer, body };
  });
  const slots = createConnectionSlots(1);
  const fetch = (name: string) => {
    const source = kit.source(file, { url: `${kit.server.url(`/${name}`)}?signature=${CANARY}` });
    return kit.fetch(source, { slots, directory: join(kit.directory, name) });
  };
  const results = await Promise.all([fetch('first'), fetch('second')]);
  for (const result of results) expect((await kit.content(result)).equals(file)).toBe(true);
  expect(asked).toBe(3);
  expect(slots.inUse).toBe(0);
});

it('a file of which a server gives less at a time than was asked for keeps its connection', async () => {
  const file = bytesOf(300_000);
  const asked: string[] = [];
  const kit = await serve((request) => {
    asked.push(request.path);
    const most = Math.min(request.to ?? file.length, request.from + 70_000);
    return honest({ ...request, isRanged: true, to: most }, file, { etag: '"one"' });
  });
  const slots = createConnectionSlots(2);
  const fetch = (name: string) => {
    const source = kit.source(file, {
      connections: 2,
      url: `${kit.server.url(`/${name}`)}?signature=${CANARY}`,
    });
    const limits = { blockBytes: MIB };
    return kit.fetch(source, { slots, limits, directory: join(kit.directory, name) });
  };
  await Promise.all(['one', 'two', 'three', 'four'].map(fetch));
  expect(asked.length).toBeGreaterThanOrEqual(20);
  const begunAndNotOver = (at: number) =>
    new Set(asked.slice(0, at + 1).filter((path) => asked.lastIndexOf(path) >= at)).size;
  expect(Math.max(...asked.map((_, at) => begunAndNotOver(at)))).toBe(2);
});

it('a connection that lags behind all others is read on, however much of what follows is in memory', async () => {
  const file = Buffer.concat(Array.from({ length: 32 }, (_, i) => bytesOf(MIB, i + 1)));
  const kit = await serve(
    (request) => {
      const answer = honest(request, file, { etag: '"one"' });
      return request.index > 0 ? answer : { ...answer, sliceBytes: 7.5 * MIB, everyMs: 1_200 };
    },
    { connections: 4 },
  );
  const result = await kit.fetch(kit.source(file), {
    limits: { blockBytes: 8 * MIB, idleMs: 10_000, headersMs: 10_000 },
  });
  expect(sha256(await kit.content(result))).toBe(sha256(file));
  expect(kit.server.requests.length).toBeGreaterThan(4);
});

it('F077 on a link that is not fast no more than a megabyte waits to be written, once that is known', async () => {
  const writes: { at: number; bytes: number }[] = [];
  const files: Files = {
    ...nodeFiles,
    async writeAll(handle, data, at) {
      if (data.length >= 4096) writes.push({ at, bytes: data.length });
      await nodeFiles.writeAll(handle, data, at);
    },
  };
  const file = Buffer.concat(Array.from({ length: 32 }, (_, i) => bytesOf(MIB, i + 1)));
  // some 100 MiB a second, at most
  const kit = await serve(
    (request) => ({ ...honest(request, file), sliceBytes: MIB / 2, everyMs: 5 }),
    { files },
  );
  await kit.fetch(kit.source(file), { limits: { blockBytes: 16 * MIB } });
  const late = writes.filter(({ at }) => at >= file.length / 2);
  expect(late.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThan(file.length / 4);
  expect(Math.max(...late.map(({ bytes }) => bytes))).toBeLessThanOrEqual(MIB);
});

it('more transfers at once than there is memory for all go on', async () => {
  const file = bytesOf(400_000);
  const kit = await serve((request) => {
    const answer = honest(request, file, { etag: '"one"' });
    return { ...answer, sliceBytes: 40_000, everyMs: 30 };
  });
  const results = await Promise.all(
    Array.from({ length: 36 }, (_, i) =>
      kit.fetch(kit.source(file, { key: `test/${i}` }), {
        directory: `${kit.directory}-${i}`,
        slots: createConnectionSlots(1),
        limits: { blockBytes: 16 * MIB, idleMs: 5_000 },
      }),
    ),
  );
  expect(results.map(({ bytes }) => bytes)).toEqual(results.map(() => file.length));
});

it('bytes of a refused answer are not among those of the digest', async () => {
  const file = bytesOf(3 * MIB);
  const wrong = bytesOf(3 * MIB, 7);
  const kit = await serve((request) => {
    if (request.index === 0) {
      const answer = honest(request, file);
      return { ...answer, body: file.subarray(0, 500_000), then: 'end' };
    }
    if (request.index === 1) return honest(request, wrong);
    return honest(request, file);
  });
  const result = await kit.fetch(kit.source(file, { checksums: [] }), {
    limits: { blockBytes: 16 * MIB },
  });
  expect((await kit.content(result)).equals(file)).toBe(true);
  expect(result.digests).toEqual([{ algorithm: 'sha256', value: sha256(file) }]);
});

it('a transfer that waits long before another try lets others have its connection', async () => {
  const file = bytesOf(10_000);
  let isServed = false;
  const kit = await serve((request) => {
    if (!request.path.startsWith('/bad')) return honest(request, file);
    const headers = { 'content-length': '0', 'retry-after': '3' };
    return isServed ? honest(request, file) : { status: 503, headers, body: '' };
  });
  const slots = createConnectionSlots(1);
  const bad = kit.source(file, { url: kit.server.url('/bad'), key: 'bad' });
  const late = kit.fetch(bad, { slots, directory: `${kit.directory}-bad` });
  await expect.poll(() => kit.notes.length).toBe(1);
  await kit.fetch(kit.source(file), { slots });
  isServed = true;
  expect(kit.notes, 'the other waits still').toHaveLength(1);
  await late;
});
