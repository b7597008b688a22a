/**
 * Finds where rings cross, touch or fold back on themselves, and resolves it: what remains are simple rings with the same
 * area (non-zero rule). Finding is a sweep over longitude; resolving grows with the crossings, so callers cap them.
 */
import { union } from 'polyclip-ts';
import { boxOf, locate, ringSegments, segmentsTouch, side, type Position } from './planar.js';

const CROSSING_COST = 20;

interface Edge {
  from: Position;
  to: Position;
  west: number;
  east: number;
  south: number;
  north: number;
  ring: number;
  index: number;
  ringLength: number;
}

/** Edges of one ring that follow each other share a vertex; they meet beyond it only by folding back. */
function foldsBack(first: Edge, second: Edge): boolean {
  const [a, b, c] = [first.from, first.to, second.to];
  const along = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1]);
  return along < 0 && side(a, b, c) === 0;
}

/** What it costs to resolve where two edges meet: nothing, 1 for touching, more for a crossing, which is a new vertex. */
function contactCost(a: Edge, b: Edge): number {
  if (a.south > b.north || b.south > a.north) return 0;
  if (a.ring === b.ring) {
    if ((a.index + 1) % a.ringLength === b.index) return foldsBack(a, b) ? 1 : 0;
    if ((b.index + 1) % b.ringLength === a.index) return foldsBack(b, a) ? 1 : 0;
  }
  if (!segmentsTouch([a.from, a.to], [b.from, b.to])) return 0;
  const touches =
    side(a.from, a.to, b.from) * side(a.from, a.to, b.to) === 0 ||
    side(b.from, b.to, a.from) * side(b.from, b.to, a.to) === 0;
  return touches ? 1 : CROSSING_COST;
}

/**
 * How much these open rings cross, touch or overlap themselves and each other; 0 = not at all. Counts up to `limit`,
 * a crossing as 20 contacts.
 */
export function contactsOf(rings: Position[][], limit: number): number {
  const edges = rings.flatMap((positions, ring) =>
    ringSegments(positions).map(([from, to], index): Edge => {
      const [west, south, east, north] = boxOf([from, to]);
      return { from, to, west, south, east, north, ring, index, ringLength: positions.length };
    }),
  );
  edges.sort((a, b) => a.west - b.west);
  let contacts = 0;
  for (let i = 0; i < edges.length; i++)
    for (let j = i + 1; j < edges.length && edges[j]!.west <= edges[i]!.east; j++) {
      contacts += contactCost(edges[i]!, edges[j]!);
      if (contacts >= limit) return contacts;
    }
  return contacts;
}

/** For rings without contact: does every hole lie inside its exterior and outside the other holes? */
export function holesInPlace([exterior, ...holes]: Position[][]): boolean {
  return holes.every(
    (hole, i) =>
      locate(hole[0]!, exterior!) === 'inside' &&
      holes.every((other, j) => i === j || locate(hole[0]!, other) === 'outside'),
  );
}

/** Polygons without crossings or overlaps and with the same area. Exteriors run counter-clockwise, holes clockwise; open rings. */
export function resolve(polygons: Position[][][]): Position[][][] {
  return union(polygons).map((rings) => rings.map((ring) => ring.slice(0, -1)));
}
