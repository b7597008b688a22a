/** What a user may ask for. The schema is the documentation: OpenAPI and the form of the UI are made from it. */
import { z } from 'zod';
import { patternFault } from './asset-patterns.js';

const day = /^\d{4}-\d{2}-\d{2}$/;
const instant = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;

/** Milliseconds since the epoch of a day (its first or last instant) or of an RFC 3339 instant; null if it is neither. */
export function toInstantMs(value: string, edge: 'start' | 'end'): number | null {
  if (day.test(value)) {
    const ms = Date.parse(`${value}T00:00:00.000Z`);
    if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== value) return null;
    return edge === 'start' ? ms : ms + 86_400_000 - 1;
  }
  if (!instant.test(value)) return null;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? null : ms;
}

const dateText = z
  .string()
  .max(40)
  .refine(
    (value) => toInstantMs(value, 'start') !== null,
    'Not a day (2025-01-31) or an instant with a zone (2025-01-31T10:00:00Z)',
  )
  .refine((value) => {
    const ms = toInstantMs(value, 'start');
    return ms === null || (ms >= Date.UTC(1970, 0, 1) && ms < Date.UTC(2100, 0, 1));
  }, 'Outside 1970 to 2099');

export const aoiSchema = z
  .union(
    [
      z.strictObject({ wkt: z.string().min(1).max(1_000_000) }),
      z.strictObject({ geojson: z.looseObject({ type: z.string() }) }),
      z.strictObject({
        tile: z
          .string()
          .regex(/^T?\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2}$/i, 'Not an MGRS tile such as 29SPC'),
      }),
      z.strictObject({ global: z.literal(true) }),
    ],
    'Give one of wkt, geojson, tile, global',
  )
  .describe(
    'The area: WKT or GeoJSON in WGS 84, longitude first; an MGRS tile; or {"global": true} for no spatial filter',
  );
export type AoiInput = z.infer<typeof aoiSchema>;

const labelText = z.string().max(200);
const pattern = z
  .string()
  .max(200)
  .superRefine((value, context) => {
    const fault = patternFault(value);
    if (fault !== null) context.addIssue({ code: 'custom', message: fault });
  });

const searchDownloadFields = z.strictObject({
  job_type: z
    .literal('search_download', 'There is no such job type, only: search_download')
    .default('search_download'),
  provider: z.string().min(1).max(40).describe('copernicus'),
  collection: z
    .string()
    .min(1)
    .max(80)
    .regex(/^[A-Za-z0-9._-]+$/, 'Letters, digits, dot, dash and underscore only'),
  product_type: z
    .string()
    .min(1)
    .max(80)
    .regex(/^[A-Za-z0-9._-]+$/, 'Letters, digits, dot, dash and underscore only')
    .optional(),
  start_date: dateText.optional().describe('A UTC day, included, or an instant'),
  end_date: dateText.optional().describe('A UTC day, included, or an instant'),
  aoi: aoiSchema.optional(),
  products: z
    .array(z.string().min(1).max(250))
    .min(1)
    .max(1000)
    .optional()
    .describe('Exactly these, by id or name, instead of aoi and dates'),
  cloud_cover_max: z.number().min(0).max(100).optional(),
  max_products: z.number().int().min(1).max(1_000_000).optional(),
  max_bytes: z.number().int().min(1).optional(),
  order: z.enum(['newest', 'oldest', 'cloud', 'size']).default('newest'),
  assets: z
    .strictObject({
      include: z.array(pattern).max(100).default([]),
      exclude: z.array(pattern).max(100).default([]),
    })
    .optional()
    .describe(
      'Only these files of each product. A pattern without a slash is compared with a file’s name, one with a slash with its path inside the product: * any run, ? one character, [2-4] one of a set, ** any folders; case counts. Without include: all but those excluded',
    ),
  on_error: z.enum(['continue', 'stop']).default('continue'),
  if_exists: z.enum(['verify', 'skip', 'replace', 'fail']).default('verify'),
  priority: z.enum(['interactive', 'normal', 'bulk']).default('normal'),
  labels: z
    .record(
      z
        .string()
        .min(1)
        .max(64)
        .regex(/^[A-Za-z0-9_.-]+$/, 'Letters, digits, dot, dash and underscore only'),
      labelText,
    )
    .optional(),
});

/** A search_download request, parsed and with its defaults filled in. */
export const searchDownloadRequestSchema = searchDownloadFields
  .superRefine((request, context) => {
    const issue = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (request.products) {
      for (const field of ['aoi', 'start_date', 'end_date'] as const)
        if (request[field] !== undefined)
          issue(field, `Not together with products: give either products or aoi and dates`);
      return;
    }
    for (const field of ['aoi', 'start_date', 'end_date'] as const)
      if (request[field] === undefined) issue(field, 'Required (or name the products)');
    if (request.start_date === undefined || request.end_date === undefined) return;
    const start = toInstantMs(request.start_date, 'start');
    const end = toInstantMs(request.end_date, 'end');
    if (start !== null && end !== null && end < start)
      issue('end_date', `Before start_date ${request.start_date}`);
  })
  .meta({ anyOf: [{ required: ['products'] }, { required: ['aoi', 'start_date', 'end_date'] }] });
export type SearchDownloadRequest = z.infer<typeof searchDownloadRequestSchema>;
/** As sent by a client, before defaults. */
export type SearchDownloadInput = z.input<typeof searchDownloadRequestSchema>;

/** A registry of job types: a further one is one more member of the union. */
export const jobRequestSchema = searchDownloadRequestSchema;
export type JobRequest = z.infer<typeof jobRequestSchema>;

/** The searched time as a half-open interval [start, end) in milliseconds. A day's end is the next midnight. */
export function requestWindow(request: {
  start_date?: string | undefined;
  end_date?: string | undefined;
}): { startMs: number; endMs: number } | null {
  if (request.start_date === undefined || request.end_date === undefined) return null;
  const start = toInstantMs(request.start_date, 'start');
  const end = toInstantMs(request.end_date, 'end');
  return start === null || end === null ? null : { startMs: start, endMs: end + 1 };
}
