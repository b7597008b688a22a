/**
 * The list of jobs. Filters are exact comparisons with checked text, in one of the indexes' orders; `q` is a literal
 * substring of the lower-cased search text, tested on an escaped pattern. Every query has a time limit.
 */
import { MongoServerError, type Filter } from 'mongodb';
import {
  COUNT_LIMIT,
  COUNT_TIME_MS,
  cutPage,
  planList,
  searchNeedle,
  toCursor,
  type PlannedList,
} from '../listing.js';
import type { JobFilter, JobListQuery, JobPage } from '../mirror.js';
import { READ_TIME_MS, type MongoStore } from './connection.js';
import { decodeJob, type JobDocument } from './documents.js';

/** The database's own count may be off by the last minute after a crash: unseen in many, wrong in few. */
const TRUSTED_ESTIMATE = 10_000;

export async function listJobs(store: MongoStore, query: JobListQuery): Promise<JobPage> {
  const plan = planList(query);
  if (plan.filter.q !== undefined && searchNeedle(plan.filter.q) === null)
    return { items: [], total: 0, nextCursor: null };
  const [found, counted] = await Promise.all([
    findJobs(store, plan).toArray(),
    countJobs(store, plan.filter),
  ]);
  const { rows, more } = cutPage(found, plan);
  const last = rows.at(-1);
  return {
    items: rows.map(decodeJob),
    // A count that ran out of time is at least what this page proves.
    total: counted ?? plan.skip + found.length,
    nextCursor: more && last ? toCursor(last[plan.key], query.filter, query.sort) : null,
  };
}

/** One page and one more; also used by the test that reads its query plan. */
export function findJobs(store: MongoStore, plan: PlannedList) {
  const { key, descending, after } = plan;
  const filter: Filter<JobDocument> = equalities(plan.filter);
  // Every key is behind the empty one; saying so lets `q` be tested on the index.
  filter[key] = after !== null && descending ? { $lt: after } : { $gt: after ?? '' };
  return store.jobs
    .find(filter, {
      projection: { header: 1, snapshot: 1, live: 1, by_created: 1, by_updated: 1 },
      maxTimeMS: READ_TIME_MS,
    })
    .sort({ [key]: descending ? -1 : 1 })
    .skip(plan.skip)
    .limit(plan.pageSize + 1);
}

function equalities({ states, provider, jobType, collection, q }: JobFilter): Filter<JobDocument> {
  const filter: Filter<JobDocument> = {};
  if (states && states.length > 0) filter.state = { $in: states };
  if (provider !== undefined) filter.provider = { $eq: provider };
  if (jobType !== undefined) filter.job_type = { $eq: jobType };
  if (collection !== undefined) filter.collection = { $eq: collection };
  const needle = q === undefined ? null : searchNeedle(q);
  if (needle !== null) filter.search = { $regex: needle.replace(/[^\p{L}\p{N}]/gu, escaped) };
  return filter;
}

/** Inside a class nothing but these four has a meaning, and they are escaped there. */
const escaped = (character: string): string =>
  /[\\^\]-]/.test(character) ? `\\${character}` : `[${character}]`;

/** Null if counting took too long. */
async function countJobs(store: MongoStore, filter: JobFilter): Promise<number | null> {
  const query = equalities(filter);
  const limits = { limit: COUNT_LIMIT, maxTimeMS: COUNT_TIME_MS };
  try {
    if (Object.keys(query).length === 0) {
      const estimate = await store.jobs.estimatedDocumentCount({ maxTimeMS: COUNT_TIME_MS });
      if (estimate > TRUSTED_ESTIMATE) return estimate;
    }
    // The count command can walk an index alone; countDocuments would fetch.
    const onIndex = 'search' in query ? { by_created: { $gt: '' } } : {};
    const counted = { ...query, ...onIndex };
    const { n } = await store.db.command({ count: 'jobs', query: counted, ...limits });
    return n as number;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === 50) return null;
    throw error;
  }
}
