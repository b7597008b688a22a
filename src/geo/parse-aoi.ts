/** The one way from what a user sends to an area that Nimbus works with. */
import type { AoiInput } from '../jobs/request.js';
import type { Aoi } from './aoi.js';
import { readGeoJson } from './geojson.js';
import { tileGeometry } from './mgrs-tiles.js';
import { bboxOf, fromParts } from './parts.js';
import { invalidInput, type ReadGeometry } from './read-geometry.js';
import { repair } from './repair.js';
import { readWkt } from './wkt.js';

function fromRead(read: ReadGeometry): Aoi {
  const { parts, repairs } = repair(read);
  const geometry = fromParts(parts);
  return { geometry, bbox: bboxOf(geometry), repairs };
}

function fromTile(tile: string): Aoi {
  const geometry = tileGeometry(tile);
  if (!geometry) throw invalidInput('aoi.tile', `There is no MGRS tile ${tile}`);
  return { geometry, bbox: bboxOf(geometry), repairs: [] };
}

/**
 * The area in degrees, WGS 84, longitude first, valid and split at ±180; null for `{global: true}`, no spatial filter.
 * Pure and deterministic. InvalidInput with `errors` at `aoi.wkt`, `aoi.geojson…` or `aoi.tile` for what has no safe reading.
 */
export function parseAoi(input: AoiInput): Aoi | null {
  if ('global' in input) return null;
  if ('tile' in input) return fromTile(input.tile);
  return fromRead('wkt' in input ? readWkt(input.wkt) : readGeoJson(input.geojson));
}
