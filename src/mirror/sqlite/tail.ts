/**
 * The feed of a SQLite mirror. Other processes write the same file, so the tail looks at the one row that holds the last
 * positions and reads on from its own: soon after the system says that the file was written, and every POLL_MS in case it
 * does not say so. One timer and one watcher for however many listeners.
 */
import { watch, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';
import { ServiceError } from '../../jobs/error-codes.js';
import type { Logger } from '../../telemetry/log.js';
import { createFeedHub, type FeedListener } from '../feed-hub.js';
import type { SqliteStore } from './connection.js';
import { decodeJob, decodeSequenced, type EventRow, type JobRow } from './rows.js';

const POLL_MS = 100;
/** A write is heard of a moment before it can be read, and several that follow each other are one. */
const SETTLE_MS = 5;
const READ_LIMIT = 500;

interface Position {
  epoch: string;
  seq: number;
  /** Number of the last progress report. */
  reports: number;
}

export interface SqliteTail {
  follow(listener: FeedListener, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** @param path of the file */
export function createSqliteTail(
  store: SqliteStore,
  path: string,
  logger: Logger | undefined,
): SqliteTail {
  const hub = createFeedHub(logger);
  let timer: NodeJS.Timeout | null = null;
  let written: NodeJS.Timeout | null = null;
  let watcher: FSWatcher | null = null;
  let position: Position | null = null;
  let interrupted = false;

  function poll(): void {
    try {
      const head = readPosition(store);
      const other = position !== null && position.epoch !== head.epoch;
      // Another file in the same place, or one that could not be read for a while.
      if (other || interrupted) hub.emit({ kind: 'gap' });
      // Its folder may be another one, too.
      if (other) watchFile();
      interrupted = false;
      if (position && !other) {
        emitEvents(position.seq, head.seq);
        emitProgress(position.reports, head.reports);
      }
      position = head;
    } catch (error) {
      if (!interrupted) logger?.warn({ err: error }, 'mirror feed interrupted');
      interrupted = true;
    }
  }

  function emitEvents(after: number, upTo: number): void {
    let last = after;
    while (last < upTo) {
      const rows = store.all<EventRow>(
        'SELECT * FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?',
        last,
        upTo,
        READ_LIMIT,
      );
      for (const row of rows) hub.emit({ kind: 'event', ...decodeSequenced(row) });
      last = rows.at(-1)?.seq ?? upTo;
    }
  }

  function emitProgress(after: number, upTo: number): void {
    if (after === upTo) return;
    const rows = store.all<JobRow>(
      'SELECT * FROM jobs WHERE report > ? AND report <= ? ORDER BY report',
      after,
      upTo,
    );
    for (const row of rows) hub.emit({ kind: 'progress', record: decodeJob(row) });
  }

  /** The file, and its log beside it: whatever begins with its name. Not all systems and disks can. */
  function watchFile(): void {
    watcher?.close();
    watcher = null;
    try {
      watcher = watch(dirname(path), { persistent: false }, (_, name) => {
        if (name?.startsWith(basename(path)))
          written ??= setTimeout(pollWritten, SETTLE_MS).unref();
      });
      watcher.on('error', () => watcher?.close());
    } catch (error) {
      logger?.debug({ err: error }, 'the mirror is looked at by the clock alone');
    }
  }

  function pollWritten(): void {
    written = null;
    poll();
  }

  function stop(): void {
    if (timer) clearInterval(timer);
    if (written) clearTimeout(written);
    watcher?.close();
    timer = written = watcher = position = null;
  }

  return {
    async follow(listener, signal) {
      if (signal.aborted) return;
      if (!timer) {
        position = readPosition(store);
        timer = setInterval(poll, POLL_MS).unref();
        watchFile();
      }
      hub.add(listener, signal, () => {
        if (hub.size === 0) stop();
      });
    },
    close: stop,
  };
}

function readPosition(store: SqliteStore): Position {
  const position = store.get<Position>('SELECT epoch, seq, reports FROM feed WHERE id = 1');
  if (!position) throw new ServiceError('StoreUnavailable', 'The mirror is not prepared');
  return position;
}
