/** The area of `OData.CSC.Intersects`: POINT and POLYGON, longitude first, and whether a footprint touches it. */
import type { Polygon, Position } from '../catalogue/footprint.js';

export interface Area {
  kind: 'point' | 'polygon';
  /** Outer ring first, then holes; a point is a ring of one position. */
  rings: Position[][];
}

/** `SRID=4326;POLYGON((…))` → an area, or what is wrong with it. */
export function parseArea(text: string): Area | string {
  const match = /^\s*SRID=(\d+)\s*;\s*([A-Za-z]+)\s*(\(.*\))\s*$/s.exec(text);
  if (!match) return 'expected SRID=4326;POLYGON((…)) or SRID=4326;POINT(…)';
  const [, srid, type, body] = match;
  if (srid !== '4326') return `SRID ${srid} is not supported`;
  if (type!.toUpperCase() === 'POINT') {
    const point = parsePosition(body!.slice(1, -1));
    return typeof point === 'string' ? point : { kind: 'point', rings: [[point]] };
  }
  if (type!.toUpperCase() !== 'POLYGON') return `geometry type ${type!} is not supported`;
  return parsePolygon(body!);
}

function parsePolygon(body: string): Area | string {
  const inner = /^\(\s*(\([^()]*\)(?:\s*,\s*\([^()]*\))*)\s*\)$/.exec(body);
  if (!inner) return 'malformed POLYGON';
  const rings: Position[][] = [];
  for (const [, content] of inner[1]!.matchAll(/\(([^()]*)\)/g)) {
    const ring: Position[] = [];
    for (const part of content!.split(',')) {
      const position = parsePosition(part);
      if (typeof position === 'string') return position;
      ring.push(position);
    }
    if (ring.length < 4) return 'a ring needs at least four positions';
    const [first, last] = [ring[0]!, ring.at(-1)!];
    if (first[0] !== last[0] || first[1] !== last[1]) return 'the ring is not closed';
    if (crossesItself(ring)) return 'the ring crosses itself';
    rings.push(ring);
  }
  return { kind: 'polygon', rings };
}

function parsePosition(text: string): Position | string {
  const parts = text.trim().split(/\s+/);
  const numbers = parts.map(Number);
  const [lon, lat] = numbers;
  if (parts.length !== 2 || !numbers.every(Number.isFinite))
    return `malformed position "${text.trim()}"`;
  if (Math.abs(lon!) > 180 || Math.abs(lat!) > 90) return `position out of bounds "${text.trim()}"`;
  return [lon!, lat!];
}

/** Edges that are no neighbours and meet. Rings of up to some hundred positions: tried pair by pair. */
function crossesItself(ring: Position[]): boolean {
  const edges = ring.length - 1;
  if (edges > 2000) return false;
  for (let one = 0; one < edges; one += 1)
    for (let two = one + 2; two < edges; two += 1) {
      if (one === 0 && two === edges - 1) continue;
      if (edgesMeet(ring[one]!, ring[one + 1]!, ring[two]!, ring[two + 1]!)) return true;
    }
  return false;
}

/** Whether any part of the footprint and the area share a point; a border is part of both. */
export function intersects(footprint: readonly Polygon[], area: Area): boolean {
  return footprint.some((polygon) => {
    if (!boxesMeet(polygon, area.rings[0]!)) return false;
    if (area.kind === 'point') return contains(polygon, area.rings[0]![0]!);
    if (ringsMeet(polygon, area.rings[0]!)) return true;
    if (area.rings.slice(1).some((hole) => ringsMeet(polygon, hole))) return true;
    const inArea =
      contains(area.rings[0]!, polygon[0]!) &&
      !area.rings.slice(1).some((hole) => contains(hole, polygon[0]!));
    return inArea || contains(polygon, area.rings[0]![0]!);
  });
}

function boxesMeet(one: readonly Position[], two: readonly Position[]): boolean {
  const [a, b] = [box(one), box(two)];
  return a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3];
}

function box(ring: readonly Position[]): [number, number, number, number] {
  const found: [number, number, number, number] = [180, 90, -180, -90];
  for (const [lon, lat] of ring) {
    if (lon < found[0]) found[0] = lon;
    if (lat < found[1]) found[1] = lat;
    if (lon > found[2]) found[2] = lon;
    if (lat > found[3]) found[3] = lat;
  }
  return found;
}

function ringsMeet(one: readonly Position[], two: readonly Position[]): boolean {
  for (let at = 0; at + 1 < one.length; at += 1)
    for (let other = 0; other + 1 < two.length; other += 1)
      if (edgesMeet(one[at]!, one[at + 1]!, two[other]!, two[other + 1]!)) return true;
  return false;
}

/** Even–odd rule. */
function contains(ring: readonly Position[], [lon, lat]: Position): boolean {
  let inside = false;
  for (let at = 0, before = ring.length - 1; at < ring.length; before = at, at += 1) {
    const [[x1, y1], [x2, y2]] = [ring[at]!, ring[before]!];
    if (y1 > lat !== y2 > lat && lon < ((x2 - x1) * (lat - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}

function edgesMeet(a: Position, b: Position, c: Position, d: Position): boolean {
  const side = (from: Position, to: Position, point: Position): number =>
    Math.sign((to[0] - from[0]) * (point[1] - from[1]) - (to[1] - from[1]) * (point[0] - from[0]));
  const [abc, abd, cda, cdb] = [side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b)];
  if (abc !== abd && cda !== cdb) return true;
  const onEdge = (from: Position, to: Position, point: Position): boolean =>
    point[0] >= Math.min(from[0], to[0]) &&
    point[0] <= Math.max(from[0], to[0]) &&
    point[1] >= Math.min(from[1], to[1]) &&
    point[1] <= Math.max(from[1], to[1]);
  return (
    (abc === 0 && onEdge(a, b, c)) ||
    (abd === 0 && onEdge(a, b, d)) ||
    (cda === 0 && onEdge(c, d, a)) ||
    (cdb === 0 && onEdge(c, d, b))
  );
}
