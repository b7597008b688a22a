/** F069: whatever happens to the journal's bytes, it never says more than was written into it. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeFiles } from '../../../src/transfer/files.js';
import { Journal, readJournal } from '../../../src/transfer/journal.js';
import { watchFiles } from '../../support/watched-files.js';

const identity = 'asset';
const source = { total: 400, etag: '"e"', lastModified: null, disposition: null };
const blocks = [
  { offset: 0, length: 100, xxh64: '1111111111111111' },
  { offset: 200, length: 100, xxh64: '3333333333333333' },
  { offset: 100, length: 100, xxh64: '2222222222222222' },
];
const checkpoint = { upTo: 100, states: { md5: 'c3RhdGU=' } };
let directory: string;
let whole: Buffer;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nimbus-journal-'));
  const journal = await open();
  await journal.setSource(source);
  await Promise.all(blocks.map((block) => journal.addBlock(block)));
  await journal.addFlushed([{ start: 0, end: 300 }]);
  await journal.addCheckpoint(checkpoint);
  await journal.addMismatch({ bytes: 400, digests: { md5: 'aa' } });
  await journal.close();
  whole = await readFile(join(directory, 'journal'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function open(): Promise<Journal> {
  return Journal.of(nodeFiles, directory, await Journal.load(nodeFiles, directory, identity));
}

const starts = () => [0, ...[...whole].flatMap((byte, at) => (byte === 10 ? [at + 1] : []))];
/** What is believed after each whole line. */
const believable = () => starts().map((end) => readJournal(whole.subarray(0, end)));

it('reads back what was written', () => {
  expect(readJournal(whole)).toEqual({
    identity,
    part: '',
    source,
    blocks,
    flushed: [{ start: 0, end: 300 }],
    checkpoint,
    mismatches: [{ bytes: 400, digests: { md5: 'aa' } }],
  });
});

it('F069 cut at every byte, it says what the whole lines before said', () => {
  const lines = believable();
  for (let cut = 0; cut <= whole.length; cut++) {
    const count = starts().filter((start) => start <= cut).length - 1;
    expect(readJournal(whole.subarray(0, cut))).toEqual(lines[count]);
  }
});

it('F069 garbled at every byte, it says no more than the lines before the damage', () => {
  const lines = believable();
  for (let at = 0; at < whole.length; at++) {
    const garbled = Buffer.from(whole);
    garbled[at] = (garbled[at] ?? 0) ^ 0x15;
    const count = starts().filter((start) => start <= at).length - 1;
    expect(readJournal(garbled)).toEqual(lines[count]);
  }
});

it('F069 with a torn tail, goes on as if the tail had never been', async () => {
  const state = readJournal(whole.subarray(0, whole.length - 3));
  const journal = Journal.of(nodeFiles, directory, state);
  await journal.addBlock({ offset: 300, length: 50, xxh64: '4444444444444444' });
  await journal.close();
  const again = await Journal.load(nodeFiles, directory, identity);
  expect(again.blocks.at(-1)).toEqual({ offset: 300, length: 50, xxh64: '4444444444444444' });
  expect(again.mismatches).toEqual([]);
});

it('forgets what belongs to another asset', async () => {
  expect(await Journal.load(nodeFiles, directory, 'another')).toMatchObject({ blocks: [] });
});

it('believes nothing of another version', () => {
  const body = JSON.stringify({ header: { version: 3, identity, part: '' } });
  const line = `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`;
  const rest = whole.subarray(starts()[1]);
  const isRead = (text: string) => readJournal(Buffer.concat([Buffer.from(text), rest]));
  expect(isRead(line)).toMatchObject({ identity: null, source: null, blocks: [], flushed: [] });
  expect(isRead(whole.toString('utf8', 0, starts()[1])).blocks).toEqual(blocks);
});

it('keeps nothing that touches lost bytes, and no digest over them', async () => {
  const journal = await open();
  await journal.lose({ start: 50, end: 150 });
  await journal.addBlock({ offset: 100, length: 20, xxh64: '9999999999999999' });
  await journal.close();
  expect(await Journal.load(nodeFiles, directory, identity)).toMatchObject({
    blocks: [
      { offset: 200, length: 100, xxh64: '3333333333333333' },
      { offset: 300, length: 50, xxh64: '4444444444444444' },
      { offset: 100, length: 20, xxh64: '9999999999999999' },
    ],
    flushed: [
      { start: 0, end: 50 },
      { start: 150, end: 300 },
    ],
    checkpoint: null,
  });
});

it.each(['lose', 'replace'] as const)(
  'F069 what is no longer believed stays so after a power cut (%s)',
  async (how) => {
    const { files, afterPowerCut } = watchFiles(nodeFiles);
    const place = await mkdtemp(join(directory, 'cut-'));
    const before = Journal.of(files, place, await Journal.load(files, place, identity));
    await before.addBlock(blocks[0]!);
    await before.addFlushed([{ start: 0, end: 100 }]);
    await before.close();
    const known = await Journal.load(files, place, how === 'lose' ? identity : 'another');
    const after = Journal.of(files, place, known);
    if (how === 'lose') await after.lose({ start: 0, end: 100 });
    else await after.replace();
    await after.close();
    const left = readJournal(afterPowerCut(place, () => 0).get('journal') ?? Buffer.alloc(0));
    expect(left).toMatchObject({ blocks: [], flushed: [] });
  },
);

it('of more blocks than a call takes arguments is written anew and read', async () => {
  const many = await mkdtemp(join(tmpdir(), 'nimbus-journal-'));
  try {
    const state = await Journal.load(nodeFiles, many, identity);
    state.blocks = Array.from({ length: 200_000 }, (_, i) => ({ ...blocks[0]!, offset: i * 100 }));
    const journal = Journal.of(nodeFiles, many, state);
    await journal.replace();
    await journal.close();
    expect((await Journal.load(nodeFiles, many, identity)).blocks).toHaveLength(200_000);
  } finally {
    await rm(many, { recursive: true, force: true });
  }
});
