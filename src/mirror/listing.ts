/**
 * What both adapters share about lists: the checked query, the keys by which jobs are ordered, the searched text, and
 * the cursor. A job's place in a list is one string, "instant|job_id", unique and fixed in width up to the id: a page
 * begins behind the last key of the page before, so its cost does not grow with depth.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ServiceError } from '../jobs/error-codes.js';
import { jobStates, type JobHeader } from '../jobs/job.js';
import type { JobFilter, JobListQuery, JobSort } from './mirror.js';

/** Filtered lists are counted exactly up to here, and never for longer than COUNT_TIME_MS. */
export const COUNT_LIMIT = 100_000;
export const COUNT_TIME_MS = 300;

/** It is part of an index. */
const SEARCHED_CHARACTERS = 4_000;
const SEPARATOR = '\u001f';
const unsearchable = new RegExp(`[\\u0000${SEPARATOR}]`, 'g');

const text = z.string().max(1_000);
const querySchema = z.strictObject({
  filter: z.strictObject({
    states: z.array(z.enum(jobStates)).max(100).optional(),
    provider: text.optional(),
    jobType: text.optional(),
    collection: text.optional(),
    q: text.optional(),
  }),
  sort: z.enum(['created_at', '-created_at', 'updated_at', '-updated_at']),
  pageSize: z.number().int().min(1).max(1_000),
  page: z.number().int().min(1).max(1_000_000_000),
  cursor: z.string().max(1_000).optional(),
});
const cursorSchema = z.strictObject({
  sort: z.string(),
  filter: z.string(),
  after: z.string().max(200),
});

export interface PlannedList {
  filter: JobFilter;
  key: 'by_created' | 'by_updated';
  descending: boolean;
  pageSize: number;
  /** Rows to pass over; 0 with a cursor. */
  skip: number;
  /** Key of the last row of the page before, or null. */
  after: string | null;
}

/** @throws ServiceError BadRequest for a query, filter value or cursor that is not one */
export function planList(query: JobListQuery): PlannedList {
  const parsed = querySchema.safeParse(query);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ServiceError('BadRequest', `${issue?.path.join('.')}: ${issue?.message}`);
  }
  const { sort, cursor, page, pageSize } = parsed.data;
  return {
    filter: parsed.data.filter,
    key: sort.endsWith('created_at') ? 'by_created' : 'by_updated',
    descending: sort.startsWith('-'),
    pageSize,
    skip: cursor === undefined ? (page - 1) * pageSize : 0,
    after: cursor === undefined ? null : fromCursor(cursor, query.filter, sort),
  };
}

export function toCursor(after: string, filter: JobFilter, sort: JobSort): string {
  const cursor = { sort, filter: filterDigest(filter), after };
  return Buffer.from(JSON.stringify(cursor)).toString('base64url');
}

function fromCursor(cursor: string, filter: JobFilter, sort: JobSort): string {
  const parsed = cursorSchema.safeParse(readJson(cursor));
  if (!parsed.success) throw new ServiceError('BadRequest', 'cursor: Not one of our cursors');
  if (parsed.data.sort !== sort || parsed.data.filter !== filterDigest(filter))
    throw new ServiceError('BadRequest', 'cursor: Belongs to another filter or sort');
  return parsed.data.after;
}

function readJson(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return null;
  }
}

function filterDigest(filter: JobFilter): string {
  const { states = [], provider, jobType, collection, q } = filter;
  const canonical = [[...new Set(states)].sort(), provider, jobType, collection, q];
  return createHash('sha256').update(JSON.stringify(canonical)).digest('base64url').slice(0, 12);
}

/** `at` is RFC 3339 in any offset and precision; keys compare as instants, then by id. */
export function orderKey(at: string, jobId: string): string {
  return `${new Date(at).toISOString()}|${jobId}`;
}

/** What `q` looks into, in lower case; no match spans two of its parts. Longer label texts are cut. */
export function searchText(header: JobHeader): string {
  const { collection, product_type: productType, labels } = header.request;
  return [header.job_id, collection, productType ?? '', ...Object.values(labels ?? {})]
    .map((part) => part.toLowerCase().replace(unsearchable, ' '))
    .join(SEPARATOR)
    .slice(0, SEARCHED_CHARACTERS);
}

/** The needle for `searchText`, or null if nothing can contain it. */
export function searchNeedle(q: string): string | null {
  const needle = q.toLowerCase();
  return needle.search(unsearchable) === -1 ? needle : null;
}

/** The page from up to pageSize + 1 rows, the last of which only tells that there is more. */
export function cutPage<Row>(rows: Row[], plan: PlannedList): { rows: Row[]; more: boolean } {
  return { rows: rows.slice(0, plan.pageSize), more: rows.length > plan.pageSize };
}
