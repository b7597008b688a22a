/**
 * Plane geometry in degrees: which side, do segments touch, is a point inside, how large is a ring.
 * Rings here are open (the last vertex is not the first again). What rounding leaves undecided counts as touching,
 * so that no product on the very edge of an area is lost.
 * @see Shewchuk, Adaptive Precision Floating-Point Arithmetic (1997), for the error bound
 */

/** Longitude, latitude in degrees. */
export type Position = [lon: number, lat: number];
export type Segment = [from: Position, to: Position];
export type Box = [west: number, south: number, east: number, north: number];

const ORIENTATION_ERROR = 3.3306690738754716e-16;

/** 1 = c lies left of a→b, -1 = right, 0 = on the line as far as doubles can tell. */
export function side(a: Position, b: Position, c: Position): -1 | 0 | 1 {
  const left = (b[0] - a[0]) * (c[1] - a[1]);
  const right = (b[1] - a[1]) * (c[0] - a[0]);
  const difference = left - right;
  if (Math.abs(difference) <= ORIENTATION_ERROR * (Math.abs(left) + Math.abs(right))) return 0;
  return difference > 0 ? 1 : -1;
}

function withinSpan(p: Position, a: Position, b: Position): boolean {
  return (
    p[0] >= Math.min(a[0], b[0]) &&
    p[0] <= Math.max(a[0], b[0]) &&
    p[1] >= Math.min(a[1], b[1]) &&
    p[1] <= Math.max(a[1], b[1])
  );
}

/** True where the closed segments share a point. A segment of length zero is a point. */
export function segmentsTouch([a, b]: Segment, [c, d]: Segment): boolean {
  if (Math.max(a[0], b[0]) < Math.min(c[0], d[0]) || Math.max(c[0], d[0]) < Math.min(a[0], b[0]))
    return false;
  if (Math.max(a[1], b[1]) < Math.min(c[1], d[1]) || Math.max(c[1], d[1]) < Math.min(a[1], b[1]))
    return false;
  const [cSide, dSide] = [side(a, b, c), side(a, b, d)];
  const [aSide, bSide] = [side(c, d, a), side(c, d, b)];
  if (cSide !== dSide && aSide !== bSide) return true;
  return (
    (cSide === 0 && withinSpan(c, a, b)) ||
    (dSide === 0 && withinSpan(d, a, b)) ||
    (aSide === 0 && withinSpan(a, c, d)) ||
    (bSide === 0 && withinSpan(b, c, d))
  );
}

/** Where a point lies to an open ring, by the even-odd rule. */
export function locate(p: Position, ring: Position[]): 'inside' | 'edge' | 'outside' {
  let inside = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [a, b] = [ring[j]!, ring[i]!];
    if (side(a, b, p) === 0 && withinSpan(p, a, b)) return 'edge';
    if (a[1] > p[1] === b[1] > p[1]) continue;
    const [low, high] = a[1] < b[1] ? [a, b] : [b, a];
    if (side(low, high, p) > 0) inside = !inside;
  }
  return inside ? 'inside' : 'outside';
}

/** A polygon is its exterior ring, then its holes. Their edges belong to it. */
export function polygonHas(p: Position, [exterior, ...holes]: Position[][]): boolean {
  const place = locate(p, exterior ?? []);
  if (place !== 'inside') return place === 'edge';
  return holes.every((hole) => locate(p, hole) !== 'inside');
}

/** Square degrees; positive = counter-clockwise. Taken from the first vertex, so that a square centimetre keeps its digits. */
export function signedArea(ring: Position[]): number {
  const [x, y] = ring[0] ?? [0, 0];
  let twice = 0;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [a, b] = [ring[j]!, ring[i]!];
    twice += (a[0] - x) * (b[1] - y) - (b[0] - x) * (a[1] - y);
  }
  return twice / 2;
}

/** The segments of an open ring, its closing one included. */
export function ringSegments(ring: Position[]): Segment[] {
  return ring.map((p, i) => [p, ring[(i + 1) % ring.length]!]);
}

export function boxOf(positions: Iterable<Position>): Box {
  const box: Box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [lon, lat] of positions) {
    if (lon < box[0]) box[0] = lon;
    if (lat < box[1]) box[1] = lat;
    if (lon > box[2]) box[2] = lon;
    if (lat > box[3]) box[3] = lat;
  }
  return box;
}

export function boxesTouch(a: Box, b: Box): boolean {
  return a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3];
}
