/**
 * Sentinel-2's tiles: each 100 km square of MGRS, 109.8 km wide and high from its upper left corner, which lies on a
 * 60 m raster counted from the equator. Lists are made as they are asked for; the world's is never built.
 */
import type { Geometry } from '../jobs/product.js';
import { splitPolygon } from './antimeridian.js';
import { intersects } from './intersects.js';
import {
  parseSquare,
  rowsBetween,
  squareId,
  SQUARE_METRES,
  squaresOf,
  utmRectangle,
  ZONES,
  type Square,
} from './mgrs-grid.js';
import { bboxOf, fromParts } from './parts.js';
import { boxesTouch, type Box, type Position } from './planar.js';
import { invalidInput } from './read-geometry.js';

const TILE_METRES = 109_800;
const RASTER_METRES = 60;
const STEPS_PER_SIDE = 4;
const EARTH_RADIUS_KM = 6_371;

export interface TileFeature {
  type: 'Feature';
  id: string;
  properties: { id: string; grid: 'mgrs' };
  geometry: Geometry;
  /** [west, south, east, north]; west > east where the tile crosses the antimeridian (RFC 7946 §5.2). */
  bbox: [west: number, south: number, east: number, north: number];
}

export interface TileCollection {
  type: 'FeatureCollection';
  features: TileFeature[];
}

function tileOutline({ zone, column, row }: Square): Position[] {
  const snap = (metres: number, round: (value: number) => number) =>
    round(metres / RASTER_METRES) * RASTER_METRES;
  const west = snap(column * SQUARE_METRES, Math.floor);
  const north = snap((row + 1) * SQUARE_METRES, Math.ceil);
  const outline = utmRectangle(
    zone,
    [west, north - TILE_METRES, west + TILE_METRES, north],
    STEPS_PER_SIDE,
  );
  return outline.map(([lon, lat]) => [round7(lon), round7(lat)]);
}

/** 1e-7 degrees are a centimetre. */
function round7(degrees: number): number {
  return Math.round(degrees * 1e7) / 1e7;
}

function squareGeometry(square: Square): Geometry {
  return fromParts({ points: [], lines: [], polygons: splitPolygon([tileOutline(square)]) });
}

function toFeature(square: Square): TileFeature {
  const id = squareId(square);
  const geometry = squareGeometry(square);
  const [west, south, east, north] = bboxOf(geometry);
  const longitudes = tileOutline(square).map(([lon]) => lon);
  const bbox: TileFeature['bbox'] =
    geometry.type === 'MultiPolygon'
      ? [wrap(Math.min(...longitudes)), south, wrap(Math.max(...longitudes)), north]
      : [west, south, east, north];
  return { type: 'Feature', id, properties: { id, grid: 'mgrs' }, geometry, bbox };
}

function wrap(longitude: number): number {
  return round7(longitude - 360 * Math.floor((longitude + 180) / 360));
}

/** The polygon (split at ±180) of a tile such as `29SPC`, `T29SPC` or `7HFE`; null if there is no such tile. */
export function tileGeometry(tile: string): Geometry | null {
  const square = parseSquare(tile);
  return square && squareGeometry(square);
}

function checkBox([west, south, east, north]: Box): void {
  const fail = (message: string) => {
    throw invalidInput('bbox', `The box ${message}`);
  };
  if (![west, south, east, north].every((value) => Number.isFinite(value)))
    fail('must be four numbers: west,south,east,north');
  if (Math.abs(west) > 180 || Math.abs(east) > 180) fail('has a longitude outside -180 to 180');
  if (Math.abs(south) > 90 || Math.abs(north) > 90) fail('has a latitude outside -90 to 90');
  if (south > north) fail(`has its south ${south} above its north ${north}`);
}

/** Hardly fewer tiles than this overlap the box: no need to count them to refuse it. */
function fewestTiles([west, south, east, north]: Box): number {
  const sine = (latitude: number) =>
    Math.sin((Math.max(-80, Math.min(84, latitude)) * Math.PI) / 180);
  const width = ((east - west + (west > east ? 360 : 0)) * Math.PI) / 180;
  return (EARTH_RADIUS_KM ** 2 * width * (sine(north) - sine(south))) / 10_000 / 1.01;
}

function boxGeometry([west, south, east, north]: Box): Geometry {
  const spans =
    west > east ? [[west, 180] as const, [-180, east] as const] : [[west, east] as const];
  const polygons = spans.map(([from, to]): Position[][] => [
    [
      [from, south],
      [to, south],
      [to, north],
      [from, north],
    ],
  ]);
  return fromParts({ points: [], lines: [], polygons });
}

/** Zones whose tiles may reach into the box: a square may hang over its zone's edge, and zones differ around Svalbard. */
function zonesNear([west, south, east, north]: Box): number[] {
  const latitude = Math.min(84, Math.max(Math.abs(south), Math.abs(north)) + 1);
  const reach = 3 + 2 / Math.cos((latitude * Math.PI) / 180);
  const unrolledEast = west > east ? east + 360 : east;
  return ZONES.filter((zone) => {
    const middle = zone * 6 - 183;
    return [-360, 0, 360].some((turn) =>
      boxesTouch(
        [middle + turn - 3 - reach, -90, middle + turn + 3 + reach, 90],
        [west, south, unrolledEast, north],
      ),
    );
  });
}

/**
 * All tiles that share a point with the box (degrees; west > east crosses the antimeridian).
 * InvalidInput at `bbox` for a box that is none, or that holds more than `limit` tiles.
 */
export function tilesInBbox(bbox: Box, limit: number): TileCollection {
  checkBox(bbox);
  const tooLarge = () =>
    invalidInput('bbox', `The box holds more than ${limit} tiles: ask for a smaller one`);
  if (fewestTiles(bbox) > limit) throw tooLarge();
  const area = boxGeometry(bbox);
  const [fromRow, toRow] = rowsBetween(bbox[1], bbox[3]);
  const features: TileFeature[] = [];
  for (const zone of zonesNear(bbox))
    for (const square of squaresOf(zone, fromRow, toRow)) {
      const feature = toFeature(square);
      if (!intersects(feature.geometry, area)) continue;
      if (features.length === limit) throw tooLarge();
      features.push(feature);
    }
  return { type: 'FeatureCollection', features };
}

/**
 * The first `limit` tiles whose name starts so (`29S`, `T07H`, `7H`, any case), zone by zone from south to north.
 * What no name starts with finds nothing.
 */
export function searchTiles(query: string, limit: number): TileCollection {
  const prefix = query.trim().toUpperCase().slice(0, 20).replace(/^T/, '');
  const matches = (id: string) => id.startsWith(prefix) || id.replace(/^0/, '').startsWith(prefix);
  const features: TileFeature[] = [];
  const [fromRow, toRow] = rowsBetween(-90, 90);
  for (const zone of ZONES) {
    const digits = prefix.match(/^\d*/)![0];
    if (!matches(String(zone).padStart(2, '0') + prefix.slice(digits.length))) continue;
    for (const square of squaresOf(zone, fromRow, toRow, matches)) {
      if (features.length === limit) return { type: 'FeatureCollection', features };
      features.push(toFeature(square));
    }
  }
  return { type: 'FeatureCollection', features };
}
