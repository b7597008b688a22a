import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAoi } from '../../../src/geo/parse-aoi.js';
import { toWkt } from '../../../src/geo/wkt.js';
import { rectangles } from './arbitraries.js';

describe('toWkt', () => {
  test('writes plain decimals, without trailing zeros, exponents or a minus zero', () => {
    expect(toWkt({ type: 'Point', coordinates: [-0.0000001, 12.5] })).toBe('POINT(0 12.5)');
    expect(toWkt({ type: 'Point', coordinates: [100, 1e-5] })).toBe('POINT(100 0.00001)');
    expect(toWkt({ type: 'Point', coordinates: [1.23456789, 20] }, 0)).toBe('POINT(1 20)');
  });

  test('keeps all digits of an area that rounding would make vanish', () => {
    const text = 'POLYGON((30 10,30.00000009 10,30.00000009 10.00000009,30 10.00000009,30 10))';
    expect(toWkt(parseAoi({ wkt: text })!.geometry)).toBe(text);
  });

  test.each([
    'POINT(1 2)',
    'MULTIPOINT(1 2,3 4)',
    'LINESTRING(1 2,3 4)',
    'MULTILINESTRING((1 2,3 4),(5 6,7 8))',
    'POLYGON((0 0,9 0,9 9,0 9,0 0),(2 2,2 3,3 3,3 2,2 2))',
    'MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))',
  ])('reads back what it wrote: %s', (text) => {
    expect(toWkt(parseAoi({ wkt: text })!.geometry)).toBe(text);
  });

  test('parsing what was written gives the same area, as WKT and as GeoJSON', () => {
    fc.assert(
      fc.property(rectangles, (input) => {
        const aoi = parseAoi({ wkt: input })!;
        const again = parseAoi({ wkt: toWkt(aoi.geometry) })!;
        expect(again).toEqual({ ...aoi, repairs: [] });
        expect(parseAoi({ geojson: aoi.geometry })).toEqual(again);
      }),
    );
  });
});
