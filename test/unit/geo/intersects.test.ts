import fc from 'fast-check';
import { intersection } from 'polyclip-ts';
import { describe, expect, test } from 'vitest';
import { intersects } from '../../../src/geo/intersects.js';
import { parseAoi } from '../../../src/geo/parse-aoi.js';
import { blobs } from './arbitraries.js';

const geometry = (wkt: string) => parseAoi({ wkt })!.geometry;

const lake = 'POLYGON((0 0,9 0,9 9,0 9,0 0),(2 2,2 7,7 7,7 2,2 2))';

describe('intersects', () => {
  test.each([
    [
      'overlapping squares',
      'POLYGON((0 0,2 0,2 2,0 2,0 0))',
      'POLYGON((1 1,3 1,3 3,1 3,1 1))',
      true,
    ],
    [
      'one inside the other',
      'POLYGON((0 0,9 0,9 9,0 9,0 0))',
      'POLYGON((1 1,3 1,3 3,1 3,1 1))',
      true,
    ],
    ['a shared edge', 'POLYGON((0 0,1 0,1 1,0 1,0 0))', 'POLYGON((1 0,2 0,2 1,1 1,1 0))', true],
    ['a shared corner', 'POLYGON((0 0,1 0,1 1,0 1,0 0))', 'POLYGON((1 1,2 1,2 2,1 2,1 1))', true],
    [
      'boxes that overlap, shapes that do not',
      'POLYGON((0 0,9 0,9 9,0 0))',
      'POLYGON((0 1,0 9,8 9,0 1))',
      false,
    ],
    ['an island in a lake', lake, 'POLYGON((3 3,6 3,6 6,3 6,3 3))', false],
    ['the shore of a lake', lake, 'POLYGON((3 3,7 3,7 6,3 6,3 3))', true],
    [
      'a cross without a vertex inside',
      'POLYGON((0 4,9 4,9 5,0 5,0 4))',
      'POLYGON((4 0,5 0,5 9,4 9,4 0))',
      true,
    ],
    ['a point inside', lake, 'POINT(1 1)', true],
    ['a point in a lake', lake, 'POINT(5 5)', false],
    ['a point on the edge', 'POLYGON((0 0,3 1,0 1,0 0))', 'POINT(1.5 0.5)', true],
    ['a point beside', lake, 'POINT(9.000001 5)', false],
    ['a line through', lake, 'LINESTRING(-1 5,10 5)', true],
    ['a line inside', lake, 'LINESTRING(1 1,1.5 1)', true],
    ['a line inside a lake', lake, 'LINESTRING(3 3,6 6)', false],
    ['lines that cross', 'LINESTRING(0 0,2 2)', 'LINESTRING(0 2,2 0)', true],
    ['lines that touch at their ends', 'LINESTRING(0 0,1 1)', 'LINESTRING(1 1,2 0)', true],
    ['parallel lines', 'LINESTRING(0 0,2 2)', 'LINESTRING(0 1,2 3)', false],
    ['a point on a line', 'LINESTRING(0 0,2 2)', 'POINT(1 1)', true],
    ['equal points', 'POINT(1 1)', 'MULTIPOINT(0 0,1 1)', true],
    [
      'the second of many',
      'MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))',
      'POINT(5.9 5.1)',
      true,
    ],
    [
      'both sides of ±180',
      'POLYGON((179 0,180 0,180 1,179 1,179 0))',
      'POLYGON((-180 0,-179 0,-179 1,-180 1,-180 0))',
      true,
    ],
    ['180 and -180 are one meridian', 'POINT(180 5)', 'POINT(-180 5)', true],
    [
      'beside ±180',
      'POLYGON((179 0,180 0,180 1,179 1,179 0))',
      'POLYGON((-179.9 0,-179 0,-179 1,-179.9 1,-179.9 0))',
      false,
    ],
  ])('%s', (_, a, b, expected) => {
    expect(intersects(geometry(a), geometry(b))).toBe(expected);
    expect(intersects(geometry(b), geometry(a))).toBe(expected);
  });

  test('agrees with polygon clipping', () => {
    fc.assert(
      fc.property(blobs, blobs, (a, b) => {
        const common = intersection(a.coordinates as never, b.coordinates as never);
        // Clipping says nothing of shapes that only touch; random ones do not.
        expect(intersects(a, b)).toBe(common.length > 0);
        expect(intersects(b, a)).toBe(common.length > 0);
      }),
      { numRuns: 200 },
    );
  });
});
