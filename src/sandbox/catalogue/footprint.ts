/**
 * Footprints: MGRS tiles and radar slices as rings of [longitude, latitude], split at ±180.
 * Rings are closed. Inside this file a ring may run past ±180; what it returns never does.
 */
import proj4 from 'proj4';

export type Position = [longitude: number, latitude: number];
/** Outer ring only: no product here has holes. */
export type Polygon = Position[];

/** 8-letter cycle of column letters for zones 1, 2, 3 and the 20-letter cycle of rows. */
const columnLetters = ['ABCDEFGH', 'JKLMNPQR', 'STUVWXYZ'];
const rowLetters = 'ABCDEFGHJKLMNPQRSTUV';
const bandLetters = 'CDEFGHJKLMNPQRSTUVWX';

export interface TileGrid {
  zone: number;
  /** UTM metres of the 100 km square's lower left corner. */
  easting: number;
  northing: number;
  south: boolean;
}

/** `29SPT` → its 100 km square in UTM. @see NGA.SIG.0012 (MGRS) */
export function tileGrid(tile: string): TileGrid {
  const zone = Number(tile.slice(0, 2));
  const band = bandLetters.indexOf(tile[2]!);
  const easting = (columnLetters[(zone - 1) % 3]!.indexOf(tile[3]!) + 1) * 100_000;
  const south = band < 10;
  const row = (rowLetters.indexOf(tile[4]!) - (zone % 2 === 0 ? 5 : 0) + 20) % 20;
  // The row letter repeats every 2,000 km; the band's middle latitude tells which one is meant.
  const middle = -80 + band * 8 + 4;
  const [, wanted] = toUtm(zone, south, [zone * 6 - 183, middle]);
  const cycle = Math.round((wanted - row * 100_000) / 2_000_000);
  return { zone, easting, northing: row * 100_000 + cycle * 2_000_000, south };
}

/** The middle of a tile's 109.8 km square. */
export function tileCentre(tile: string): Position {
  const grid = tileGrid(tile);
  return fromUtm(grid, [grid.easting + 54_900, grid.northing + 45_100]);
}

/**
 * A Sentinel-2 tile's footprint: 109.8 km wide and high, beginning at the upper left corner of its 100 km square.
 * @param cut corner that the swath does not reach (0…3), or null for a full tile
 */
export function tileFootprint(tile: string, cut: number | null): Polygon[] {
  const grid = tileGrid(tile);
  const [west, east] = [grid.easting, grid.easting + 109_800];
  const [south, north] = [grid.northing - 9_800, grid.northing + 100_000];
  const corners: [number, number][] = [
    [west, north],
    [west, south],
    [east, south],
    [east, north],
  ];
  const ring = corners.flatMap((corner, at): [number, number][] => {
    if (at !== cut) return [corner];
    const before = corners[(at + 3) % 4]!;
    const after = corners[(at + 1) % 4]!;
    return [between(corner, before, 0.35), between(corner, after, 0.15)];
  });
  return splitAtAntimeridian(ring.map((point) => fromUtm(grid, point)));
}

/** A slice of a radar swath: 250 km wide, leaning like an orbit of 98° inclination. */
export function sliceFootprint(
  centre: Position,
  heightDegrees: number,
  ascending: boolean,
): Polygon[] {
  const [lon, lat] = centre;
  const half = heightDegrees / 2;
  const wide = Math.min(60, 1.13 / Math.cos((lat * Math.PI) / 180));
  const lean = (ascending ? -0.22 : 0.22) * heightDegrees;
  return splitAtAntimeridian([
    [round(lon - wide - lean), round(lat - half)],
    [round(lon + wide - lean), round(lat - half + (ascending ? 0.4 : -0.4))],
    [round(lon + wide + lean), round(lat + half + (ascending ? 0.4 : -0.4))],
    [round(lon - wide + lean), round(lat + half)],
  ]);
}

/** Makes a ring whole across ±180, closes it, and cuts it there into polygons that stay inside. */
export function splitAtAntimeridian(open: Position[]): Polygon[] {
  const first = open[0]![0];
  const ring = open.map(([lon, lat]): Position => {
    const turns = Math.round((lon - first) / 360);
    return [lon - turns * 360, lat];
  });
  const longitudes = ring.map(([lon]) => lon);
  const [least, most] = [Math.min(...longitudes), Math.max(...longitudes)];
  if (least >= -180 && most <= 180) return [close(ring)];
  const edge = most > 180 ? 180 : -180;
  const inner = clip(ring, edge, most > 180);
  const outer = clip(ring, edge, most <= 180).map(([lon, lat]): Position => [
    lon + (most > 180 ? -360 : 360),
    lat,
  ]);
  return [inner, outer].filter((part) => part.length > 2).map(close);
}

/** Sutherland–Hodgman against one meridian; `west` keeps what lies west of it. */
function clip(ring: Position[], meridian: number, west: boolean): Position[] {
  const inside = ([lon]: Position): boolean => (west ? lon <= meridian : lon >= meridian);
  return ring.flatMap((point, at): Position[] => {
    const next = ring[(at + 1) % ring.length]!;
    const kept: Position[] = inside(point) ? [point] : [];
    if (inside(point) === inside(next)) return kept;
    const share = (meridian - point[0]) / (next[0] - point[0]);
    return [...kept, [meridian, round(point[1] + share * (next[1] - point[1]))]];
  });
}

function close(ring: Position[]): Polygon {
  return [...ring, ring[0]!];
}

function between(from: [number, number], to: [number, number], share: number): [number, number] {
  return [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])];
}

function utm(zone: number, south: boolean): string {
  return `+proj=utm +zone=${zone}${south ? ' +south' : ''} +datum=WGS84 +units=m`;
}

function toUtm(zone: number, south: boolean, position: Position): [number, number] {
  return proj4(utm(zone, south), position);
}

function fromUtm(grid: TileGrid, point: [number, number]): Position {
  const [lon, lat] = proj4(utm(grid.zone, grid.south)).inverse(point);
  return [round(lon), round(lat)];
}

function round(degrees: number): number {
  return Math.round(degrees * 1e9) / 1e9;
}
