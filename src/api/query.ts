/** Query strings: strict. A parameter that is unknown, repeated where it may not be, nested or malformed is an error. */
import { z } from 'zod';
import { parseOr } from './invalid.js';

/** name → value, or values where the name is repeated. Without a prototype, so that no name is special. */
export function toQueryRecord(url: string): Record<string, string | string[]> {
  const record = Object.create(null) as Record<string, string | string[]>;
  const start = url.indexOf('?');
  if (start < 0) return record;
  for (const [name, value] of new URLSearchParams(url.slice(start + 1))) {
    const present = record[name];
    if (present === undefined) record[name] = value;
    else if (Array.isArray(present)) present.push(value);
    else record[name] = [present, value];
  }
  return record;
}

/** An empty value of a known parameter is as good as none: `?state=&q=` filters nothing. */
export function parseQuery<S extends z.ZodObject>(schema: S, url: string): z.output<S> {
  const record = toQueryRecord(url);
  for (const name of Object.keys(schema.shape)) if (record[name] === '') delete record[name];
  return parseOr(schema, record, 'BadRequest', 'Query');
}

/** A whole number in plain decimal digits. */
export const wholeNumber = (min: number, max: number) =>
  z
    .string('Give it once')
    .regex(/^\d{1,15}$/, 'Not a whole number')
    .transform(Number)
    .pipe(z.number().int().min(min).max(max));

/** One or several of a closed set. */
export const oneOrMore = <const T extends readonly [string, ...string[]]>(values: T) => {
  const one = z.enum(values);
  return z
    .union([one, z.array(one).min(1).max(values.length)], `Not one of: ${values.join(', ')}`)
    .transform((given) => (Array.isArray(given) ? given : [given]))
    .pipe(z.array(one));
};

export const shortText = (max: number) =>
  z.string('Give it once').min(1, 'Empty').max(max, `Longer than ${max} characters`);

const degrees = String.raw`-?\d{1,3}(?:\.\d{1,15})?`;

/** Four numbers; whether they are a box is for the grid to say. */
export const bbox = z
  .string('Give it once')
  .max(100, 'Longer than 100 characters')
  .regex(new RegExp(`^${degrees}(?:,${degrees}){3}$`), 'Not west,south,east,north in degrees')
  .transform((text) => text.split(',').map(Number))
  .pipe(z.tuple([z.number(), z.number(), z.number(), z.number()]))
  .describe('west,south,east,north in degrees; west > east crosses the antimeridian');
