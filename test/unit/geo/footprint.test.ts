import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { normaliseFootprint } from '../../../src/geo/footprint.js';
import { intersects } from '../../../src/geo/intersects.js';
import { bboxOf } from '../../../src/geo/parts.js';
import { geometrySchema, type Geometry } from '../../../src/jobs/product.js';

const recordings = '../shared/providers/recordings';

const polygon = (...ring: number[][]): Geometry => ({ type: 'Polygon', coordinates: [ring] });
const point = (lon: number, lat: number): Geometry => ({ type: 'Point', coordinates: [lon, lat] });

describe('normaliseFootprint', () => {
  test('a ring over ±180 covers its strip and not the world', () => {
    const wrapped = polygon([179, -10], [-179, -10], [-179, -8], [179, -8], [179, -10]);
    const footprint = normaliseFootprint(wrapped)!;
    expect(footprint.type).toBe('MultiPolygon');
    const meets = (lon: number) => intersects(footprint, point(lon, -9));
    expect([meets(179.5), meets(-179.5), meets(180), meets(0), meets(178)]).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test('a swath that drifts beyond -180 is put back', () => {
    const footprint = normaliseFootprint(
      polygon([-179, 60], [-178, 62], [-181, 63], [-182, 61], [-179, 60]),
    )!;
    expect(intersects(footprint, point(178.5, 61.5))).toBe(true);
    expect(intersects(footprint, point(-179, 61.5))).toBe(true);
  });

  test('a ring around the pole covers it', () => {
    const footprint = normaliseFootprint(polygon([0, 80], [120, 80], [-120, 80], [0, 80]))!;
    expect(intersects(footprint, point(60, 89))).toBe(true);
    expect(intersects(footprint, point(60, 79))).toBe(false);
  });

  test('a third dimension and a missing closing point do not matter', () => {
    expect(normaliseFootprint(polygon([0, 0, 7], [1, 0, 7], [1, 1, 7]))).toEqual(
      polygon([0, 0], [1, 0], [1, 1], [0, 0]),
    );
  });

  test.each([
    ['nothing', { type: 'Polygon', coordinates: [] }],
    ['text for numbers', { type: 'Point', coordinates: ['1', '2'] }],
    ['not a number', { type: 'Point', coordinates: [NaN, 2] }],
    ['wrong nesting', { type: 'Polygon', coordinates: [[1, 2]] }],
    ['two points', polygon([0, 0], [1, 1], [0, 0])],
  ] as [string, Geometry][])('gives null for %s', (_, geometry) => {
    expect(normaliseFootprint(geometry)).toBeNull();
  });
});

function geometriesIn(value: unknown): Geometry[] {
  if (typeof value !== 'object' || value === null) return [];
  const parsed = geometrySchema.safeParse(value);
  return parsed.success ? [parsed.data] : Object.values(value).flatMap(geometriesIn);
}

describe.skipIf(!existsSync(recordings))('recorded footprints (skipped without ../shared)', () => {
  const files = existsSync(recordings)
    ? readdirSync(recordings, { recursive: true, encoding: 'utf8' }).filter((file) =>
        /json$/.test(file),
      )
    : [];
  const geometries = files.flatMap((file) =>
    geometriesIn(JSON.parse(readFileSync(join(recordings, file), 'utf8'))),
  );

  test('each is usable, meets itself and has no part wider than half the world', () => {
    expect(geometries.length).toBeGreaterThan(1_000);
    for (const geometry of geometries) {
      const footprint = normaliseFootprint(geometry)!;
      expect(footprint).not.toBeNull();
      expect(intersects(footprint, footprint)).toBe(true);
      const parts = footprint.type === 'MultiPolygon' ? footprint.coordinates : [];
      for (const part of parts) {
        const [west, , east] = bboxOf({ type: 'Polygon', coordinates: part as unknown[] });
        expect(east - west).toBeLessThan(180);
      }
    }
  });

  test('all but those at ±180 stay as published', () => {
    const inside = geometries.filter((geometry) => {
      const [west, , east] = bboxOf(geometry);
      return geometry.type === 'Polygon' && west > -180 && east < 180 && east - west < 180;
    });
    const withoutRepeats = (geometry: Geometry) =>
      (geometry.coordinates as number[][][]).map((ring) =>
        ring.filter((p, i) => i === 0 || String(p) !== String(ring[i - 1])),
      );
    expect(inside.length).toBeGreaterThan(500);
    for (const geometry of inside)
      expect(normaliseFootprint(geometry)!.coordinates).toEqual(withoutRepeats(geometry));
  });
});
