/**
 * Writing batches: one transaction for a whole group. Its first write raises the counter, whose document every other
 * transaction wants too, so transactions follow one another: the order of seq is the order in which readers can see
 * the events, and an aborted transaction leaves no hole. Repeats are found by their unique key and dropped.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoError, type ClientSession, type MongoServerError } from 'mongodb';
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import { isDuplicateKey, type MongoStore } from './connection.js';
import { newerJobUpdate, type EncodedBatch } from './documents.js';

const DEADLINE_MS = 5_000;
const BACKOFF_MS = { first: 2, most: 50 };

const DROPPED = 'The mirror was dropped and is not yet made anew';

export function isDropped(error: unknown): boolean {
  return isServiceError(error) && error.message === DROPPED;
}

type NewEvent = EncodedBatch['events'][number];

/** Stores a group, all or nothing; a repeat changes nothing. Retries what the database says may be retried. */
export async function applyGroup(store: MongoStore, batches: EncodedBatch[]): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  const events = distinct(
    batches.flatMap((batch) => batch.events),
    (event) => `${event.number} ${event.job_id}`,
  );
  let mayRepeat = false;
  let backoffMs = BACKOFF_MS.first;
  for (;;) {
    try {
      const fresh = mayRepeat ? await withoutStored(store, events) : events;
      return await transact(store, batches, fresh, deadline);
    } catch (error) {
      const duplicate = isDuplicateKey(error);
      if (!(duplicate || isTransient(error)) || performance.now() > deadline) throw error;
      mayRepeat ||= duplicate;
      await sleep(backoffMs * (0.5 + Math.random()));
      backoffMs = Math.min(backoffMs * 2, BACKOFF_MS.most);
    }
  }
}

async function transact(
  store: MongoStore,
  batches: EncodedBatch[],
  events: NewEvent[],
  deadline: number,
): Promise<void> {
  const session = store.client.startSession();
  try {
    session.startTransaction({
      readConcern: { level: 'snapshot' },
      writeConcern: { w: 'majority', wtimeoutMS: DEADLINE_MS },
    });
    await write(store, session, batches, events);
    await commit(session, deadline);
  } finally {
    await session.endSession();
  }
}

async function write(
  store: MongoStore,
  session: ClientSession,
  batches: EncodedBatch[],
  events: NewEvent[],
): Promise<void> {
  const counter = await store.counters.findOneAndUpdate(
    { _id: 'feed' },
    { $inc: { seq: events.length } },
    { session, returnDocument: 'after' },
  );
  if (counter?.seq === undefined) throw new ServiceError('StoreUnavailable', DROPPED);
  const first = counter.seq - events.length + 1;
  if (events.length > 0)
    await store.events.insertMany(
      events.map((event, index) => ({ _id: first + index, ...event })),
      { session },
    );
  const artifacts = distinct(
    batches.flatMap((batch) => batch.artifacts),
    ({ job_id, path }) => `${job_id} ${path}`,
  );
  if (artifacts.length > 0)
    await store.artifacts.bulkWrite(
      artifacts.map(({ job_id, path, checksum, bytes }) => ({
        updateOne: {
          filter: { job_id, path },
          update: { $set: { checksum, bytes } },
          upsert: true,
        },
      })),
      { session, ordered: false },
    );
  await store.jobs.bulkWrite(
    newestOfEach(batches).map((batch) => ({
      updateOne: {
        filter: { _id: batch.job._id },
        update: newerJobUpdate(batch),
        upsert: true,
      },
    })),
    { session, ordered: false },
  );
}

/** A commit whose answer was lost is asked for again: it happens once. */
async function commit(session: ClientSession, deadline: number): Promise<void> {
  for (;;) {
    try {
      return await session.commitTransaction();
    } catch (error) {
      const unknown =
        error instanceof MongoError && error.hasErrorLabel('UnknownTransactionCommitResult');
      if (!unknown || performance.now() > deadline) throw error;
      await sleep(BACKOFF_MS.most);
    }
  }
}

/** Read with majority: what could still be rolled back does not count as stored. */
async function withoutStored(store: MongoStore, events: NewEvent[]): Promise<NewEvent[]> {
  const stored = await store.events
    .find(
      { $or: events.map(({ job_id, number }) => ({ job_id, number })) },
      { projection: { _id: 0, job_id: 1, number: 1 }, readConcern: 'majority' },
    )
    .toArray();
  const known = new Set(stored.map(({ job_id, number }) => `${number} ${job_id}`));
  return events.filter(({ job_id, number }) => !known.has(`${number} ${job_id}`));
}

function isTransient(error: unknown): boolean {
  if (!(error instanceof MongoError)) return false;
  const writeConflict = (error as MongoServerError).code === 112;
  // Out of reach is for the caller to judge: trying on would only add to its wait.
  const unreachable = error.name === 'MongoServerSelectionError';
  return !unreachable && (writeConflict || error.hasErrorLabel('TransientTransactionError'));
}

function newestOfEach(batches: EncodedBatch[]): EncodedBatch[] {
  const newest = new Map<string, EncodedBatch>();
  for (const batch of batches) {
    const other = newest.get(batch.job._id);
    if (!other || batch.job.version > other.job.version) newest.set(batch.job._id, batch);
  }
  return [...newest.values()];
}

function distinct<T>(items: T[], keyOf: (item: T) => string): T[] {
  const byKey = new Map<string, T>();
  for (const item of items) if (!byKey.has(keyOf(item))) byKey.set(keyOf(item), item);
  return [...byKey.values()];
}
