/**
 * The mirror in MongoDB (a replica set; one node is enough). Reads are single queries on asserted indexes with a time
 * limit; writes are grouped (apply.ts); the feed is one change stream (tail.ts).
 */
import type { Logger } from '../../telemetry/log.js';
import { ServiceError } from '../../jobs/error-codes.js';
import { jobStates, type JobHeader, type JobState } from '../../jobs/job.js';
import { createGroupCommitter } from '../group-committer.js';
import type { Mirror } from '../mirror.js';
import { buildResult, productEventTypes } from '../result.js';
import { applyGroup, isDropped } from './apply.js';
import { createMongoStore, READ_TIME_MS, type MongoStore } from './connection.js';
import {
  decodeEvent,
  decodeJob,
  decodeSequenced,
  encodeBatch,
  liveKey,
  type EncodedBatch,
} from './documents.js';
import { listJobs } from './list.js';
import { createMongoTail } from './tail.js';

/** Documents in one transaction. */
const GROUP_DOCUMENTS = 1_000;
const limited = { maxTimeMS: READ_TIME_MS };
const idOnly = { ...limited, projection: { _id: 1 as const } };

export interface MongoMirrorSettings {
  uri: string;
  database: string;
  logger?: Logger;
}

/** Does not connect: the first call does. */
export function createMongoMirror(settings: MongoMirrorSettings): Mirror {
  const store = createMongoStore(settings);
  const tail = createMongoTail(store, settings.logger);
  const committer = createGroupCommitter<EncodedBatch>({
    commit: (batches) => commit(store, batches),
    weigh: (batch) => 1 + batch.events.length + batch.artifacts.length,
    maxWeight: GROUP_DOCUMENTS,
  });
  return {
    backend: 'mongodb',
    prepare: () => store.prepare(),
    ping: () => ping(store),
    async close() {
      await tail.close();
      await store.client.close();
    },
    apply: async (batch) => committer.submit(encodeBatch(batch)),
    ...progressAndJobs(store),
    ...storyReads(store),
    ...feedReads(store),
    follow: (listener, signal) => tail.follow(listener, signal),
  };
}

/** A mirror that was dropped under us is made anew, then written to. */
async function commit(store: MongoStore, batches: EncodedBatch[]): Promise<void> {
  try {
    await store.use(() => applyGroup(store, batches));
  } catch (error) {
    if (!isDropped(error)) throw error;
    store.forget();
    await store.use(() => applyGroup(store, batches));
  }
}

/** A read and a majority write, on the collection of the health checks. */
async function ping(store: MongoStore): Promise<void> {
  await store.use(async () => {
    await store.counters.findOne({ _id: 'feed' }, limited);
    await store.counters.updateOne(
      { _id: 'ping' },
      { $set: { at: new Date() } },
      { upsert: true, writeConcern: { w: 'majority', wtimeoutMS: READ_TIME_MS } },
    );
  });
}

function progressAndJobs(
  store: MongoStore,
): Pick<
  Mirror,
  'reportProgress' | 'getJob' | 'getHeader' | 'listJobs' | 'countByState' | 'fileOf'
> {
  return {
    async reportProgress(jobId, progress) {
      const field = `live.${liveKey(progress.product_id)}`;
      const at = new Date(progress.at);
      const isNewer = [{ [field]: { $exists: false } }, { [`${field}.at`]: { $lte: at } }];
      await store.use(() =>
        store.jobs.updateOne(
          { _id: jobId, ended: false, $or: isNewer },
          { $set: { [field]: { at, value: progress } }, $inc: { reports: 1 } },
          { writeConcern: { w: 1 } },
        ),
      );
    },
    async getJob(jobId) {
      const found = await store.use(() => store.jobs.findOne({ _id: { $eq: jobId } }, limited));
      return found && decodeJob(found);
    },
    async getHeader(jobId) {
      const found = await store.use(() =>
        store.jobs.findOne({ _id: { $eq: jobId } }, { ...limited, projection: { header: 1 } }),
      );
      return found && (JSON.parse(found.header) as JobHeader);
    },
    listJobs: (query) => store.use(() => listJobs(store, query)),
    async countByState() {
      const counts = await store.use(() =>
        Promise.all(
          jobStates.map(async (state) => {
            const command = { count: 'jobs', query: { state }, ...limited };
            return [state, (await store.db.command(command))['n'] as number] as const;
          }),
        ),
      );
      return Object.fromEntries(counts) as Record<JobState, number>;
    },
    async fileOf(jobId, path) {
      const [artifact, manifest] = await store.use(() =>
        Promise.all([
          store.artifacts.findOne({ job_id: { $eq: jobId }, path: { $eq: path } }, limited),
          store.jobs.findOne({ _id: { $eq: jobId }, manifest: { $eq: path } }, idOnly),
        ]),
      );
      if (artifact !== null)
        return { verified: { checksum: artifact.checksum, bytes: artifact.bytes } };
      return manifest === null ? null : { verified: null };
    },
  };
}

function storyReads(store: MongoStore): Pick<Mirror, 'listEvents' | 'getResult'> {
  return {
    async listEvents(jobId, after, limit) {
      const found = await store.use(() =>
        store.events
          .find({ job_id: { $eq: jobId }, number: { $gt: after } }, limited)
          .sort({ job_id: 1, number: 1 })
          .limit(limit)
          .toArray(),
      );
      return found.map(decodeEvent);
    },
    async getResult(jobId) {
      return store.use(async () => {
        const job = await store.jobs.findOne({ _id: { $eq: jobId } }, limited);
        if (!job) return null;
        const events = await store.events
          .find({ job_id: { $eq: jobId }, type: { $in: [...productEventTypes] } }, limited)
          .sort({ job_id: 1, number: 1 })
          .toArray();
        return buildResult(jobId, decodeJob(job).snapshot, events.map(decodeEvent));
      });
    },
  };
}

function feedReads(store: MongoStore): Pick<Mirror, 'head' | 'eventAt' | 'eventsAfter'> {
  const readHead = () =>
    store.use(async () => {
      const feed = await store.counters.findOne({ _id: 'feed' }, limited);
      return feed?.epoch === undefined ? null : { epoch: feed.epoch, seq: feed.seq ?? 0 };
    });
  return {
    async head() {
      const head = await readHead();
      if (head) return head;
      await store.prepare();
      const made = await readHead();
      if (!made) throw new ServiceError('StoreUnavailable', 'The mirror is being dropped');
      return made;
    },
    async eventAt(seq) {
      const found = await store.use(() => store.events.findOne({ _id: seq }, limited));
      return found && decodeSequenced(found);
    },
    async eventsAfter(seq, { jobId, limit }) {
      const ofJob = jobId === undefined ? {} : { job_id: { $eq: jobId } };
      const found = await store.use(() =>
        store.events
          .find({ ...ofJob, _id: { $gt: seq } }, limited)
          .sort(jobId === undefined ? { _id: 1 } : { job_id: 1, _id: 1 })
          .limit(limit)
          .toArray(),
      );
      return found.map(decodeSequenced);
    },
  };
}
