import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SearchCursor } from '../../../src/providers/provider.js';
import { createSearch } from '../../../src/providers/copernicus/search.js';
import { createFakeHttp, createTestClock, never, searchRequest } from './doubles.js';
import { createFakeCatalogue, uuidOf, type FakeItem, type FakeManners } from './fake-catalogue.js';

const BASE = 'http://catalogue.test';
const START = Date.UTC(2025, 0, 1);
const DAYS = 3 * 86_400_000;

async function searchAll(items: FakeItem[], manners: FakeManners, pageSize: number) {
  const catalogue = createFakeCatalogue(items, manners);
  const search = createSearch({
    baseUrl: BASE,
    http: createFakeHttp(({ url }) => catalogue.answer(url)),
    clock: createTestClock(),
    pageSize,
    skipMax: manners.skipMax,
  });
  const found: string[] = [];
  let cursor: SearchCursor | null = null;
  let largestCursor = 0;
  do {
    const page = await search(searchRequest(), null, cursor, never);
    found.push(...page.products.map(({ id }) => id));
    cursor = page.next === null ? null : (JSON.parse(JSON.stringify(page.next)) as SearchCursor);
    largestCursor = Math.max(largestCursor, JSON.stringify(cursor).length);
    expect(catalogue.requests.length).toBeLessThan(100_000);
  } while (cursor !== null);
  return { found, requests: catalogue.requests.length, largestCursor };
}

const truth = (items: FakeItem[]) =>
  items
    .filter(({ startUs }) => startUs >= START * 1000 && startUs < (START + DAYS) * 1000)
    .map(({ id }) => id)
    .sort();

const setOf = (ids: string[]) => [...new Set(ids)].sort();

function itemsOf(startsUs: number[], publishedUs: number[]): FakeItem[] {
  return startsUs.map((startUs, index) => ({
    id: uuidOf(index),
    startUs,
    publishedUs: publishedUs[index % publishedUs.length]!,
  }));
}

const around = fc.integer({
  min: (START - 3_600_000) * 1000,
  max: (START + DAYS + 3_600_000) * 1000,
});

describe('a search is complete', () => {
  it('F026 F027 lists exactly the truth for any catalogue, page size and window limit', async () => {
    const scenario = fc
      .record({
        // Few instants for many products: most of their times are equal.
        instants: fc.array(around, { minLength: 1, maxLength: 60, size: 'max' }),
        picks: fc.infiniteStream(fc.nat()),
        pageSize: fc.integer({ min: 2, max: 200 }),
        pages: fc.integer({ min: 2, max: 12 }),
        fullness: fc.double({ min: 0, max: 1, noNaN: true }),
      })
      .map(({ instants, picks, pageSize, pages, fullness }) => {
        const count = Math.floor(fullness * Math.min(3000, pageSize * 50));
        const items = [...picks.take(count)].map((pick, index) => ({
          id: uuidOf(index),
          startUs: instants[pick % instants.length]!,
          // No two alike: the second dimension is never crowded.
          publishedUs: (START + ((index * 7919) % 3001) * 100) * 1000,
        }));
        return { items, pageSize, skipMax: pageSize * pages };
      });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ items, pageSize, skipMax }) => {
        const { found, largestCursor } = await searchAll(items, { skipMax }, pageSize);
        expect(setOf(found)).toEqual(truth(items));
        expect(largestCursor).toBeLessThan(4096);
      }),
      { numRuns: 30, endOnFailure: true },
    );
  });

  it('F026 lists exactly the truth when the catalogue ignores the order that it was asked for', async () => {
    const scenario = fc.record({
      startsUs: fc.uniqueArray(around, { minLength: 200, maxLength: 500, size: 'max' }),
      // All different, or so few that an instant does not fit on a page.
      instants: fc.constantFrom(500, 4),
      order: fc.constantFrom('ignored' as const, 'shuffled' as const),
      pageSize: fc.integer({ min: 20, max: 45 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ startsUs, instants, order, pageSize }) => {
        const items = itemsOf(
          startsUs.map((_, index) => startsUs[index % instants]!),
          startsUs.map((_, index) => (START + index * 1000) * 1000),
        );
        const { found, largestCursor } = await searchAll(items, { skipMax: 200, order }, pageSize);
        expect(setOf(found)).toEqual(truth(items));
        expect(largestCursor).toBeLessThan(4096);
      }),
      { numRuns: 12, endOnFailure: true },
    );
  });

  it('F026 lists exactly the truth when only the last page shows that there is no order', async () => {
    for (let time = 0; time < 10; time++) {
      const items = itemsOf(
        Array.from({ length: 50 }, () => (START + 1000) * 1000),
        Array.from({ length: 50 }, (_, index) => (START + index * 1000) * 1000),
      );
      const { found } = await searchAll(items, { skipMax: 200, order: 'shuffled' }, 45);
      expect(setOf(found)).toEqual(truth(items));
    }
  });

  it('F027 lists 25,000 products behind a window of 10,000 without fetching much twice', async () => {
    const starts = Array.from({ length: 25_000 }, (_, index) => (START + index * 10) * 1000);
    const items = itemsOf(starts, [START * 1000]);
    const { found, requests } = await searchAll(items, { skipMax: 10_000 }, 1000);
    expect(setOf(found)).toEqual(truth(items));
    expect(requests).toBeLessThan(30);
  });

  it('lists 12,000 products of one instant by their publication', async () => {
    const starts = Array.from({ length: 12_000 }, () => (START + 1000) * 1000);
    const dates = starts.map((_, index) => (START + index) * 1000);
    const items = itemsOf(starts, dates);
    const { found, requests } = await searchAll(items, { skipMax: 10_000 }, 1000);
    expect(setOf(found)).toEqual(truth(items));
    expect(requests).toBeLessThan(40);
  });

  it('fails instead of listing a part when one instant holds more than can be paged through', async () => {
    const items = itemsOf(
      Array.from({ length: 60 }, () => START * 1000),
      [START * 1000],
    );
    await expect(searchAll(items, { skipMax: 20 }, 10)).rejects.toMatchObject({
      code: 'SourceUnavailable',
    });
  });

  it('gives the same page for the same cursor', async () => {
    const items = itemsOf(
      Array.from({ length: 30 }, (_, index) => (START + index) * 1000),
      [START * 1000],
    );
    const catalogue = createFakeCatalogue(items, { skipMax: 1000 });
    const search = createSearch({
      baseUrl: BASE,
      http: createFakeHttp(({ url }) => catalogue.answer(url)),
      clock: createTestClock(),
      pageSize: 10,
    });
    const first = await search(searchRequest(), null, null, never);
    const second = await search(searchRequest(), null, first.next, never);
    expect(await search(searchRequest(), null, first.next, never)).toEqual(second);
    expect(second.products.map(({ id }) => id)).toEqual(items.slice(10, 20).map(({ id }) => id));
  });
});

describe('the edges of the searched time', () => {
  it('includes the first microsecond of the first day and the last one of the last day', async () => {
    const times = [
      START * 1000 - 1,
      START * 1000,
      (START + DAYS) * 1000 - 1,
      (START + DAYS) * 1000,
    ];
    const { found } = await searchAll(itemsOf(times, [START * 1000]), { skipMax: 1000 }, 10);
    expect(found).toEqual([uuidOf(1), uuidOf(2)]);
  });
});
