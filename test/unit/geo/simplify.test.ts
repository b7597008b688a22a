import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { intersects } from '../../../src/geo/intersects.js';
import { bboxOf, positionsOf, toParts } from '../../../src/geo/parts.js';
import { parseAoi } from '../../../src/geo/parse-aoi.js';
import { convexHull, simplifyForQuery } from '../../../src/geo/simplify.js';
import type { Aoi } from '../../../src/geo/aoi.js';
import { isServiceError } from '../../../src/jobs/error-codes.js';
import { blobs, rectangles, scribbles } from './arbitraries.js';

function vertexCount(aoi: Aoi | Pick<Aoi, 'geometry'>): number {
  return (JSON.stringify(aoi.geometry.coordinates).match(/\[-?\d/g) ?? []).length;
}

function expectToContain(outer: Aoi['geometry'], inner: Aoi['geometry']): void {
  for (const position of positionsOf(toParts(inner)))
    expect(intersects(outer, { type: 'Point', coordinates: position })).toBe(true);
}

describe('simplifyForQuery', () => {
  test('leaves a short area alone', () => {
    const aoi = parseAoi({ wkt: 'POLYGON((0 0,9 0,9 9,0 0))' })!;
    expect(simplifyForQuery(aoi, 4)).toBe(aoi.geometry);
  });

  test('drops what a hull does not need', () => {
    const aoi = parseAoi({ wkt: 'POLYGON((0 0,9 0,5 1,9 9,0 9,0 0))' })!;
    expect(simplifyForQuery(aoi, 5).coordinates).toEqual([
      [
        [0, 0],
        [9, 0],
        [9, 9],
        [0, 9],
        [0, 0],
      ],
    ]);
  });

  test('stays on both sides of the antimeridian', () => {
    const aoi = parseAoi({ wkt: 'POLYGON((170 0,175 1,-175 1,-170 0,-175 9,175 8,170 0))' })!;
    const outer = simplifyForQuery(aoi, 10);
    expect(outer.type).toBe('MultiPolygon');
    expect(intersects(outer, { type: 'Point', coordinates: [0, 5] })).toBe(false);
    expectToContain(outer, aoi.geometry);
  });

  test('takes lines and points too', () => {
    for (const wkt of [
      `LINESTRING(${Array.from({ length: 50 }, (_, i) => `${i} ${(i * i) % 7}`).join(',')})`,
      `LINESTRING(${Array.from({ length: 50 }, (_, i) => `${i} 5`).join(',')})`,
      `MULTIPOINT(${Array.from({ length: 50 }, (_, i) => `${i} ${(i * i) % 7}`).join(',')})`,
      `MULTILINESTRING((0 0,1 0,2 0,3 0,4 0),(5 5,6 6,7 5,8 6,9 5,10 6))`,
    ]) {
      const aoi = parseAoi({ wkt })!;
      const outer = simplifyForQuery(aoi, 8);
      expect(vertexCount({ geometry: outer })).toBeLessThanOrEqual(8);
      expectToContain(outer, aoi.geometry);
    }
  });

  test('always holds every vertex and keeps to the limit', () => {
    // A scribble that no one can resolve is refused, which is an answer and not an area.
    const inputs = fc
      .oneof(rectangles, scribbles)
      .map(areaOrNull)
      .filter((aoi) => aoi !== null);
    fc.assert(
      fc.property(inputs, fc.integer({ min: 5, max: 30 }), (aoi, limit) => {
        const outer = simplifyForQuery(aoi, limit);
        expect(vertexCount({ geometry: outer })).toBeLessThanOrEqual(limit);
        expectToContain(outer, aoi.geometry);
      }),
      { numRuns: 200 },
    );
  });

  test('what the exact area meets, its approximation meets', () => {
    fc.assert(
      fc.property(blobs, blobs, (area, footprint) => {
        const aoi: Aoi = { geometry: area, bbox: bboxOf(area), repairs: [] };
        if (!intersects(area, footprint)) return;
        expect(intersects(simplifyForQuery(aoi, 5), footprint)).toBe(true);
      }),
    );
  });
});

describe('convexHull', () => {
  test('of one point is the point, of a line its ends', () => {
    expect(
      convexHull([
        [1, 1],
        [1, 1],
      ]),
    ).toEqual([[1, 1]]);
    expect(
      convexHull([
        [0, 0],
        [2, 2],
        [1, 1],
      ]),
    ).toEqual([
      [0, 0],
      [2, 2],
    ]);
  });
});

function areaOrNull(wkt: string): Aoi | null {
  try {
    return parseAoi({ wkt });
  } catch (error) {
    if (isServiceError(error) && error.code === 'InvalidInput') return null;
    throw error;
  }
}
