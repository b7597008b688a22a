/** Tables and indexes, as in MongoDB: one index for each order, alone and behind each filter. Harmless to repeat. */

const filters = ['', 'state, ', 'provider, ', 'job_type, ', 'collection, '];
const jobIndexes = ['by_created', 'by_updated'].flatMap((order) =>
  filters.map((filter) => {
    const name = `jobs_${filter.replace(', ', '_')}${order}`;
    return `CREATE UNIQUE INDEX IF NOT EXISTS ${name} ON jobs (${filter}${order});`;
  }),
);

export const schema = `
CREATE TABLE IF NOT EXISTS jobs (
  job_id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  ended INTEGER NOT NULL,
  provider TEXT NOT NULL,
  job_type TEXT NOT NULL,
  collection TEXT NOT NULL,
  search TEXT NOT NULL,
  by_created TEXT NOT NULL,
  by_updated TEXT NOT NULL,
  manifest TEXT,
  header TEXT NOT NULL,
  snapshot TEXT NOT NULL,
  live TEXT NOT NULL,
  report INTEGER NOT NULL
) WITHOUT ROWID;
${jobIndexes.join('\n')}
CREATE INDEX IF NOT EXISTS jobs_report ON jobs (report);
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY,
  job_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  type TEXT NOT NULL,
  at TEXT NOT NULL,
  data TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS events_once ON events (job_id, number);
CREATE INDEX IF NOT EXISTS events_feed ON events (job_id, seq);
CREATE TABLE IF NOT EXISTS artifacts (
  job_id TEXT NOT NULL,
  path TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  value TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (job_id, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feed (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch TEXT NOT NULL,
  seq INTEGER NOT NULL,
  reports INTEGER NOT NULL
);
`;
