// Areas for property tests, in millionths of a degree, so that writing six decimals loses nothing.
import fc from 'fast-check';
import type { Geometry } from '../../../src/jobs/product.js';

const millionths = (min: number, max: number) =>
  fc.integer({ min: min * 1e6, max: max * 1e6 }).map((value) => value / 1e6);

/** WKT of one to three rectangles that lie apart, some of them across the antimeridian. */
export const rectangles = fc
  .tuple(
    millionths(-180, 180),
    millionths(-80, 60),
    millionths(0.001, 50),
    fc.integer({ min: 1, max: 3 }),
  )
  .map(([west, south, width, count]) => {
    const micro = (value: number) => Math.round(value * 1e6) / 1e6;
    const parts = Array.from({ length: count }, (_, i) => {
      const [low, high] = [micro(south + 8 * i), micro(south + 8 * i + 5)];
      const east = micro(west + width);
      return `((${west} ${low},${east} ${low},${east} ${high},${west} ${high},${west} ${low}))`;
    });
    return `MULTIPOLYGON(${parts.join(',')})`;
  });

/** WKT of a ring through random points on one half of the Earth: mostly self-crossing. */
export const scribbles = fc
  .array(fc.tuple(millionths(90, 260), millionths(-80, 80)), { minLength: 4, maxLength: 12 })
  .map((points) => `POLYGON((${points.map((p) => p.join(' ')).join(',')}))`);

/** A star-shaped simple polygon around a centre. */
export const blobs: fc.Arbitrary<Geometry> = fc
  .tuple(
    millionths(-20, 20),
    millionths(-20, 20),
    fc.array(fc.double({ min: 0.5, max: 12, noNaN: true }), { minLength: 3, maxLength: 15 }),
  )
  .map(([lon, lat, radii]) => {
    const ring = radii.map((radius, i) => {
      const angle = (2 * Math.PI * i) / radii.length;
      return [lon + radius * Math.cos(angle), lat + radius * Math.sin(angle)];
    });
    return { type: 'Polygon', coordinates: [[...ring, ring[0]!]] };
  });
