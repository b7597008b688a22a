/**
 * An area with fewer vertices for providers whose URL has a length limit. Always an outer approximation: it contains the
 * exact area, against which the results are clipped afterwards. It stays within ±180 and on the side where the part was.
 */
import type { Geometry } from '../jobs/product.js';
import type { Aoi } from './aoi.js';
import { fromParts, positionsOf, toParts, type Parts } from './parts.js';
import { boxOf, side, type Position } from './planar.js';

/** Convex hull, counter-clockwise, open (Andrew's monotone chain); two points for what lies on a line, one for a point. */
export function convexHull(positions: Position[]): Position[] {
  const sorted = [...positions]
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .filter((p, i, all) => i === 0 || p[0] !== all[i - 1]![0] || p[1] !== all[i - 1]![1]);
  const chain = (ordered: Position[]): Position[] => {
    const hull: Position[] = [];
    for (const p of ordered) {
      while (hull.length > 1 && side(hull[hull.length - 2]!, hull[hull.length - 1]!, p) <= 0)
        hull.pop();
      hull.push(p);
    }
    return hull.slice(0, -1);
  };
  const hull = [...chain(sorted), ...chain(sorted.reverse())];
  return hull.length === 0 ? sorted.slice(0, 1) : hull;
}

function box(positions: Position[]): Position[] {
  const [west, south, east, north] = boxOf(positions);
  return convexHull([
    [west, south],
    [east, south],
    [east, north],
    [west, north],
  ]);
}

/** Outlines may have shrunk to lines or points: mixed dimensions cannot be one geometry, so they are boxed together. */
function toGeometry(outlines: Position[][]): Geometry {
  const parts: Parts = {
    points: outlines.filter((outline) => outline.length === 1).flat(),
    lines: outlines.filter((outline) => outline.length === 2),
    polygons: outlines.filter((outline) => outline.length > 2).map((outline) => [outline]),
  };
  const kinds = Object.values(parts).filter((list: unknown[]) => list.length > 0);
  return kinds.length > 1 ? toGeometry([box(outlines.flat())]) : fromParts(parts);
}

function vertexCount(geometry: Geometry): number {
  const parts = toParts(geometry);
  return positionsOf(parts).length + parts.polygons.flat().length;
}

/**
 * A geometry of at most `maxVertices` (5 or more; closing vertices count) that contains the area: the area itself, else its
 * parts' convex hulls, else their boxes, else a box on each side of the meridian of Greenwich, else one box.
 */
export function simplifyForQuery(aoi: Aoi, maxVertices: number): Geometry {
  if (vertexCount(aoi.geometry) <= maxVertices) return aoi.geometry;
  const parts = toParts(aoi.geometry);
  const outlines = [
    ...(parts.points.length > 0 ? [parts.points] : []),
    ...parts.lines,
    ...parts.polygons.map(([exterior]) => exterior!),
  ];
  const sides = [
    outlines.filter((outline) => boxOf(outline)[0] < 0).flat(),
    outlines.filter((outline) => boxOf(outline)[0] >= 0).flat(),
  ].filter((outline) => outline.length > 0);
  const candidates = [outlines.map(convexHull), outlines.map(box), sides.map(box)].map(toGeometry);
  return (
    candidates.find((candidate) => vertexCount(candidate) <= maxVertices) ??
    toGeometry([box(positionsOf(parts))])
  );
}
