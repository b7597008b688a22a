/**
 * Do two geometries share a point? Decides which products belong to an area, so touching counts as sharing,
 * and the meridians -180 and 180 are one line. Edges are straight in longitude and latitude, as in RFC 7946 §3.1.1.
 * Both must be valid and split at the antimeridian (parseAoi, normaliseFootprint), and must not be changed afterwards:
 * what is computed about a geometry is kept for the next call with the same object.
 */
import type { Geometry } from '../jobs/product.js';
import { positionsOf, segmentsOf, toParts, type Parts } from './parts.js';
import {
  boxesTouch,
  boxOf,
  polygonHas,
  segmentsTouch,
  type Box,
  type Position,
  type Segment,
} from './planar.js';

interface Prepared {
  polygons: Position[][][];
  segments: Segment[];
  /** One vertex of each part. */
  samples: Position[];
  box: Box;
}

const prepared = new WeakMap<Geometry, Prepared>();

function prepareParts(parts: Parts): Prepared {
  return {
    polygons: parts.polygons,
    segments: segmentsOf(parts),
    samples: [
      ...parts.points,
      ...parts.lines.map((line) => line[0]!),
      ...parts.polygons.map((rings) => rings[0]![0]!),
    ],
    box: boxOf(positionsOf(parts)),
  };
}

function prepare(geometry: Geometry): Prepared {
  const known = prepared.get(geometry) ?? prepareParts(toParts(geometry));
  prepared.set(geometry, known);
  return known;
}

function shifted(geometry: Geometry, degrees: number): Prepared {
  const parts = toParts(geometry);
  const shift = ([lon, lat]: Position): Position => [lon + degrees, lat];
  return prepareParts({
    points: parts.points.map(shift),
    lines: parts.lines.map((line) => line.map(shift)),
    polygons: parts.polygons.map((rings) => rings.map((ring) => ring.map(shift))),
  });
}

function reaches([a, b]: Segment, [west, south, east, north]: Box): boolean {
  return (
    (a[0] >= west || b[0] >= west) &&
    (a[0] <= east || b[0] <= east) &&
    (a[1] >= south || b[1] >= south) &&
    (a[1] <= north || b[1] <= north)
  );
}

/** Where no edges touch, a part lies wholly inside a polygon or wholly outside: one vertex tells. */
function someInside(samples: Position[], polygons: Position[][][]): boolean {
  return samples.some((sample) => polygons.some((polygon) => polygonHas(sample, polygon)));
}

function touch(a: Prepared, b: Prepared): boolean {
  if (!boxesTouch(a.box, b.box)) return false;
  const edgesA = a.segments.filter((edge) => reaches(edge, b.box));
  const edgesB = b.segments.filter((edge) => reaches(edge, a.box));
  if (edgesA.some((edgeA) => edgesB.some((edgeB) => segmentsTouch(edgeA, edgeB)))) return true;
  return someInside(a.samples, b.polygons) || someInside(b.samples, a.polygons);
}

/** True if the two share at least one point. Symmetric; costs edges × edges only where the boxes overlap. */
export function intersects(a: Geometry, b: Geometry): boolean {
  const [first, second] = [prepare(a), prepare(b)];
  if (touch(first, second)) return true;
  const [west, , east] = first.box;
  if (east >= 180 && second.box[0] <= -180 && touch(first, shifted(b, 360))) return true;
  return west <= -180 && second.box[2] >= 180 && touch(first, shifted(b, -360));
}
