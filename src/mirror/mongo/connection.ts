/**
 * The connection and its preparation. Nothing connects before the first call; every call is bounded in time; whatever
 * the database does not do becomes StoreUnavailable, after which the next call prepares again (the database may have
 * come back empty).
 */
import { randomUUID } from 'node:crypto';
import {
  MongoClient,
  MongoError,
  MongoServerError,
  type Collection,
  type Db,
  type IndexDescription,
} from 'mongodb';
import { ServiceError } from '../../jobs/error-codes.js';
import type { ArtifactDocument, CounterDocument, EventDocument, JobDocument } from './documents.js';

/** What the server may spend on one read. */
export const READ_TIME_MS = 2_000;
const SERVER_SELECTION_MS = 2_000;
const SOCKET_TIMEOUT_MS = 6_000;

export interface MongoStore {
  client: MongoClient;
  db: Db;
  jobs: Collection<JobDocument>;
  events: Collection<EventDocument>;
  artifacts: Collection<ArtifactDocument>;
  counters: Collection<CounterDocument>;
  /** Prepares if that has not happened since the last trouble, then does the work; translates errors. */
  use<T>(work: () => Promise<T>): Promise<T>;
  prepare(): Promise<void>;
  /** The database was dropped or is in doubt. */
  forget(): void;
}

const filters = ['state', 'provider', 'job_type', 'collection'];
const orders = ['by_created', 'by_updated'];

/**
 * One index for each sort, alone and behind each filter. Alone it also carries the searched text: `q` is then tested on
 * the index, and only what matches is fetched.
 */
export const jobIndexes: IndexDescription[] = orders
  .flatMap((order) => [[order, 'search'], ...filters.map((filter) => [filter, order])])
  .map((fields) => ({
    name: fields.join('_'),
    key: Object.fromEntries(fields.map((field) => [field, 1 as const])),
  }));
const eventIndexes: IndexDescription[] = [
  { name: 'once', key: { job_id: 1, number: 1 }, unique: true },
  { name: 'job_feed', key: { job_id: 1, _id: 1 } },
];
const artifactIndexes: IndexDescription[] = [
  { name: 'owner', key: { job_id: 1, path: 1 }, unique: true },
];

export function createMongoStore(settings: { uri: string; database: string }): MongoStore {
  const client = new MongoClient(settings.uri, {
    appName: 'nimbus',
    serverSelectionTimeoutMS: SERVER_SELECTION_MS,
    connectTimeoutMS: SERVER_SELECTION_MS,
    socketTimeoutMS: SOCKET_TIMEOUT_MS,
    heartbeatFrequencyMS: 1_000,
    maxPoolSize: 20,
    ignoreUndefined: true,
  });
  const db = client.db(settings.database);
  let prepared: Promise<void> | null = null;

  const store: MongoStore = {
    client,
    db,
    jobs: db.collection('jobs'),
    events: db.collection('events'),
    artifacts: db.collection('artifacts'),
    counters: db.collection('counters'),
    async use(work) {
      try {
        await (prepared ??= createMissing(store));
        return await work();
      } catch (error) {
        const translated = toServiceError(error);
        if (translated !== error) prepared = null;
        throw translated;
      }
    },
    async prepare() {
      prepared = null;
      await store.use(async () => {});
    },
    forget() {
      prepared = null;
    },
  };
  return store;
}

/** Collections, indexes (an index of that name with other keys is an error) and the epoch. */
async function createMissing(store: MongoStore): Promise<void> {
  // Said out loud, for a client whose first connection failed would stay closed. Harmless on a connected one.
  await store.client.connect();
  await store.jobs.createIndexes(jobIndexes);
  await store.events.createIndexes(eventIndexes);
  await store.artifacts.createIndexes(artifactIndexes);
  const fresh = { epoch: randomUUID(), seq: 0 };
  try {
    await store.counters.updateOne({ _id: 'feed' }, { $setOnInsert: fresh }, { upsert: true });
  } catch (error) {
    // Another process was first.
    if (!isDuplicateKey(error)) throw error;
  }
}

export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === 11000;
}

/** Only the driver's errors are the database's; anything else is a bug of ours and passes as it is. */
export function toServiceError(error: unknown): unknown {
  if (!(error instanceof MongoError)) return error;
  return new ServiceError('StoreUnavailable', reason(error), { cause: error });
}

function serverCode(error: MongoError): number | string | undefined {
  // The driver wraps code 20 into an error without one.
  const original = (error as { originalError?: unknown }).originalError ?? error;
  return original instanceof MongoServerError ? original.code : undefined;
}

function reason(error: MongoError): string {
  const code = serverCode(error);
  if (code === 50) return 'MongoDB took too long to answer';
  if (code === 20 || code === 40573)
    return 'MongoDB does not run as a replica set (one node is enough): start mongod with --replSet';
  if (code === 13 || code === 18) return 'MongoDB refuses the credentials';
  return `MongoDB is unavailable: ${error.name}${code === undefined ? '' : ` (code ${code})`}`;
}
