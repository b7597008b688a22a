/**
 * The 100 km squares of the Military Grid Reference System: names to UTM and back, and which squares exist.
 * Northings are signed from the equator. A square on a band's border is called by the band of its centre, as Sentinel-2's
 * tiles are; reading takes either name.
 * @see NGA.STND.0037, for the zones around Norway and Svalbard and the letters
 */
import mgrs from 'mgrs';
import proj4 from 'proj4';
import { intersects } from './intersects.js';
import { fromParts } from './parts.js';
import { boxOf, type Position } from './planar.js';

export const SQUARE_METRES = 100_000;
export const ZONES = Array.from({ length: 60 }, (_, i) => i + 1);

const BANDS = 'CDEFGHJKLMNPQRSTUVWX';
const COLUMN_LETTERS = ['STUVWXYZ', 'ABCDEFGH', 'JKLMNPQR'];
const ROW_LETTERS = 'ABCDEFGHJKLMNPQRSTUV';
const EASTINGS = [1, 2, 3, 4, 5, 6, 7, 8];
const NAME = /^T?(\d{1,2})([C-HJ-NP-X])([A-HJ-NP-Z][A-HJ-NP-V])$/;

export interface Square {
  zone: number;
  band: string;
  /** Easting and northing of the lower left corner, in 100 km. */
  column: number;
  row: number;
}

const converters = new Map<number, proj4.Converter>();

/** Definitions are parsed once for each zone. */
function converter(zone: number): proj4.Converter {
  const known = converters.get(zone) ?? proj4(`+proj=utm +zone=${zone} +datum=WGS84 +units=m`);
  converters.set(zone, known);
  return known;
}

/** Easting and signed northing in metres. */
export function toUtm(zone: number, [lon, lat]: Position): [easting: number, northing: number] {
  return converter(zone).forward<[number, number]>([lon, lat]);
}

/** Longitude and latitude; longitudes may jump at ±180. */
export function fromUtm(zone: number, easting: number, northing: number): Position {
  return converter(zone).inverse<Position>([easting, northing]);
}

/** Latitudes of a band; X reaches 84. */
function bandLatitudes(band: string): [south: number, north: number] {
  const south = -80 + 8 * BANDS.indexOf(band);
  return [south, band === 'X' ? 84 : south + 8];
}

function bandOf(latitude: number): string {
  const index = Math.floor((latitude + 80) / 8);
  return BANDS[Math.max(0, Math.min(BANDS.length - 1, index))]!;
}

const WIDE_ZONES: Record<string, [west: number, east: number] | null> = {
  '31V': [0, 3],
  '32V': [3, 12],
  '31X': [0, 9],
  '32X': null,
  '33X': [9, 21],
  '34X': null,
  '35X': [21, 33],
  '36X': null,
  '37X': [33, 42],
};

/** Longitudes of a zone in a band; null for the zones that Svalbard's wide ones replace. */
function zoneLongitudes(zone: number, band: string): [west: number, east: number] | null {
  const special = WIDE_ZONES[`${zone}${band}`];
  return special === undefined ? [zone * 6 - 186, zone * 6 - 180] : special;
}

/** `29SPC`, `01CCV`: the zone with two digits, as in product names. */
export function squareId({ zone, band, column, row }: Square): string {
  const columnLetter = COLUMN_LETTERS[zone % 3]![column - 1]!;
  const offset = zone % 2 === 0 ? 5 : 0;
  const rowLetter = ROW_LETTERS[(((row + offset) % 20) + 20) % 20]!;
  return `${String(zone).padStart(2, '0')}${band}${columnLetter}${rowLetter}`;
}

/** Open ring, counter-clockwise, `steps` points a side, continuous in longitude around its zone. */
export function utmRectangle(
  zone: number,
  [west, south, east, north]: [west: number, south: number, east: number, north: number],
  steps: number,
): Position[] {
  const corners: Position[] = [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
  ];
  const middle = zone * 6 - 183;
  return corners.flatMap(([x, y], side) => {
    const [nextX, nextY] = corners[(side + 1) % 4]!;
    return Array.from({ length: steps }, (_, i): Position => {
      const part = i / steps;
      const [lon, lat] = fromUtm(zone, x + (nextX - x) * part, y + (nextY - y) * part);
      return [lon - 360 * Math.round((lon - middle) / 360), lat];
    });
  });
}

/** Does any of the square lie in its zone and band? */
function exists({ zone, band, column, row }: Square): boolean {
  const longitudes = zoneLongitudes(zone, band);
  if (!longitudes || !EASTINGS.includes(column)) return false;
  const [west, east] = longitudes;
  const [south, north] = bandLatitudes(band);
  const [x, y] = [column * SQUARE_METRES, row * SQUARE_METRES];
  // A metre less on each side: squares that only touch do not count.
  const ring = utmRectangle(zone, [x + 1, y + 1, x + SQUARE_METRES - 1, y + SQUARE_METRES - 1], 4);
  const cell: Position[] = [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
  ];
  const [ringWest, , ringEast] = boxOf(ring);
  if (ringEast < west || ringWest > east) return false;
  const polygon = (outline: Position[]) =>
    fromParts({ points: [], lines: [], polygons: [[outline]] });
  return intersects(polygon(ring), polygon(cell));
}

/** The square of a name (`29SPC`, `T29SPC`, `7HFE`, any case); null if there is none. */
export function parseSquare(name: string): Square | null {
  const match = NAME.exec(name.toUpperCase().slice(0, 20));
  if (!match) return null;
  const [, zoneText, band, letters] = match as unknown as [string, string, string, string];
  const zone = Number(zoneText);
  if (zone < 1 || zone > 60 || !COLUMN_LETTERS[zone % 3]!.includes(letters[0]!)) return null;
  const [west, south] = mgrs.inverse(`${zone}${band}${letters}`);
  const [easting, northing] = toUtm(zone, [west, south]);
  const [column, row] = [easting, northing].map((metres) => Math.round(metres / SQUARE_METRES));
  const square: Square = { zone, band, column: column!, row: row! };
  return exists(square) ? square : null;
}

/** The squares of a zone from row to row, both included, each under one name; south to north, west to east. */
export function* squaresOf(
  zone: number,
  fromRow: number,
  toRow: number,
  wanted: (id: string) => boolean = () => true,
): Generator<Square> {
  for (let row = fromRow; row <= toRow; row++)
    for (const column of EASTINGS) {
      const [, latitude] = fromUtm(
        zone,
        (column + 0.5) * SQUARE_METRES,
        (row + 0.5) * SQUARE_METRES,
      );
      const square: Square = { zone, band: bandOf(latitude), column, row };
      if (wanted(squareId(square)) && exists(square)) yield square;
    }
}

/** Rows of a zone whose squares may reach into these latitudes, with one to spare. */
export function rowsBetween(south: number, north: number): [fromRow: number, toRow: number] {
  const row = (latitude: number) => {
    const clamped = Math.max(-80, Math.min(84, latitude));
    // Parallels bend towards the pole away from the middle of a zone.
    return [0, 6].map((offset) => Math.floor(toUtm(31, [3 + offset, clamped])[1] / SQUARE_METRES));
  };
  const rows = [...row(south), ...row(north)];
  return [Math.min(...rows) - 1, Math.max(...rows) + 1];
}
