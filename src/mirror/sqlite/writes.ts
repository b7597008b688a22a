/** Writing: one transaction for a group of batches, one for a progress report. */
import type { EventBatch, JobEvent } from '../../jobs/event.js';
import { hasEnded, type JobHeader, type JobSnapshot, type LiveProgress } from '../../jobs/job.js';
import { orderKey, searchText } from '../listing.js';
import { artifactsOf } from '../result.js';
import type { SqliteStore } from './connection.js';
import { decodeLive, type JobRow } from './rows.js';

/** All or nothing; a repeat changes nothing. */
export function applyGroup(store: SqliteStore, batches: EventBatch[]): void {
  store.transact(() => {
    for (const { header, snapshot, events } of batches) {
      for (const event of events) insertEvent(store, event);
      replaceIfNewer(store, header, snapshot);
    }
  });
}

/** The position is taken only by an event that is new, inside the one writer's transaction: seq has no holes. */
function insertEvent(store: SqliteStore, event: JobEvent): void {
  const { changes } = store.run(
    `INSERT OR IGNORE INTO events (seq, job_id, number, type, at, data)
     VALUES ((SELECT seq + 1 FROM feed WHERE id = 1), ?, ?, ?, ?, ?)`,
    event.job_id,
    event.number,
    event.type,
    event.at,
    JSON.stringify(event.data),
  );
  if (changes === 0) return;
  store.run('UPDATE feed SET seq = seq + 1 WHERE id = 1');
  for (const { path, bytes, checksum } of artifactsOf(event))
    store.run(
      'INSERT OR REPLACE INTO artifacts (job_id, path, algorithm, value, bytes) VALUES (?, ?, ?, ?, ?)',
      event.job_id,
      path,
      checksum.algorithm,
      checksum.value,
      bytes,
    );
}

function replaceIfNewer(store: SqliteStore, header: JobHeader, snapshot: JobSnapshot): void {
  const jobId = header.job_id;
  const stored = store.get<JobRow>('SELECT version, live FROM jobs WHERE job_id = ?', jobId);
  if (stored && stored.version >= snapshot.version) return;
  const ended = hasEnded(snapshot.state);
  const kept = (stored && !ended ? decodeLive(stored.live) : []).filter((entry) =>
    snapshot.in_flight.includes(entry.product_id),
  );
  store.run(
    `INSERT INTO jobs (job_id, version, state, ended, provider, job_type, collection, search,
       by_created, by_updated, manifest, header, snapshot, live, report)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
     ON CONFLICT (job_id) DO UPDATE SET version = excluded.version, state = excluded.state,
       ended = excluded.ended, by_updated = excluded.by_updated, manifest = excluded.manifest,
       snapshot = excluded.snapshot, live = excluded.live`,
    jobId,
    snapshot.version,
    snapshot.state,
    ended ? 1 : 0,
    header.request.provider,
    header.job_type,
    header.request.collection,
    searchText(header),
    orderKey(header.created_at, jobId),
    orderKey(snapshot.updated_at, jobId),
    snapshot.manifest,
    JSON.stringify(header),
    JSON.stringify(snapshot),
    JSON.stringify(kept),
  );
}

export function storeProgress(store: SqliteStore, jobId: string, progress: LiveProgress): void {
  store.transact(() => {
    const stored = store.get<JobRow>('SELECT ended, live FROM jobs WHERE job_id = ?', jobId);
    if (!stored || stored.ended) return;
    const live = decodeLive(stored.live);
    const same = live.find((entry) => entry.product_id === progress.product_id);
    if (same && Date.parse(same.at) > Date.parse(progress.at)) return;
    const others = live.filter((entry) => entry !== same);
    store.run('UPDATE feed SET reports = reports + 1 WHERE id = 1');
    store.run(
      'UPDATE jobs SET live = ?, report = (SELECT reports FROM feed WHERE id = 1) WHERE job_id = ?',
      JSON.stringify([...others, progress]),
      jobId,
    );
  });
}
