/** What a provider's catalogue lists, and what is stored of it. */
import { z } from 'zod';
import { checksumAlgorithms, verificationLevels } from './checksum.js';

export { checksumAlgorithms, verificationLevels } from './checksum.js';
export type { Checksum, ChecksumAlgorithm, VerificationLevel } from './checksum.js';

export const checksumSchema = z.object({
  algorithm: z.enum(checksumAlgorithms),
  value: z.string().describe('Lower-case hexadecimal'),
});

export const geometrySchema = z.object({
  type: z.enum(['Point', 'MultiPoint', 'LineString', 'MultiLineString', 'Polygon', 'MultiPolygon']),
  coordinates: z.array(z.unknown()),
});
/** GeoJSON geometry, WGS 84, longitude first. */
export type Geometry = z.infer<typeof geometrySchema>;

export const productSchema = z.object({
  provider: z.string(),
  id: z.string().describe("The provider's own identifier"),
  name: z.string(),
  collection: z.string(),
  product_type: z.string().nullable(),
  acquired_at: z.string().nullable(),
  published_at: z.string().nullable(),
  bytes: z
    .number()
    .int()
    .positive()
    .nullable()
    .describe('As announced; null = unknown. A hint, never proof'),
  checksums: z.array(checksumSchema),
  online: z.boolean(),
  cloud_cover: z.number().nullable(),
  footprint: geometrySchema.nullable(),
  quicklook: z.string().nullable(),
  attributes: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  /** Where this record came from: the query as sent, and the digest of the answer that listed it. */
  lineage: z.object({ query: z.string(), answer_sha256: z.string() }),
});
export type Product = z.infer<typeof productSchema>;

/** How products lie in the store: a search page, a chunk of a plan. */
export const productListSchema = z.object({ products: z.array(productSchema) });

/** A stored, verified file. `path` is relative to the data directory, with forward slashes. */
export const artifactSchema = z.object({
  path: z.string(),
  bytes: z.number().int().nonnegative(),
  checksum: checksumSchema.extend({ level: z.enum(verificationLevels) }),
  /** Every digest that was computed, the one in `checksum` included. */
  digests: z.array(checksumSchema),
  media_type: z.string(),
});
export type Artifact = z.infer<typeof artifactSchema>;
