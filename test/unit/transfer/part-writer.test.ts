/** What the journal hears of written bytes, and when: their digest comes from the hash thread, and may come late. */
import { beforeEach, expect, it } from 'vitest';
import type { PartWriter } from '../../../src/transfer/part-writer.js';
import { PAGE_BYTES } from '../../../src/transfer/slabs.js';
import { placePage, writerWith } from '../../support/part-writer.js';

let said: string[];
let writer: PartWriter;
/** Of the hash thread, for the bytes that were offered last. */
let answer: (xxh64: string | null) => void;

beforeEach(() => {
  said = [];
  writer = writerWith(
    {
      isBegun: true,
      addBlock: async ({ xxh64 }) => void said.push(`block ${xxh64}`),
      addFlushed: async () => void said.push('flushed'),
      lose: async () => void said.push('lost'),
    },
    () => new Promise((resolve) => (answer = resolve)),
  );
});

/** Long enough for whatever does not wait. */
const aMoment = () => new Promise((resolve) => setTimeout(resolve, 20));

it.each([
  ['as the thread found it', 'of the thread', 'block of the thread'],
  ['as we find it, where the thread does not', null, 'block our own'],
])('a block is recorded %s', async (_, found, line) => {
  await placePage(writer, 0);
  await aMoment();
  expect(said).toEqual([]);
  answer(found);
  await writer.settle();
  expect(said).toEqual([line]);
});

it.each([
  ['a flush promises', () => writer.flush(), ['block of the thread', 'flushed']],
  [
    'bytes are forgotten',
    () => writer.forget({ start: 0, end: PAGE_BYTES }),
    ['block of the thread', 'lost'],
  ],
  ['the writer is settled', () => writer.settle(), ['block of the thread']],
])('%s only after the lines of what was written before', async (_, step, lines) => {
  await placePage(writer, 0);
  const done = step();
  await aMoment();
  expect(said).toEqual([]);
  answer('of the thread');
  await done;
  expect(said).toEqual(lines);
});

it('nothing is written while bytes are about to be forgotten', async () => {
  await placePage(writer, 0);
  const forgotten = writer.forget({ start: 0, end: PAGE_BYTES });
  let isPlaced = false;
  const placed = placePage(writer, PAGE_BYTES).then(() => (isPlaced = true));
  await aMoment();
  expect(isPlaced).toBe(false);
  answer('first');
  await forgotten;
  await placed;
  answer('second');
  await writer.settle();
  expect(said).toEqual(['block first', 'lost', 'block second']);
});

it('compares what comes for bytes that are being written, once they are', async () => {
  const page = placePage(writer, 0);
  const again = placePage(writer, 0);
  expect(await page).toBe(PAGE_BYTES);
  expect(await again).toBe(0);
  answer('first');
});

it('keeps the slab until its digest is known', async () => {
  let isFree = false;
  writer.pool.whenFreed(() => (isFree = true));
  await placePage(writer, 0);
  expect(isFree).toBe(false);
  answer('of the thread');
  await writer.settle();
  expect(isFree).toBe(true);
});
