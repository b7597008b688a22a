import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import mgrs from 'mgrs';
import { describe, expect, test } from 'vitest';
import { normaliseFootprint } from '../../../src/geo/footprint.js';
import { intersects } from '../../../src/geo/intersects.js';
import { toUtm } from '../../../src/geo/mgrs-grid.js';
import { searchTiles, tileGeometry, tilesInBbox } from '../../../src/geo/mgrs-tiles.js';
import { parseAoi } from '../../../src/geo/parse-aoi.js';
import { positionsOf, toParts } from '../../../src/geo/parts.js';
import { boxOf } from '../../../src/geo/planar.js';
import type { Geometry } from '../../../src/jobs/product.js';

const recordings = '../shared/providers/recordings';
const ids = (collection: { features: { id: string }[] }) => collection.features.map((f) => f.id);

/** [west, south, east, north] in metres of the tile's own zone, northing from the equator. */
function utmBox(tile: string): number[] {
  const zone = Number(tile.slice(0, 2));
  const positions = positionsOf(toParts(tileGeometry(tile)!));
  return boxOf(positions.map((position) => toUtm(zone, position))).map(Math.round);
}

describe('tileGeometry', () => {
  // Corners as published with real products; southern northings less their 10,000 km.
  test.each([
    ['06VVN', [399_960, 6_690_240, 509_760, 6_800_040]],
    ['13VEK', [499_980, 6_890_220, 609_780, 7_000_020]],
    ['07HFE', [600_000, 6_500_020 - 109_800 - 1e7, 709_800, 6_500_020 - 1e7]],
  ])('%s has the corners of real products', (tile, box) => {
    expect(utmBox(tile)).toEqual(box);
  });

  test('takes names with T, without the zero, in any case', () => {
    const tile = tileGeometry('07HFE');
    for (const name of ['T07HFE', '7HFE', 't7hfe']) expect(tileGeometry(name)).toEqual(tile);
  });

  test.each(['61SPC', '00SPC', '29SAA', '29SPW', '29IPC', '32XNG', '29SP', 'X', '', '29SPCX'])(
    'gives null for %s',
    (name) => {
      expect(tileGeometry(name)).toBeNull();
    },
  );

  test('a tile over the antimeridian is split there', () => {
    const tile = tileGeometry('01CCV')!;
    expect(tile.type).toBe('MultiPolygon');
    expect(intersects(tile, { type: 'Point', coordinates: [179, -72.5] })).toBe(true);
    expect(intersects(tile, { type: 'Point', coordinates: [0, -72.5] })).toBe(false);
  });

  test('every point lies in the tile that MGRS names for it', () => {
    const points = fc.tuple(
      fc.double({ min: -180, max: 180, noNaN: true }),
      fc.double({ min: -79.9, max: 83.9, noNaN: true }),
    );
    fc.assert(
      fc.property(points, ([lon, lat]) => {
        // The reference implementation rounds 180 into a zone 61, and 100 km up at a square's edge: just south of the
        // equator into a square that there is not, in the southern band with the northern row.
        fc.pre(lon < 179.999 && !(lat < 0 && lat > -1e-9));
        const tile = tileGeometry(mgrs.forward([lon, lat], 0));
        expect(tile).not.toBeNull();
        expect(intersects(tile!, { type: 'Point', coordinates: [lon, lat] })).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('tilesInBbox', () => {
  test('finds what overlaps, each tile once', () => {
    const found = tilesInBbox([-7.8, 33.4, -7.2, 33.8], 100);
    expect(ids(found)).toEqual(['29SPS', '29SPT']);
    expect(found.features[0]).toMatchObject({
      type: 'Feature',
      properties: { id: '29SPS', grid: 'mgrs' },
      geometry: { type: 'Polygon' },
    });
  });

  test('names a square on a border of bands once, by the band of its centre', () => {
    expect(ids(tilesInBbox([10.5, 48.1, 10.6, 48.2], 100))).toEqual(['32UPU']);
    expect(ids(tilesInBbox([-87.5, 15.8, -87.4, 15.9], 100))).toEqual(['16PDC']);
  });

  test('follows the wide zones of Svalbard and Norway', () => {
    const zones = (bbox: [number, number, number, number]) =>
      new Set(ids(tilesInBbox(bbox, 500)).map((id) => id.slice(0, 3)));
    expect(zones([10, 78, 30, 80])).toEqual(new Set(['31X', '33X', '35X', '37X']));
    expect(zones([2.9, 60, 3.1, 61])).toEqual(new Set(['31V', '32V']));
  });

  test('crosses the antimeridian where west exceeds east, and has boxes that do', () => {
    const found = tilesInBbox([179.5, -17.8, -179.5, -17.2], 100);
    expect(new Set(ids(found).map((id) => id.slice(0, 2)))).toEqual(new Set(['01', '60']));
    const [west, , east] = found.features.find((feature) => feature.id === '60KZF')!.bbox;
    expect(west).toBeGreaterThan(179);
    expect(east).toBeLessThan(-179);
  });

  test('holds a tile for every point of the world', () => {
    const points = fc.tuple(
      fc.double({ min: -180, max: 180, noNaN: true }),
      fc.double({ min: -79.9, max: 83.9, noNaN: true }),
    );
    fc.assert(
      fc.property(points, ([lon, lat]) => {
        const found = tilesInBbox([lon, lat, lon, lat], 100);
        expect(found.features.length).toBeGreaterThan(0);
        for (const { id, geometry } of found.features) expect(geometry).toEqual(tileGeometry(id));
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    [[-180, -90, 180, 90], 'The box holds more than 1000 tiles: ask for a smaller one'],
    [[-180, 0, 180, 5], 'The box holds more than 1000 tiles: ask for a smaller one'],
    [[0, 5, 1, 4], 'The box has its south 5 above its north 4'],
    [[0, NaN, 1, 4], 'The box must be four numbers: west,south,east,north'],
    [[0, 0, 181, 4], 'The box has a longitude outside -180 to 180'],
    [[0, 0, 1, 91], 'The box has a latitude outside -90 to 90'],
  ])('refuses %j', (bbox, message) => {
    expect(() => tilesInBbox(bbox as [number, number, number, number], 1_000)).toThrow(
      expect.objectContaining({
        code: 'InvalidInput',
        message,
        details: { errors: [{ path: 'bbox', message }] },
      }),
    );
  });
});

describe('searchTiles', () => {
  test('finds names that start so, up to the limit', () => {
    const found = ids(searchTiles('29S', 1_000));
    expect(found.length).toBeGreaterThan(40);
    expect(found.every((id) => id.startsWith('29S'))).toBe(true);
    expect(new Set(found).size).toBe(found.length);
    expect(found).toContain('29SPC');
    expect(ids(searchTiles('29S', 7))).toEqual(found.slice(0, 7));
  });

  test.each([
    ['t29spc', ['29SPC']],
    ['7HFE', ['07HFE']],
    ['07HFE', ['07HFE']],
    ['hello', []],
    ['29SPCX', []],
    ['99', []],
  ])('%s', (query, expected) => {
    expect(ids(searchTiles(query, 10))).toEqual(expected);
  });

  test('an empty query gives the first tiles', () => {
    expect(ids(searchTiles('', 3))).toHaveLength(3);
  });
});

describe.skipIf(!existsSync(recordings))('recorded products (skipped without ../shared)', () => {
  test('Sentinel-2 footprints lie in their tiles', () => {
    const file = join(recordings, 'copernicus/odata/s2-l1c-two-items.json');
    const { value } = JSON.parse(readFileSync(file, 'utf8')) as {
      value: { Name: string; GeoFootprint: Geometry; Footprint: string }[];
    };
    expect(value).toHaveLength(2);
    for (const product of value) {
      const tile = tileGeometry(/_T(\w{5})_/.exec(product.Name)![1]!)!;
      const [west, south, east, north] = boxOf(positionsOf(toParts(tile)));
      const footprint = normaliseFootprint(product.GeoFootprint)!;
      const wkt = /;(.*)'/.exec(product.Footprint)![1]!;
      expect(intersects(parseAoi({ wkt })!.geometry, tile)).toBe(true);
      for (const [lon, lat] of positionsOf(toParts(footprint))) {
        // Catalogue footprints follow the pixels' outer edge: 0.001° to spare.
        expect(lon).toBeGreaterThan(west - 0.001);
        expect(lon).toBeLessThan(east + 0.001);
        expect(lat).toBeGreaterThan(south - 0.001);
        expect(lat).toBeLessThan(north + 0.001);
      }
    }
  });

  test('every recorded tile name exists', () => {
    for (const tile of ['30TVN', '31UDS', '31UFS', '31UGS', '33XWG', '33XWH', '54PXA', '55PBR'])
      expect(ids(searchTiles(tile, 5))).toEqual([tile]);
  });
});
