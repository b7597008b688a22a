/** Area of interest: parsed, repaired where that is safe, and told apart from what the user sent. */
import type { Geometry } from '../jobs/product.js';

/** [west, south, east, north] in degrees, WGS 84. West > east never occurs: areas are split at the antimeridian. */
export type BboxWgs84 = [west: number, south: number, east: number, north: number];

export interface Aoi {
  /** Closed, oriented (exterior counter-clockwise, RFC 7946), split at ±180. */
  geometry: Geometry;
  bbox: BboxWgs84;
  /** What was changed, in words, in the order in which it was done. Empty = as sent. */
  repairs: string[];
}
