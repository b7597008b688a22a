/**
 * What is on disk and no longer proven does not stay in the file: the rest of a block whose digest is gone, bytes behind an
 * end that came earlier than thought, bytes that a server speaks of no more. No digest is announced, so nothing else would tell.
 */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readJournal } from '../../../src/transfer/journal.js';
import { failingFiles, failingOnce } from '../../support/failing-files.js';
import { chunked, honest, type Answer, type SeenRequest } from '../../support/lying-server.js';
import { bytesOf, md5, useKits, type Kit, type KitOptions } from '../../support/transfer-kit.js';

const MIB = 1024 * 1024;
/** A block of the journal is a quarter of that: more than is forgotten after a first difference. */
const limits = { blockBytes: 4 * MIB, triesWithoutProgress: 4 };
const file = bytesOf(3 * MIB);
const etag = '"one"';
const serve = useKits();

const fetchIt = (kit: Kit, changes = {}) =>
  kit.fetch(kit.source(file, { checksums: [], ...changes }), { limits });

async function exactly(kit: Kit, changes = {}) {
  const result = await fetchIt(kit, changes);
  expect((await kit.content(result)).equals(file)).toBe(true);
  return result;
}

/** A page of zeros in the last block of the journal, so many bytes before its end. */
async function damageLastBlock(kit: Kit, ...bytesBefore: number[]): Promise<void> {
  const name = (await kit.listing()).find((one) => one.startsWith('part.'))!;
  const path = join(kit.directory, name);
  const { blocks } = readJournal(await readFile(join(kit.directory, 'journal')));
  const last = blocks.reduce((one, other) => (other.offset > one.offset ? other : one));
  const bytes = await readFile(path);
  for (const before of bytesBefore) {
    expect(before, 'inside the last block').toBeLessThan(last.length);
    bytes.fill(0, last.offset + last.length - before, last.offset + last.length - before + 2000);
  }
  await writeFile(path, bytes);
}

/** The first answer brings two thirds of the file and is cut. */
async function cutOnce(
  later: (request: SeenRequest) => Answer,
  options?: KitOptions,
): Promise<Kit> {
  let isFirst = true;
  const kit = await serve((request) => {
    if (!isFirst) return later(request);
    isFirst = false;
    return { ...honest(request, file), body: file.subarray(0, 2 * MIB), then: 'end' };
  }, options);
  const failure = kit.fetch(kit.source(file, { checksums: [] }), {
    limits: { ...limits, triesWithoutProgress: 1 },
  });
  await expect(failure).rejects.toMatchObject({ code: 'SourceUnavailable' });
  return kit;
}

describe('F067 of a block of which a part is forgotten, the rest is not believed either', () => {
  it('where the end of a whole that was not verified is asked for again', async () => {
    const kit = await serve((request) => honest(request, file, { etag }), {
      files: failingOnce('rename', /verified$/, 'EIO'),
    });
    await expect(fetchIt(kit)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await damageLastBlock(kit, 150_000);
    await exactly(kit);
  });

  it('where served bytes differ from those on disk', async () => {
    const kit = await cutOnce((request) => honest(request, file));
    await damageLastBlock(kit, 3000, 700_000);
    await exactly(kit);
  });

  it('where the next answer brings more than it announced', async () => {
    let isFirst = true;
    const kit = await cutOnce((request) => {
      const answer = honest(request, file);
      if (!isFirst) return answer;
      isFirst = false;
      return { ...answer, body: Buffer.concat([answer.body, Buffer.from('more')]), then: 'end' };
    });
    await damageLastBlock(kit, 150_000);
    await exactly(kit);
  });
});

it('F067 more is lost than differences would uncover: what the disk did not keep is found, not the server blamed', async () => {
  const large = bytesOf(8 * MIB);
  let isFirst = true;
  const kit = await serve(
    async (request) => {
      const answer = honest(request, large);
      if (isFirst) {
        isFirst = false;
        return { ...answer, body: large.subarray(0, 7 * MIB), then: 'end' };
      }
      // all that lies on the disk has been looked at by then
      await new Promise((resolve) => setTimeout(resolve, 200));
      return answer;
    },
    { backoff: { baseMs: 1, maxMs: 2 } },
  );
  const source = kit.source(large, { checksums: [] });
  await expect(
    kit.fetch(source, { limits: { ...limits, triesWithoutProgress: 1 } }),
  ).rejects.toMatchObject({ code: 'SourceUnavailable' });
  const name = (await kit.listing()).find((one) => one.startsWith('part.'))!;
  const bytes = await readFile(join(kit.directory, name));
  await writeFile(join(kit.directory, name), bytes.fill(0, MIB, 7 * MIB));
  const result = await kit.fetch(source, { limits });
  expect((await kit.content(result)).equals(large)).toBe(true);
  expect(kit.notes).toContainEqual(
    expect.objectContaining({ reason: 'The disk gave back other bytes than were written' }),
  );
  expect(kit.notes.filter((note) => note.type === 'retried').length).toBeLessThanOrEqual(2);
});

it('F067 one block that the disk did not keep costs no more than that block', async () => {
  const large = bytesOf(16 * MIB);
  let isFirst = true;
  const kit = await serve((request) => {
    const answer = honest(request, large, { etag });
    if (!isFirst) return answer;
    isFirst = false;
    return { ...answer, body: large.subarray(0, 12 * MIB), then: 'end' };
  });
  const source = kit.source(large);
  await expect(
    kit.fetch(source, { limits: { ...limits, triesWithoutProgress: 1 } }),
  ).rejects.toMatchObject({ code: 'SourceUnavailable' });
  const name = (await kit.listing()).find((one) => one.startsWith('part.'))!;
  const bytes = await readFile(join(kit.directory, name));
  await writeFile(join(kit.directory, name), bytes.fill(0, 2 * MIB, 2 * MIB + 4096));
  const result = await kit.fetch(source, { limits });
  expect((await kit.content(result)).equals(large)).toBe(true);
  expect(result.bytesFetched).toBeLessThan(4 * MIB + 4 * MIB + 256 * 1024);
});

it('F067 a verified file that the disk did not keep is not handed out', async () => {
  const kit = await serve((request) => honest(request, file, { etag }));
  const { path } = await exactly(kit);
  await writeFile(path, (await readFile(path)).fill(0, MIB, MIB + 4096));
  await exactly(kit);
  const requests = kit.server.requests.length;
  await exactly(kit);
  expect(kit.server.requests.length, 'what it did keep is').toBe(requests);
});

describe('F011 an answer of unknown length that is whole', () => {
  const inChunks = { 'transfer-encoding': 'chunked' };
  const unknown = { expectedBytes: null };
  const junk = Buffer.from('\nFatal error: out of memory\n'.repeat(300));
  const all: Answer = { headers: inChunks, body: chunked(file) };
  /** All of the file, more behind it, and no end. */
  const cut: Answer = { headers: inChunks, body: chunked(file, junk).subarray(0, -5), then: 'end' };

  it('ends the file: what an earlier one had brought beyond is dropped', async () => {
    const kit = await serve(({ index }) => (index === 0 ? cut : all));
    expect((await exactly(kit, unknown)).checksum.level).toBe('none');
  });

  it('ends it where a digest is announced, too, and nothing is fetched in vain', async () => {
    const whole: Answer = { headers: inChunks, body: chunked(file, junk) };
    const kit = await serve(({ index }) => (index === 0 ? whole : all));
    const checksums = [{ algorithm: 'md5' as const, value: md5(file) }];
    await exactly(kit, { ...unknown, checksums });
    expect(kit.server.requests.length).toBe(2);
  });

  it('is as long on the disk as it says, however long earlier ones were', async () => {
    const longer = bytesOf(file.length + 100_000, 2);
    const cutAfter = (bytes: Buffer, etag: string): Answer => ({
      ...cut,
      headers: { ...inChunks, etag },
      body: chunked(bytes).subarray(0, -5),
    });
    const answers: Answer[] = [
      cutAfter(file, '"1"'),
      cutAfter(longer, '"2"'),
      cutAfter(longer, '"2"'),
      cutAfter(file, '"3"'),
      { ...all, headers: { ...inChunks, etag: '"3"' } },
    ];
    const kit = await serve(({ index }) => answers[index]!);
    const stop = new AbortController();
    const first = kit.fetch(kit.source(file, { checksums: [], ...unknown }), {
      limits,
      signal: stop.signal,
      onNote: () => stop.abort(),
    });
    await expect(first).rejects.toMatchObject({ code: 'Cancelled' });
    const result = await exactly(kit, unknown);
    expect((await stat(result.path)).size).toBe(file.length);
  });
});

it.each([
  [
    'nothing',
    { 'transfer-encoding': 'chunked' },
    chunked(file.subarray(0, 2 * MIB)).subarray(0, -5),
    {},
  ],
  [
    'another length',
    { 'content-length': String(file.length) },
    file.subarray(0, 2 * MIB),
    { 'content-range': `bytes */${2 * MIB}` },
  ],
] as const)(
  'F009 a server that refuses a range of what is here already, and says %s, has not said that this is all',
  async (_, headers, body, refusal) => {
    const unranged: Answer[] = [{ headers, body, then: 'end' }];
    const kit = await serve((request) =>
      request.isRanged
        ? { status: 416, headers: { ...refusal, 'content-length': '0' } }
        : (unranged.shift() ?? honest(request, file)),
    );
    await exactly(kit, { expectedBytes: null });
  },
);

it('F050 a wrong byte, and a server that refuses ranges ever after: the file is fetched again', async () => {
  const flipped = Buffer.from(file);
  flipped[MIB] = flipped[MIB]! ^ 1;
  let isFirst = true;
  const kit = await serve((request) => {
    if (request.isRanged) return { status: 416, headers: { 'content-length': '0' } };
    const served = isFirst ? flipped : file;
    isFirst = false;
    return honest(request, served, { etag });
  });
  const checksums = [{ algorithm: 'md5' as const, value: md5(file) }];
  await exactly(kit, { checksums, expectedBytes: null });
});

it('F069 after a stop, too, a power cut leaves a record of who works here', async () => {
  const order: string[] = [];
  const watching = failingFiles(({ name, path }) => {
    const what = /owner|journal/.exec(path)?.[0];
    if (what && ['datasync', 'rename'].includes(name)) order.push(`${name} ${what}`);
    return undefined;
  });
  const kit = await cutOnce(() => ({ silent: true }), { files: watching });
  const stopped = order.splice(0);
  expect(stopped.lastIndexOf('datasync owner')).toBe(stopped.lastIndexOf('rename owner') - 1);
  const failure = kit.fetch(kit.source(file, { checksums: [] }), {
    limits: { ...limits, triesWithoutProgress: 1 },
  });
  await expect(failure).rejects.toMatchObject({ code: 'SourceUnavailable' });
  expect(order.slice(0, 4)).toEqual([
    'datasync owner',
    'rename owner',
    'datasync journal',
    'rename journal',
  ]);
});
