import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseAoi } from '../../../src/cli/aoi-argument.js';
import { toRequest } from '../../../src/cli/commands/fetch.command.js';
import { searchDownloadRequestSchema } from '../../../src/jobs/request.js';

const directory = mkdtempSync(join(tmpdir(), 'nimbus-aoi-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const file = (name: string, content: string): string => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};

const wkt = 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.4))';
const geojson = { type: 'Point', coordinates: [1, 2] };

describe('parseAoi', () => {
  it.each([
    ['global', { global: true }],
    ['t29spc', { tile: 'T29SPC' }],
    [wkt, { wkt }],
    [`SRID=4326;${wkt}`, { wkt: `SRID=4326;${wkt}` }],
    [JSON.stringify(geojson), { geojson }],
  ])('takes %s', (text, expected) => expect(parseAoi(text)).toEqual(expected));

  it('reads a file with either', () => {
    expect(parseAoi(file('a.wkt', `${wkt}\n`))).toEqual({ wkt });
    expect(parseAoi(file('a.geojson', JSON.stringify(geojson)))).toEqual({ geojson });
  });

  it('refuses what is nothing of that, and files that hold nothing of that', () => {
    expect(() => parseAoi('no-such-file')).toThrow(/neither a file nor WKT/);
    expect(() => parseAoi('{"type":')).toThrow(/not valid JSON/);
    expect(() => parseAoi(file('a.txt', 'hello'))).toThrow(/neither WKT nor GeoJSON/);
  });
});

describe('toRequest', () => {
  const base = { provider: 'copernicus', collection: 'SENTINEL-2', follow: true };

  it('names every field as the API does', () => {
    const request = toRequest({
      ...base,
      ...{ productType: 'S2MSI2A', start: '2025-01-01', end: '2025-01-03', aoi: '29SPC' },
      ...{ cloudMax: 20, maxProducts: 5, maxBytes: 1e9, order: 'oldest', onError: 'stop' },
      ...{ ifExists: 'skip', priority: 'bulk', label: ['field=north', 'note=a=b'] },
      ...{ include: ['*_B04_10m.jp2', 'MTD_*.xml'], exclude: ['**/R60m/*'] },
    });
    expect(searchDownloadRequestSchema.parse(request)).toEqual({
      ...{ job_type: 'search_download', provider: 'copernicus', collection: 'SENTINEL-2' },
      ...{ product_type: 'S2MSI2A', start_date: '2025-01-01', end_date: '2025-01-03' },
      ...{ aoi: { tile: '29SPC' }, cloud_cover_max: 20, max_products: 5, max_bytes: 1e9 },
      ...{ order: 'oldest', on_error: 'stop', if_exists: 'skip', priority: 'bulk' },
      labels: { field: 'north', note: 'a=b' },
      assets: { include: ['*_B04_10m.jp2', 'MTD_*.xml'], exclude: ['**/R60m/*'] },
    });
  });

  it('leaves out what was not said', () => {
    expect(toRequest({ ...base, products: ['X.SAFE'] })).toEqual({
      ...{ provider: 'copernicus', collection: 'SENTINEL-2', products: ['X.SAFE'] },
    });
  });

  it('D17 takes one kind of pattern without the other', () => {
    expect(toRequest({ ...base, exclude: ['*.xml'] }).assets).toEqual({ exclude: ['*.xml'] });
    expect(toRequest({ ...base, include: ['*.jp2'] }).assets).toEqual({ include: ['*.jp2'] });
  });

  it('refuses a label without a value', () => {
    expect(() => toRequest({ ...base, label: ['north'] })).toThrow('--label north: not name=value');
  });
});
