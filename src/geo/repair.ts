/**
 * From positions as sent to a valid area within ±180: what has one safe reading is repaired and listed in words, what has
 * none is refused naming the vertex. The result's rings are simple, oriented as RFC 7946 asks, and apart from each other.
 */
import {
  alignHole,
  splitLine,
  splitPolygon,
  unrollLine,
  unrollRing,
  wrapPosition,
} from './antimeridian.js';
import type { Parts } from './parts.js';
import { boxOf, polygonHas, signedArea, type Position } from './planar.js';
import { invalidInput, vertexName, type ReadGeometry, type ReadPart } from './read-geometry.js';
import { contactsOf, holesInPlace, resolve } from './self-contact.js';

/** 1,000 crossings or 20,000 touching edges take about half a second to resolve; an area drawn by a person has a few. */
const MAX_CONTACTS = 20_000;
/** One turn beyond the usual range; more is not a longitude but a slip. */
const MAX_LONGITUDE = 540;

/** What was done, counted while it is done, told at the end. */
class RepairLog {
  private readonly counts = new Map<string, number>();

  count(what: string, by = 1): void {
    if (by > 0) this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  toList(): string[] {
    return [...this.counts].map(([what, count]) =>
      count === 1 ? what : `${what} (${count} times)`,
    );
  }
}

function checkRange(parts: ReadPart[]): void {
  const all = parts.flatMap((part) => part.lists.flat());
  const swappable = all.every(([lon, lat]) => Math.abs(lon) <= 90 && Math.abs(lat) <= 180);
  for (const part of parts)
    part.lists.forEach((list, i) =>
      list.forEach(([lon, lat], vertex) => {
        const name = () => vertexName(part, i, vertex);
        if (Math.abs(lat) > 90) {
          const hint = swappable
            ? ': longitude comes first, are latitude and longitude swapped?'
            : ': coordinates are degrees, longitude first';
          throw invalidInput(part.path, `${name()}: latitude ${lat} is outside -90 to 90${hint}`);
        }
        if (Math.abs(lon) > MAX_LONGITUDE)
          throw invalidInput(
            part.path,
            `${name()}: longitude ${lon} is outside -180 to 180 by more than a turn`,
          );
      }),
    );
}

function same(a: Position, b: Position): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

function dropRepeated(list: Position[], log: RepairLog): Position[] {
  const kept = list.filter((p, i) => i === 0 || !same(p, list[i - 1]!));
  log.count('Repeated point dropped', list.length - kept.length);
  return kept;
}

function repairPoints(parts: ReadPart[], log: RepairLog): Position[] {
  const seen = new Map<string, Position>();
  for (const part of parts) {
    const sent = part.lists[0]![0]!;
    const point = wrapPosition(sent);
    if (point[0] !== sent[0]) log.count('Longitude beyond ±180 wrapped');
    const key = point.join(' ');
    if (seen.has(key)) log.count('Repeated point dropped');
    seen.set(key, point);
  }
  return [...seen.values()];
}

function noteLongitudes(
  log: RepairLog,
  { crossings, isSplit, isWrapped }: { crossings: number; isSplit: boolean; isWrapped: boolean },
): void {
  if (isSplit) log.count('Split at the antimeridian (±180)');
  else if (isWrapped) log.count('Longitudes beyond ±180 wrapped');
  else if (crossings > 0) log.count('Jump over ±180 read as the short way');
}

function isBeyond(positions: Position[]): boolean {
  return positions.some(([lon]) => Math.abs(lon) > 180);
}

function repairLine(part: ReadPart, log: RepairLog): Position[][] {
  const { line, crossings } = unrollLine(dropRepeated(part.lists[0]!, log));
  if (line.length < 2) {
    const name = vertexName(part, 0, 0);
    throw invalidInput(part.path, `${name}: the line has fewer than 2 distinct points`);
  }
  const pieces = splitLine(line);
  noteLongitudes(log, { crossings, isSplit: pieces.length > 1, isWrapped: isBeyond(line) });
  return pieces;
}

/** An open ring without repeats. */
function tidyRing(part: ReadPart, index: number, log: RepairLog): Position[] {
  const sent = part.lists[index]!;
  const closed = sent.length > 1 && same(sent[0]!, sent[sent.length - 1]!);
  const ring = dropRepeated(closed ? sent.slice(0, -1) : sent, log);
  // A ring closed twice over repeats its first vertex once more.
  while (ring.length > 1 && same(ring[0]!, ring[ring.length - 1]!)) ring.pop();
  const distinct = new Set(ring.map((p) => p.join(' '))).size;
  if (distinct < 3) {
    const name = vertexName(part, index, Math.max(0, sent.length - 1));
    throw invalidInput(
      part.path,
      `${name}: the ring ends here with ${distinct} distinct points, at least 3 are needed`,
    );
  }
  if (!closed) log.count('Ring closed');
  return ring;
}

function widthOf(ring: Position[]): number {
  const [west, , east] = boxOf(ring);
  return east - west;
}

interface Unrolled {
  rings: Position[][];
  crossings: number;
}

function unrollRings(part: ReadPart, log: RepairLog): Unrolled {
  let crossings = 0;
  const rings = part.lists.map((_, index) => {
    const ring = tidyRing(part, index, log);
    const unrolled = widthOf(ring) > 360 ? null : unrollRing(ring);
    if (!unrolled || widthOf(unrolled.ring) > 360)
      throw invalidInput(
        part.path,
        `${vertexName(part, index, 0)}: the ring is larger than the Earth; for no spatial filter send {"global": true}`,
      );
    crossings += unrolled.crossings;
    if (unrolled.pole) log.count(`Ring around the ${unrolled.pole} pole closed along it`);
    return unrolled.ring;
  });
  const [exterior, ...holes] = rings as [Position[], ...Position[][]];
  return { rings: [exterior, ...holes.map((hole) => alignHole(hole, exterior))], crossings };
}

function orient(rings: Position[][], log: RepairLog): Position[][] {
  return rings.map((ring, i) => {
    const wanted = i === 0 ? 1 : -1;
    if (Math.sign(signedArea(ring)) === wanted) return ring;
    log.count('Ring reversed: exteriors run counter-clockwise, holes clockwise (RFC 7946)');
    return [ring[0]!, ...ring.slice(1).reverse()];
  });
}

/** Square degrees below which vertices lie on one line as far as doubles can tell. */
function isFlat(ring: Position[]): boolean {
  const [west, south, east, north] = boxOf(ring);
  return Math.abs(signedArea(ring)) <= 1e-13 * (east - west + (north - south)) ** 2;
}

function resolveContacts(polygons: Position[][][], path: string): Position[][][] {
  if (contactsOf(polygons.flat(), MAX_CONTACTS) >= MAX_CONTACTS)
    throw invalidInput(path, 'The area crosses or touches itself too often: simplify it');
  try {
    return resolve(polygons);
  } catch {
    throw invalidInput(path, 'The area crosses itself in a way that has no solution: simplify it');
  }
}

function repairPolygon(part: ReadPart, log: RepairLog): Position[][][] {
  const { rings, crossings } = unrollRings(part, log);
  const isSimple = contactsOf(rings, 1) === 0 && holesInPlace(rings);
  const polygons = (isSimple ? [orient(rings, log)] : resolveContacts([rings], part.path)).filter(
    ([exterior]) => !isFlat(exterior!),
  );
  if (polygons.length === 0)
    throw invalidInput(
      part.path,
      `${vertexName(part, 0, 0)}: the polygon has no area, its vertices lie on one line`,
    );
  if (!isSimple) log.count('Ring that crosses or touches itself or another resolved');
  const pieces = polygons.flatMap(splitPolygon);
  const isSplit = pieces.length > polygons.length;
  noteLongitudes(log, { crossings, isSplit, isWrapped: isBeyond(rings[0]!) });
  return pieces;
}

/** Parts of a MultiPolygon may not overlap or share edges. */
function separate(polygons: Position[][][], path: string, log: RepairLog): Position[][][] {
  const nested = () =>
    polygons.some(([ring], i) =>
      polygons.some((other, j) => i !== j && polygonHas(ring![0]!, other)),
    );
  if (contactsOf(polygons.flat(), 1) === 0 && !nested()) return polygons;
  log.count('Overlapping or touching polygons merged');
  return resolveContacts(polygons, path);
}

/**
 * Valid parts within ±180, and what was done for it, in words.
 * InvalidInput naming the vertex: latitude out of range, too few points, no area, larger than the Earth.
 */
export function repair(read: ReadGeometry): { parts: Parts; repairs: string[] } {
  checkRange(read.parts);
  const log = new RepairLog();
  const ofKind = (kind: ReadPart['kind']) => read.parts.filter((part) => part.kind === kind);
  const points = repairPoints(ofKind('point'), log);
  const lines = ofKind('line').flatMap((part) => repairLine(part, log));
  const repaired = ofKind('polygon').flatMap((part) => repairPolygon(part, log));
  const polygons = read.parts.length > 1 ? separate(repaired, read.parts[0]!.path, log) : repaired;
  return { parts: { points, lines, polygons }, repairs: [...read.notes, ...log.toList()] };
}
