import { describe, expect, it } from 'vitest';
import { jobRequestSchema, requestWindow, toInstantMs } from '../../../src/jobs/request.js';

const polygon = 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))';
const base = {
  job_type: 'search_download',
  provider: 'copernicus',
  collection: 'SENTINEL-2',
  product_type: 'S2MSI2A',
  start_date: '2025-01-01',
  end_date: '2025-01-03',
  aoi: { wkt: polygon },
};

function issuePaths(input: unknown): string[] {
  const parsed = jobRequestSchema.safeParse(input);
  return parsed.success ? [] : parsed.error.issues.map(({ path }) => path.join('.'));
}

describe('a search_download request', () => {
  it('is accepted as the guide writes it, with its defaults filled in', () => {
    expect(jobRequestSchema.parse(base)).toMatchObject({
      order: 'newest',
      on_error: 'continue',
      if_exists: 'verify',
      priority: 'normal',
    });
  });

  it('refuses unknown fields by name', () => {
    const parsed = jobRequestSchema.safeParse({ ...base, cloud: 3 });
    expect(parsed.success).toBe(false);
    expect(parsed.error!.issues[0]!.message).toContain('cloud');
  });

  it('asks for an area and dates unless products are named', () => {
    const { aoi: _aoi, start_date: _start, end_date: _end, ...rest } = base;
    expect(issuePaths(rest)).toEqual(['aoi', 'start_date', 'end_date']);
    expect(issuePaths({ ...rest, products: ['S2A_X.SAFE'] })).toEqual([]);
    expect(issuePaths({ ...base, products: ['S2A_X.SAFE'] })).toEqual([
      'aoi',
      'start_date',
      'end_date',
    ]);
  });

  it.each([
    ['F117 end before start', { end_date: '2024-12-31' }, 'end_date'],
    ['F117 the year 1900', { start_date: '1900-01-01' }, 'start_date'],
    ['F117 the year 9999', { end_date: '9999-01-01' }, 'end_date'],
    ['F117 an instant without a zone', { start_date: '2025-01-01T10:00:00' }, 'start_date'],
    ['F117 a day that does not exist', { start_date: '2025-02-30' }, 'start_date'],
    ['F117 a leap second', { end_date: '2025-01-03T23:59:60Z' }, 'end_date'],
    ['cloud cover above 100', { cloud_cover_max: 101 }, 'cloud_cover_max'],
    ['F101 an operator instead of a value', { provider: { $ne: null } }, 'provider'],
    ['no products at all', { max_products: 0 }, 'max_products'],
  ])('refuses %s', (_name, change, path) => {
    expect(issuePaths({ ...base, ...change })).toContain(path);
  });

  it('D17 takes patterns for files, and names the one that is wrong and why', () => {
    const assets = { include: ['*_B04_10m.jp2', 'GRANULE/**/R20m/*'], exclude: ['*_TCI_*'] };
    expect(jobRequestSchema.parse({ ...base, assets }).assets).toEqual(assets);
    expect(jobRequestSchema.parse({ ...base, assets: {} }).assets).toEqual({
      include: [],
      exclude: [],
    });
    const wrong = { include: ['*.jp2', '/GRANULE/*'], exclude: ['a{b,c}'] };
    const { error } = jobRequestSchema.safeParse({ ...base, assets: wrong });
    expect(error!.issues.map(({ path, message }) => [path.join('.'), message])).toEqual([
      ['assets.include.1', expect.stringMatching(/relative to the product/)],
      ['assets.exclude.0', expect.stringMatching(/Braces/)],
    ]);
    expect(issuePaths({ ...base, assets: { include: ['a'.repeat(201)] } })).toEqual([
      'assets.include.0',
    ]);
    expect(issuePaths({ ...base, assets: { include: Array(101).fill('*') } })).toEqual([
      'assets.include',
    ]);
    expect(issuePaths({ ...base, assets: { only: ['*'] } })).toEqual(['assets']);
  });

  it('reads a day as the whole UTC day, both ends included', () => {
    const window = requestWindow(base)!;
    expect(new Date(window.startMs).toISOString()).toBe('2025-01-01T00:00:00.000Z');
    expect(new Date(window.endMs).toISOString()).toBe('2025-01-04T00:00:00.000Z');
  });

  it('normalises instants of other zones to UTC', () => {
    expect(toInstantMs('2025-01-01T01:00:00+01:00', 'start')).toBe(Date.UTC(2025, 0, 1));
  });
});
