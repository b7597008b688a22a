/** F069: whatever happens to the journal's bytes, it never promises more than was durable. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeFiles } from '../../../src/transfer/files.js';
import { durablePrefix, Journal, readJournal } from '../../../src/transfer/journal.js';

const identity = 'asset';
let directory: string;
let whole: Buffer;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nimbus-journal-'));
  const state = await Journal.load(nodeFiles, directory, identity);
  const journal = await Journal.start(nodeFiles, directory, state);
  await journal.setSource(nodeFiles, {
    total: 400,
    etag: '"e"',
    lastModified: null,
    disposition: null,
  });
  await journal.addBlock(nodeFiles, { offset: 0, length: 100, crc32: 1 });
  await journal.addBlock(nodeFiles, { offset: 200, length: 100, crc32: 3 });
  await journal.addBlock(nodeFiles, { offset: 100, length: 100, crc32: 2 });
  await journal.addMismatch(nodeFiles, { bytes: 400, digests: { md5: 'aa' } });
  await journal.close();
  whole = await readFile(join(directory, 'journal'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const starts = () => [0, ...[...whole].flatMap((byte, at) => (byte === 10 ? [at + 1] : []))];
/** What is believed after each whole line. */
const believable = () => starts().map((end) => readJournal(whole.subarray(0, end)));

it('reads back what was written', () => {
  expect(readJournal(whole)).toEqual({
    identity,
    source: { total: 400, etag: '"e"', lastModified: null, disposition: null },
    blocks: [
      { offset: 0, length: 100, crc32: 1 },
      { offset: 200, length: 100, crc32: 3 },
      { offset: 100, length: 100, crc32: 2 },
    ],
    mismatches: [{ bytes: 400, digests: { md5: 'aa' } }],
  });
});

it('cut at every byte, it says what the whole lines before said', () => {
  for (let cut = 0; cut <= whole.length; cut++) {
    const lines = starts().filter((start) => start <= cut).length - 1;
    expect(readJournal(whole.subarray(0, cut))).toEqual(believable()[lines]);
  }
});

it('garbled at every byte, it says no more than the lines before the damage', () => {
  for (let at = 0; at < whole.length; at++) {
    const garbled = Buffer.from(whole);
    garbled[at] = (garbled[at] ?? 0) ^ 0x15;
    const lines = starts().filter((start) => start <= at).length - 1;
    expect(readJournal(garbled)).toEqual(believable()[lines]);
  }
});

it('with a torn tail, goes on as if the tail had never been', async () => {
  const state = readJournal(whole.subarray(0, whole.length - 3));
  const journal = await Journal.start(nodeFiles, directory, state);
  await journal.addBlock(nodeFiles, { offset: 300, length: 50, crc32: 4 });
  await journal.close();
  const again = await Journal.load(nodeFiles, directory, identity);
  expect(durablePrefix(again.blocks)).toBe(350);
  expect(again.mismatches).toEqual([]);
});

it('forgets what belongs to another asset', async () => {
  expect(await Journal.load(nodeFiles, directory, 'another')).toMatchObject({ blocks: [] });
});

it('keeps nothing at or behind a rollback', async () => {
  const state = await Journal.load(nodeFiles, directory, identity);
  const journal = await Journal.start(nodeFiles, directory, state);
  await journal.keep(nodeFiles, 150);
  await journal.addBlock(nodeFiles, { offset: 100, length: 20, crc32: 9 });
  await journal.close();
  const again = await Journal.load(nodeFiles, directory, identity);
  expect(again.blocks).toEqual([
    { offset: 0, length: 100, crc32: 1 },
    { offset: 100, length: 20, crc32: 9 },
  ]);
});

describe('the durable prefix', () => {
  const block = (offset: number, length: number) => ({ offset, length, crc32: 0 });
  it.each([
    ['nothing', [], 0],
    ['a gap at the start', [block(10, 5)], 0],
    ['blocks in any order', [block(10, 5), block(0, 10)], 15],
    ['a gap in the middle', [block(0, 10), block(20, 5)], 10],
    ['an overlap', [block(0, 10), block(5, 10)], 15],
  ])('of %s', (_, blocks, end) => expect(durablePrefix(blocks)).toBe(end));
});
