/**
 * The catalogue's documents, as far as Nimbus reads them. Strict where a wrong value would lose a product (ids, names, sensing time,
 * the list itself, footprints); tolerant where the recorded answers vary (lengths, checksums, attributes, dates of 2023). Unknown
 * fields are ignored.
 */
import { z } from 'zod';
import { geometrySchema } from '../../jobs/product.js';

const LONGEST_NAME = 400;

/** Versions 1, 4 and 5 occur: the version is not checked. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Milliseconds since the epoch, the microseconds cut off; NaN if unreadable. A time without a zone is UTC, which is not what
 * Date.parse takes it for.
 */
export function instantMs(text: string): number {
  return Date.parse(/(Z|[+-]\d{2}:?\d{2})$/.test(text) ? text : `${text}Z`);
}

const instant = z.string().refine((text) => !Number.isNaN(instantMs(text)), 'not a time');

/** A missing or unreadable hint is no hint. */
const hint = <S extends z.ZodType>(schema: S) => schema.nullable().catch(null).default(null);

const checksum = z.object({
  Value: z.string(),
  Algorithm: z.string(),
  ChecksumDate: z.string().catch('').default(''),
});

const attribute = z.object({
  Name: z.string(),
  Value: z.union([z.string(), z.number(), z.boolean(), z.null()]),
});

const asset = z.object({ Type: z.string(), DownloadLink: z.url({ protocol: /^https?$/ }) });

/** A list whose unreadable entries (`{}`, a new kind) are left out. */
const readable = <S extends z.ZodType>(entry: S) =>
  z
    .array(z.unknown())
    .catch([])
    .default([])
    .transform((entries) =>
      entries.flatMap((value) => {
        const parsed = entry.safeParse(value);
        return parsed.success ? [parsed.data] : [];
      }),
    );

export const odataProductSchema = z.object({
  Id: z.string().regex(UUID, 'not a UUID'),
  Name: z.string().min(1).max(LONGEST_NAME),
  ContentLength: hint(z.coerce.number()),
  PublicationDate: hint(instant),
  ContentDate: z.object({ Start: instant }).nullable().default(null),
  /** What is really there shows at the download; a catalogue that does not say is asked there. */
  Online: z.boolean().catch(true).default(true),
  S3Path: hint(z.string()),
  Checksum: readable(checksum),
  Attributes: readable(attribute),
  Assets: readable(asset),
  GeoFootprint: geometrySchema.nullable().default(null),
});
export type OdataProduct = z.infer<typeof odataProductSchema>;

export const odataPageSchema = z.object({
  value: z.array(odataProductSchema),
  '@odata.nextLink': z.string().min(1).nullish(),
  /** A hint: wrong, negative and missing counts occur. */
  '@odata.count': hint(z.number().int().nonnegative()),
});
export type OdataPage = z.infer<typeof odataPageSchema>;

/** One folder of a product's files. */
export const nodesSchema = z.object({
  result: z.array(
    z.object({
      Name: z.string().min(1).max(LONGEST_NAME),
      ContentLength: hint(z.coerce.number()),
      ChildrenNumber: hint(z.coerce.number()),
    }),
  ),
});
export type OdataNode = z.infer<typeof nodesSchema>['result'][number];

/** A token travels in a header: anything but printable ASCII would break out of it. */
const token = z.string().regex(/^[\x21-\x7e]{1,16384}$/, 'not a token');

export const tokenAnswerSchema = z.object({
  access_token: token,
  expires_in: z.number().positive(),
  refresh_token: token.nullish(),
  /** 0 or missing: it does not say. */
  refresh_expires_in: z.number().nullish(),
});
export type TokenAnswer = z.infer<typeof tokenAnswerSchema>;
