/**
 * A geometry taken apart by dimension, and put together again. All computing in this folder works on parts;
 * GeoJSON geometries (closed rings) exist only at its edge. Rings of parts are open.
 */
import type { Geometry } from '../jobs/product.js';
import type { BboxWgs84 } from './aoi.js';
import { boxOf, ringSegments, type Position, type Segment } from './planar.js';

export interface Parts {
  points: Position[];
  lines: Position[][];
  /** Each an exterior ring, then its holes. */
  polygons: Position[][][];
}

function openRing(ring: Position[]): Position[] {
  const [first, last] = [ring[0], ring[ring.length - 1]];
  const closed = ring.length > 1 && first![0] === last![0] && first![1] === last![1];
  return closed ? ring.slice(0, -1) : ring;
}

/** Trusts the nesting that the type promises: geometries from outside go through a reader first. */
export function toParts(geometry: Geometry): Parts {
  const parts: Parts = { points: [], lines: [], polygons: [] };
  const coordinates: unknown = geometry.coordinates;
  const polygon = (rings: Position[][]) => rings.map(openRing);
  switch (geometry.type) {
    case 'Point':
      parts.points = [coordinates as Position];
      break;
    case 'MultiPoint':
      parts.points = coordinates as Position[];
      break;
    case 'LineString':
      parts.lines = [coordinates as Position[]];
      break;
    case 'MultiLineString':
      parts.lines = coordinates as Position[][];
      break;
    case 'Polygon':
      parts.polygons = [polygon(coordinates as Position[][])];
      break;
    case 'MultiPolygon':
      parts.polygons = (coordinates as Position[][][]).map(polygon);
  }
  return parts;
}

function gather(type: 'Point' | 'LineString' | 'Polygon', members: unknown[][]): Geometry {
  return members.length === 1
    ? { type, coordinates: members[0]! }
    : { type: `Multi${type}`, coordinates: members };
}

/** The parts of the highest dimension as one geometry; a single part never becomes a Multi. */
export function fromParts(parts: Parts): Geometry {
  if (parts.polygons.length > 0) {
    const close = (ring: Position[]): Position[] => [...ring, ring[0]!];
    return gather(
      'Polygon',
      parts.polygons.map((rings) => rings.map(close)),
    );
  }
  if (parts.lines.length > 0) return gather('LineString', parts.lines);
  return gather('Point', parts.points);
}

export function positionsOf(parts: Parts): Position[] {
  return [...parts.points, ...parts.lines.flat(), ...parts.polygons.flat(2)];
}

/** Every edge; a point is a segment of length zero. */
export function segmentsOf(parts: Parts): Segment[] {
  return [
    ...parts.points.map((p): Segment => [p, p]),
    ...parts.lines.flatMap((line) => line.slice(1).map((p, i): Segment => [line[i]!, p])),
    ...parts.polygons.flat().flatMap(ringSegments),
  ];
}

/** [west, south, east, north] in degrees. A geometry on both sides of ±180 has the box -180 … 180. */
export function bboxOf(geometry: Geometry): BboxWgs84 {
  return boxOf(positionsOf(toParts(geometry)));
}
