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
import type { MongoStore } from './connection.js';
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

/** From the first follower to the last; the next follower begins another one. */
interface Session {
  stream: ChangeStream | null;
  stopped: boolean;
  /** Settles with the first attempt to open. */
  opened: Promise<void>;
}

export function createMongoTail(store: MongoStore, logger: Logger | undefined): MongoTail {
  const hub = createFeedHub(logger);
  let session: Session | null = null;

  function begin(): Session {
    const begun: Session = { stream: null, stopped: false, opened: Promise.resolve() };
    begun.opened = store
      .use(() => open(begun, undefined))
      .then((first) => void readUntilStopped(begun, first));
    return begun;
  }

  /** Live once resolved: the driver makes the cursor with the first read, whose change is handed on. */
  async function open(of: Session, resumeAfter: ResumeToken): Promise<ChangeStreamDocument | null> {
    const stream = store.db.watch(pipeline, {
      fullDocument: 'updateLookup',
      maxAwaitTimeMS: AWAIT_MS,
      ...(resumeAfter === undefined ? {} : { resumeAfter }),
    });
    try {
      const change = await stream.tryNext();
      of.stream = stream;
      return change;
    } catch (error) {
      await stream.close().catch(() => {});
      throw error;
    }
  }

  async function readUntilStopped(of: Session, change: ChangeStreamDocument | null): Promise<void> {
    let first = change;
    while (!of.stopped) {
      const token = await readUntilLost(of, first);
      first = await reopen(of, token);
      if (!of.stopped) hub.emit({ kind: 'gap' });
    }
    await closeStream(of);
  }

  /** @returns where to resume, or undefined where that is impossible */
  async function readUntilLost(
    of: Session,
    first: ChangeStreamDocument | null,
  ): Promise<ResumeToken> {
    const stream = of.stream;
    if (!stream) return undefined;
    try {
      let change = first ?? (await stream.next());
      while (change.operationType !== 'invalidate') {
        dispatch(change);
        change = await stream.next();
      }
      // The database was dropped.
      store.forget();
      return undefined;
    } catch (error) {
      if (!of.stopped) logger?.warn({ err: error }, 'mirror feed interrupted');
      return stream.resumeToken;
    } finally {
      await closeStream(of);
    }
  }

  async function reopen(of: Session, token: ResumeToken): Promise<ChangeStreamDocument | null> {
    let resumeAfter = token;
    let waitMs = RECONNECT_MS.first;
    while (!of.stopped) {
      try {
        return await store.use(() => open(of, resumeAfter));
      } catch (error) {
        if (isLostHistory(error)) resumeAfter = undefined;
        await sleep(waitMs, undefined, { ref: false });
        waitMs = Math.min(waitMs * 2, RECONNECT_MS.most);
      }
    }
    return null;
  }

  function dispatch(change: ChangeStreamDocument): void {
    if (change.operationType === 'insert') {
      hub.emit({ kind: 'event', ...decodeSequenced(change.fullDocument as EventDocument) });
    } else if (change.operationType === 'update' && change.fullDocument) {
      hub.emit({ kind: 'progress', record: decodeJob(change.fullDocument as JobDocument) });
    }
  }

  async function stop(): Promise<void> {
    const stopped = session;
    session = null;
    if (!stopped) return;
    stopped.stopped = true;
    await closeStream(stopped);
  }

  // The driver would resume a short outage in silence; the port promises to announce it.
  store.client.on('serverDescriptionChanged', ({ previousDescription, newDescription }) => {
    if (previousDescription.isWritable && newDescription.type === 'Unknown' && session)
      void closeStream(session);
  });

  return {
    async follow(listener, signal) {
      if (signal.aborted) return;
      const joined = (session ??= begin());
      const leave = hub.add(listener, signal, () => {
        if (hub.size === 0) void stop();
      });
      try {
        await joined.opened;
        if (!joined.stream && !joined.stopped)
          throw new ServiceError('StoreUnavailable', 'The mirror’s feed is reconnecting');
      } catch (error) {
        leave();
        throw error;
      }
    },
    close: stop,
  };
}

async function closeStream(of: Session): Promise<void> {
  const stream = of.stream;
  of.stream = null;
  await stream?.close().catch(() => {});
}

/** The token is too old (286), of another stream (260) or ended by an invalidation (280). */
function isLostHistory(error: unknown): boolean {
  const cause = (error as { cause?: { code?: unknown } }).cause;
  return [286, 280, 260].includes(cause?.code as number);
}
