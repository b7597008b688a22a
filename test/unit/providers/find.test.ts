import { describe, expect, it } from 'vitest';
import { findProducts } from '../../../src/providers/copernicus/find.js';
import { createFakeHttp, createTestClock, never } from './doubles.js';
import { createFakeCatalogue, toRecord, uuidOf, type FakeItem } from './fake-catalogue.js';

const item = (index: number, Name: string): FakeItem => ({
  id: uuidOf(index),
  startUs: index,
  publishedUs: 0,
  extra: { Name, S3Path: '/eodata/Sentinel-1/AUX/x' },
});

function setUp(items: FakeItem[]) {
  const catalogue = createFakeCatalogue(items, { skipMax: 10_000 });
  const asked: string[] = [];
  const http = createFakeHttp(({ url }) => {
    asked.push(url);
    const id = /Products\(([^)]*)\)/.exec(url)?.[1];
    if (id === undefined) return catalogue.answer(url);
    const found = items.find((candidate) => candidate.id === id);
    return found ? { status: 200, body: toRecord(found) } : { status: 404, body: { detail: 'no' } };
  });
  const settings = { baseUrl: 'https://c.test', http, clock: createTestClock() };
  return { asked, find: (texts: string[]) => findProducts(texts, settings, never) };
}

describe('finding products', () => {
  it('answers ids and names in the order asked, each product once', async () => {
    const { find } = setUp([item(1, 'A.EOF'), item(2, 'B.EOF'), item(3, 'C.EOF')]);
    const found = await find(['C.EOF', uuidOf(1), 'B.EOF', 'C.EOF', uuidOf(3)]);
    expect(found.map(({ name }) => name)).toEqual(['C.EOF', 'A.EOF', 'B.EOF']);
    expect(found[0]!.collection).toBe('SENTINEL-1');
  });

  it('F032 answers every product that bears a name', async () => {
    const { find } = setUp([item(1, 'SAME'), item(2, 'SAME')]);
    expect((await find(['SAME'])).map(({ id }) => id)).toEqual([uuidOf(1), uuidOf(2)]);
  });

  it('names all that do not exist', async () => {
    const { find } = setUp([item(1, 'A')]);
    await expect(find(['A', 'B', uuidOf(9)])).rejects.toMatchObject({
      code: 'NotFound',
      message: `Copernicus does not know B, ${uuidOf(9)}`,
      details: { missing: ['B', uuidOf(9)] },
    });
  });

  it('asks for a thousand names in batches', async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `NAME_${index}`);
    const { find, asked } = setUp(names.map((name, index) => item(index, name)));
    expect((await find(names)).map(({ name }) => name)).toEqual(names);
    expect(asked).toHaveLength(50);
  });

  it('takes a quote in a name for a part of the name', async () => {
    const { find } = setUp([item(1, "o'clock")]);
    expect(await find(["o'clock"])).toHaveLength(1);
  });
});
