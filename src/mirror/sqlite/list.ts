/** The list of jobs, by values bound as parameters only; `q` is a literal substring of the search text. */
import {
  COUNT_LIMIT,
  cutPage,
  planList,
  searchNeedle,
  toCursor,
  type PlannedList,
} from '../listing.js';
import type { JobFilter, JobListQuery, JobPage } from '../mirror.js';
import type { SqliteStore } from './connection.js';
import { decodeJob, type JobRow } from './rows.js';

interface Sql {
  text: string;
  values: (string | number)[];
}

export function listJobs(store: SqliteStore, query: JobListQuery): JobPage {
  const plan = planList(query);
  if (plan.filter.q !== undefined && searchNeedle(plan.filter.q) === null)
    return { items: [], total: 0, nextCursor: null };
  const page = pageSql(plan);
  const { rows, more } = cutPage(store.all<JobRow>(page.text, ...page.values), plan);
  const last = rows.at(-1);
  return {
    items: rows.map(decodeJob),
    total: countJobs(store, plan.filter),
    nextCursor: more && last ? toCursor(last[plan.key], query.filter, query.sort) : null,
  };
}

/** One page and one row more; also used by the test that reads its query plan. */
export function pageSql(plan: PlannedList): Sql {
  const { key, descending, after } = plan;
  const conditions = equalities(plan.filter);
  if (after !== null)
    conditions.push({ text: `${key} ${descending ? '<' : '>'} ?`, values: [after] });
  return {
    text: `SELECT by_created, by_updated, header, snapshot, live FROM jobs ${where(conditions)}
      ORDER BY ${key} ${descending ? 'DESC' : 'ASC'} LIMIT ? OFFSET ?`,
    values: [...conditions.flatMap(({ values }) => values), plan.pageSize + 1, plan.skip],
  };
}

function countJobs(store: SqliteStore, filter: JobFilter): number {
  const conditions = equalities(filter);
  const counted = store.get<{ n: number }>(
    `SELECT count(*) AS n FROM (SELECT 1 FROM jobs ${where(conditions)} LIMIT ?)`,
    ...conditions.flatMap(({ values }) => values),
    // Unfiltered it is a walk over one index: fast enough without a bound.
    conditions.length === 0 ? -1 : COUNT_LIMIT,
  );
  return counted?.n ?? 0;
}

function equalities({ states, provider, jobType, collection, q }: JobFilter): Sql[] {
  const conditions: Sql[] = [];
  const add = (text: string, ...values: string[]) => conditions.push({ text, values });
  if (states && states.length > 0) add(`state IN (${states.map(() => '?').join(', ')})`, ...states);
  if (provider !== undefined) add('provider = ?', provider);
  if (jobType !== undefined) add('job_type = ?', jobType);
  if (collection !== undefined) add('collection = ?', collection);
  const needle = q === undefined ? null : searchNeedle(q);
  if (needle !== null) add('instr(search, ?) > 0', needle);
  return conditions;
}

const where = (conditions: Sql[]): string =>
  conditions.length === 0 ? '' : `WHERE ${conditions.map(({ text }) => text).join(' AND ')}`;
