/**
 * Longitudes without end: a ring that jumps from 170 to -170 means the short way, so it is unrolled (170 … 190), worked on
 * in the plane, and cut into parts within ±180 at last (RFC 7946 §3.1.9). A ring that goes round a pole is closed along it.
 * An edge of exactly 360 degrees is a parallel around the world, unless that makes the ring touch itself.
 */
import { intersection } from 'polyclip-ts';
import { boxOf, type Position, type Segment } from './planar.js';
import { contactsOf, resolve } from './self-contact.js';

export interface UnrolledRing {
  ring: Position[];
  /** Jumps over ±180 that were read as crossings; those of a ring around a pole do not count. */
  crossings: number;
  pole: 'north' | 'south' | null;
}

/** 1e-12 degrees: what a shift by 360 costs in the last digits is rounded away. */
function shiftLongitude([lon, lat]: Position, degrees: number): Position {
  return degrees === 0 ? [lon, lat] : [Math.round((lon + degrees) * 1e12) / 1e12, lat];
}

function isWorldEdge(a: Position, b: Position): boolean {
  return Math.abs(a[0] - b[0]) === 360;
}

interface Path {
  positions: Position[];
  /** Degrees by which the end of the path was shifted. */
  turn: number;
  crossings: number;
}

function unrollPath(path: Position[], keepWorldEdges: boolean): Path {
  let [turn, crossings] = [0, 0];
  const positions = path.map((position, i): Position => {
    const previous = path[i - 1] ?? position;
    const jump = position[0] - previous[0];
    if (Math.abs(jump) > 180 && !(keepWorldEdges && isWorldEdge(previous, position))) {
      turn -= 360 * Math.round(jump / 360);
      crossings++;
    }
    return shiftLongitude(position, turn);
  });
  return { positions, turn, crossings };
}

function dropRepeats(positions: Position[]): Position[] {
  return positions.filter(
    (p, i) => i === 0 || p[0] !== positions[i - 1]![0] || p[1] !== positions[i - 1]![1],
  );
}

/** A ring around a pole: the nearer one, or, if it crosses the equator, the one on the left of its direction. */
function enclosedPole(ring: Position[], turn: number): 'north' | 'south' {
  if (ring.every(([, lat]) => lat >= 0)) return 'north';
  if (ring.every(([, lat]) => lat <= 0)) return 'south';
  return turn > 0 ? 'north' : 'south';
}

/** An open ring, continuous in longitude, which may leave ±180; null if it runs around the Earth more than once. */
export function unrollRing(ring: Position[]): UnrolledRing | null {
  const closed = [...ring, ring[0]!];
  let path = unrollPath(closed, true);
  const hasWorldEdge = closed.some((p, i) => i > 0 && isWorldEdge(closed[i - 1]!, p));
  if (hasWorldEdge && contactsOf([path.positions.slice(0, -1)], 1) > 0)
    path = unrollPath(closed, false);
  if (Math.abs(path.turn) > 360) return null;
  if (path.turn === 0) {
    const open = dropRepeats(path.positions).slice(0, -1);
    return { ring: open, crossings: path.crossings, pole: null };
  }
  const pole = enclosedPole(ring, path.turn);
  const poleLatitude = pole === 'north' ? 90 : -90;
  const [start, end] = [path.positions[0]!, path.positions[path.positions.length - 1]!];
  const along: Position[] = [...path.positions, [end[0], poleLatitude], [start[0], poleLatitude]];
  return { ring: dropRepeats(along), crossings: 0, pole };
}

/** A line, continuous in longitude. A step from -180 to 180 stays where it is on Earth. */
export function unrollLine(line: Position[]): { line: Position[]; crossings: number } {
  const { positions, crossings } = unrollPath(line, false);
  return { line: dropRepeats(positions), crossings };
}

/** Holes are unrolled on their own: moves one by whole turns to where its exterior is. */
export function alignHole(hole: Position[], exterior: Position[]): Position[] {
  const [west, , east] = boxOf(exterior);
  const [holeWest, , holeEast] = boxOf(hole);
  const turns = Math.round((west + east - holeWest - holeEast) / 720);
  return hole.map((position) => shiftLongitude(position, 360 * turns));
}

/** The turns k whose window [360k - 180, 360k + 180] a span of longitudes reaches into. */
function windows(west: number, east: number): number[] {
  if (west >= -180 && east <= 180) return [0];
  const first = Math.floor((west + 180) / 360);
  const last = Math.max(first, Math.ceil((east + 180) / 360) - 1);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function clipToWindow(rings: Position[][], turn: number): Position[][][] {
  const [west, east] = [360 * turn - 180, 360 * turn + 180];
  const window: Position[] = [
    [west, -91],
    [east, -91],
    [east, 91],
    [west, 91],
  ];
  return intersection(rings, [window]).map((part) => part.map((ring) => ring.slice(0, -1)));
}

/** Cuts a polygon (open rings, any longitudes, at most 360 wide) into polygons within ±180. */
export function splitPolygon(rings: Position[][]): Position[][][] {
  const [west, , east] = boxOf(rings[0]!);
  const turns = windows(west, east);
  const pieces = turns.flatMap((turn) =>
    (turns.length === 1 ? [rings] : clipToWindow(rings, turn)).map((piece) =>
      piece.map((ring) => ring.map((position) => shiftLongitude(position, -360 * turn))),
    ),
  );
  // What goes all around the Earth comes apart only at ±180.
  return turns.length > 1 && east - west >= 360 ? resolve(pieces) : pieces;
}

/** Cuts a line (any longitudes) into lines within ±180. */
export function splitLine(line: Position[]): Position[][] {
  const [west, , east] = boxOf(line);
  return windows(west, east).flatMap((turn) => {
    const [low, high] = [360 * turn - 180, 360 * turn + 180];
    const pieces: Position[][] = [];
    line.slice(1).forEach((to, i) => {
      const piece = clipSegment(line[i]!, to, low, high);
      if (!piece) return;
      const current = pieces[pieces.length - 1];
      const end = current?.[current.length - 1];
      if (end && end[0] === piece[0][0] && end[1] === piece[0][1]) current.push(piece[1]);
      else pieces.push(piece);
    });
    return pieces
      .map((piece) => dropRepeats(piece).map((p) => shiftLongitude(p, -360 * turn)))
      .filter((piece) => piece.length > 1);
  });
}

function clipSegment(a: Position, b: Position, west: number, east: number): Segment | null {
  if (Math.max(a[0], b[0]) < west || Math.min(a[0], b[0]) > east) return null;
  const at = (lon: number): Position => [
    lon,
    a[1] + ((b[1] - a[1]) * (lon - a[0])) / (b[0] - a[0]),
  ];
  const clip = (p: Position): Position => (p[0] < west ? at(west) : p[0] > east ? at(east) : p);
  return [clip(a), clip(b)];
}

/** A longitude within ±180; 180 and -180 stay as they are. */
export function wrapPosition(position: Position): Position {
  const turn = Math.abs(position[0]) <= 180 ? 0 : Math.floor((position[0] + 180) / 360);
  return shiftLongitude(position, -360 * turn);
}
