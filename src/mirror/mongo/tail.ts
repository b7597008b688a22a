/**
 * One change stream for however many listeners. It opens with the first, closes after the last, and outlives the
 * database: when the connection to the primary is lost it comes back where it was (resume token), or from now on
 * where that is too long ago, and says `gap` either way.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangeStream, ChangeStreamDocument, ResumeToken } from 'mongodb';
import { ServiceError } from '../../jobs/error-codes.js';
import type { Logger } from '../../telemetry/log.js';
import { createFeedHub, type FeedListener } from '../feed-hub.js';
import { toServiceError, type MongoStore } from './connection.js';
import { decodeJob, decodeSequenced, type EventDocument, type JobDocument } from './documents.js';

const RECONNECT_MS = { first: 100, most: 1_000 };
/** How long an idle getMore waits at the server; changes are answered at once. */
const AWAIT_MS = 200;

const pipeline = [
  {
    $match: {
      $or: [
        { operationType: 'insert', 'ns.coll': 'events' },
        {
          operationType: 'update',
          'ns.coll': 'jobs',
          'updateDescription.updatedFields.reports': { $exists: true },
        },
        { operationType: 'invalidate' },
      ],
    },
  },
];

export interface MongoTail {
  follow(listener: FeedListener, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function createMongoTail(store: MongoStore, logger: Logger | undefined): MongoTail {
  const hub = createFeedHub(logger);
  let stream: ChangeStream | null = null;
  let opening: Promise<void> | null = null;
  let closed = false;

  async function open(resumeAfter: ResumeToken): Promise<ChangeStream> {
    const opened = store.db.watch(pipeline, {
      fullDocument: 'updateLookup',
      maxAwaitTimeMS: AWAIT_MS,
      ...(resumeAfter === undefined ? {} : { resumeAfter }),
    });
    try {
      // The cursor is only made by the first read.
      const change = await opened.tryNext();
      stream = opened;
      if (change) dispatch(change);
      return opened;
    } catch (error) {
      await opened.close().catch(() => {});
      throw error;
    }
  }

  /** @returns false if the stream can not be resumed from its token */
  function dispatch(change: ChangeStreamDocument): boolean {
    if (change.operationType === 'invalidate') return false;
    if (change.operationType === 'insert') {
      hub.emit({ kind: 'event', ...decodeSequenced(change.fullDocument as EventDocument) });
    } else if (change.operationType === 'update' && change.fullDocument) {
      hub.emit({ kind: 'progress', record: decodeJob(change.fullDocument as JobDocument) });
    }
    return true;
  }

  /** Reads until the stream ends, whatever the reason. */
  async function readOn(current: ChangeStream): Promise<ResumeToken> {
    try {
      while (dispatch(await current.next()));
      store.forget();
      return undefined;
    } catch (error) {
      if (wanted()) logger?.warn({ err: error }, 'mirror feed interrupted');
      return current.resumeToken;
    } finally {
      if (stream === current) stream = null;
      await current.close().catch(() => {});
    }
  }

  const wanted = () => hub.size > 0 && !closed;

  async function run(first: ChangeStream): Promise<void> {
    let current: ChangeStream | null = first;
    while (current && wanted()) {
      const token = await readOn(current);
      current = await reopen(token);
      if (current) hub.emit({ kind: 'gap' });
    }
    if (current) await current.close().catch(() => {});
    stream = null;
    opening = null;
  }

  async function reopen(token: ResumeToken): Promise<ChangeStream | null> {
    let resumeAfter = token;
    let waitMs = RECONNECT_MS.first;
    while (wanted()) {
      try {
        return await store.use(() => open(resumeAfter));
      } catch (error) {
        if (isLostHistory(error)) resumeAfter = undefined;
        await sleep(waitMs, undefined, { ref: false });
        waitMs = Math.min(waitMs * 2, RECONNECT_MS.most);
      }
    }
    return null;
  }

  async function start(): Promise<void> {
    try {
      const first = await store.use(() => open(undefined));
      void run(first);
    } catch (error) {
      opening = null;
      throw toServiceError(error);
    }
  }

  // The driver would resume a short outage in silence; the port promises to announce it.
  store.client.on('serverDescriptionChanged', ({ previousDescription, newDescription }) => {
    const wasPrimary = previousDescription.isWritable;
    if (wasPrimary && newDescription.type === 'Unknown') void stream?.close().catch(() => {});
  });

  return {
    async follow(listener, signal) {
      if (signal.aborted) return;
      const leave = hub.add(listener, signal, () => {
        if (hub.size === 0) void stream?.close().catch(() => {});
      });
      try {
        await (opening ??= start());
        if (!stream)
          throw new ServiceError('StoreUnavailable', 'The mirror’s feed is reconnecting');
      } catch (error) {
        leave();
        throw error;
      }
    },
    async close() {
      closed = true;
      await stream?.close().catch(() => {});
    },
  };
}

/** The token is too old (286), of another stream (260) or ended by an invalidation (280). */
function isLostHistory(error: unknown): boolean {
  const cause = (error as { cause?: { code?: unknown } }).cause;
  return [286, 280, 260].includes(cause?.code as number);
}
