/**
 * The mirror in one SQLite file, for one machine: no server, several processes. Calls are synchronous underneath and
 * short; concurrent batches still share a transaction.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { jobStates, type JobHeader, type JobState } from '../../jobs/job.js';
import type { EventBatch } from '../../jobs/event.js';
import type { ChecksumAlgorithm } from '../../jobs/product.js';
import { ServiceError } from '../../jobs/error-codes.js';
import type { Logger } from '../../telemetry/log.js';
import { createGroupCommitter } from '../group-committer.js';
import type { Mirror } from '../mirror.js';
import { buildResult, productEventTypes } from '../result.js';
import { createSqliteStore, type SqliteStore } from './connection.js';
import { listJobs } from './list.js';
import { decodeEvent, decodeJob, decodeSequenced, type EventRow, type JobRow } from './rows.js';
import { createSqliteTail } from './tail.js';
import { applyGroup, storeProgress } from './writes.js';

/** Events in one transaction: it blocks the process for a few milliseconds at most. */
const GROUP_EVENTS = 200;

/** Does not open the file: the first call does, and makes its directory. */
export function createSqliteMirror(settings: { path: string; logger?: Logger }): Mirror {
  const store = createSqliteStore(settings.path);
  const tail = createSqliteTail(store, settings.path, settings.logger);
  const committer = createGroupCommitter<EventBatch>({
    async commit(batches) {
      // Lets what arrives in the same turn join the next group, and others have theirs.
      await turn();
      applyGroup(store, batches);
    },
    weigh: (batch) => 1 + batch.events.length,
    maxWeight: GROUP_EVENTS,
  });
  return {
    backend: 'sqlite',
    async prepare() {
      store.get('SELECT 1 FROM feed');
    },
    async ping() {
      store.transact(() => store.run('UPDATE feed SET seq = seq WHERE id = 1'));
    },
    async close() {
      tail.close();
      store.close();
    },
    apply: (batch) => committer.submit(batch),
    async reportProgress(jobId, progress) {
      storeProgress(store, jobId, progress);
    },
    ...jobReads(store),
    ...feedReads(store),
    follow: (listener, signal) => tail.follow(listener, signal),
  };
}

function jobReads(
  store: SqliteStore,
): Pick<
  Mirror,
  'getJob' | 'getHeader' | 'listJobs' | 'listEvents' | 'getResult' | 'fileOf' | 'countByState'
> {
  const jobRow = (jobId: string) =>
    store.get<JobRow>('SELECT header, snapshot, live FROM jobs WHERE job_id = ?', jobId);
  return {
    async getJob(jobId) {
      const row = jobRow(jobId);
      return row ? decodeJob(row) : null;
    },
    async getHeader(jobId) {
      const row = store.get<JobRow>('SELECT header FROM jobs WHERE job_id = ?', jobId);
      return row ? (JSON.parse(row.header) as JobHeader) : null;
    },
    listJobs: async (query) => listJobs(store, query),
    async listEvents(jobId, after, limit) {
      return store
        .all<EventRow>(
          'SELECT * FROM events WHERE job_id = ? AND number > ? ORDER BY number LIMIT ?',
          jobId,
          after,
          limit,
        )
        .map(decodeEvent);
    },
    async getResult(jobId) {
      const row = jobRow(jobId);
      if (!row) return null;
      const events = store.all<EventRow>(
        `SELECT * FROM events WHERE job_id = ? AND type IN (${productEventTypes.map(() => '?').join(', ')})
         ORDER BY number`,
        jobId,
        ...productEventTypes,
      );
      return buildResult(jobId, decodeJob(row).snapshot, events.map(decodeEvent));
    },
    async fileOf(jobId, path) {
      const artifact = store.get<{ algorithm: ChecksumAlgorithm; value: string; bytes: number }>(
        'SELECT algorithm, value, bytes FROM artifacts WHERE job_id = ? AND path = ?',
        jobId,
        path,
      );
      if (artifact !== undefined) {
        const { algorithm, value, bytes } = artifact;
        return { verified: { checksum: { algorithm, value }, bytes } };
      }
      const manifest = store.get(
        'SELECT 1 FROM jobs WHERE job_id = ? AND manifest = ?',
        jobId,
        path,
      );
      return manifest === undefined ? null : { verified: null };
    },
    async countByState() {
      const counts = Object.fromEntries(jobStates.map((state) => [state, 0]));
      const rows = store.all<{ state: JobState; n: number }>(
        'SELECT state, count(*) AS n FROM jobs GROUP BY state',
      );
      for (const { state, n } of rows) counts[state] = n;
      return counts as Record<JobState, number>;
    },
  };
}

function feedReads(store: SqliteStore): Pick<Mirror, 'head' | 'eventAt' | 'eventsAfter'> {
  return {
    async head() {
      const head = store.get<{ epoch: string; seq: number }>(
        'SELECT epoch, seq FROM feed WHERE id = 1',
      );
      if (!head) throw new ServiceError('StoreUnavailable', 'The mirror is not prepared');
      return { epoch: head.epoch, seq: head.seq };
    },
    async eventAt(seq) {
      const row = store.get<EventRow>('SELECT * FROM events WHERE seq = ?', seq);
      return row ? decodeSequenced(row) : null;
    },
    async eventsAfter(seq, { jobId, limit }) {
      const rows =
        jobId === undefined
          ? store.all<EventRow>(
              'SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?',
              seq,
              limit,
            )
          : store.all<EventRow>(
              'SELECT * FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?',
              jobId,
              seq,
              limit,
            );
      return rows.map(decodeSequenced);
    },
  };
}
