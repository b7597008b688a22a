/**
 * Footprints as catalogues publish them are often wrong at the antimeridian: a ring from 179 to -179 read in the plane
 * covers the whole world. They are read the short way and split before anything is matched against them.
 */
import type { Geometry } from '../jobs/product.js';
import {
  alignHole,
  splitLine,
  splitPolygon,
  unrollLine,
  unrollRing,
  wrapPosition,
} from './antimeridian.js';
import { fromParts, toParts, type Parts } from './parts.js';
import type { Position } from './planar.js';

function isNested(value: unknown, depth: number): boolean {
  if (!Array.isArray(value) || value.length === 0) return false;
  if (depth > 0) return value.every((member) => isNested(member, depth - 1));
  return value.length >= 2 && value.slice(0, 2).every((number) => Number.isFinite(number));
}

const DEPTHS: Record<Geometry['type'], number> = {
  Point: 0,
  MultiPoint: 1,
  LineString: 1,
  MultiLineString: 2,
  Polygon: 2,
  MultiPolygon: 3,
};

function flatten(position: Position): Position {
  return [position[0], Math.max(-90, Math.min(90, position[1]))];
}

function normalisePolygon(rings: Position[][]): Position[][][] {
  const [exterior, ...holes] = rings.map((ring) => unrollRing(ring.map(flatten))?.ring ?? []);
  if (!exterior || exterior.length < 3) return [];
  const kept = holes.filter((hole) => hole.length >= 3).map((hole) => alignHole(hole, exterior));
  try {
    return splitPolygon([exterior, ...kept]);
  } catch {
    return [];
  }
}

function normaliseLine(line: Position[]): Position[][] {
  const { line: unrolled } = unrollLine(line.map(flatten));
  return unrolled.length < 2 ? [] : splitLine(unrolled);
}

/**
 * A footprint within ±180, in two dimensions, ready for `intersects`; null if nothing usable is in it.
 * Never throws: one odd product must not end a search.
 */
export function normaliseFootprint(geometry: Geometry): Geometry | null {
  if (!isNested(geometry.coordinates, DEPTHS[geometry.type])) return null;
  const { points, lines, polygons } = toParts(geometry);
  const parts: Parts = {
    points: points.map(flatten).map(wrapPosition),
    lines: lines.flatMap(normaliseLine),
    polygons: polygons.flatMap(normalisePolygon),
  };
  const isEmpty = Object.values(parts).every((list: unknown[]) => list.length === 0);
  return isEmpty ? null : fromParts(parts);
}
