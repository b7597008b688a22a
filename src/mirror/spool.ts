/**
 * A mirror whose writes do not wait for the database: what it does not take within APPLY_MS is kept durably on disk and
 * handed over, job by job in order of version, once it is back (also after a restart). A batch whose job has others in
 * the spool goes behind them. Progress reports are dropped while the database is down. Reads pass through.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import type { EventBatch } from '../jobs/event.js';
import type { Logger } from '../telemetry/log.js';
import type { Mirror } from './mirror.js';
import {
  createSpoolDirectory,
  spoolLimits,
  type SpoolDirectory,
  type SpoolEntry,
  type SpoolLimits,
} from './spool-directory.js';

const APPLY_MS = 1_000;
const HAND_OVER_MS = 10_000;
const RETRY_MS = 1_000;
const PROGRESS_LOG_MS = 60_000;
/** Jobs handed over side by side. */
const DRAIN_WIDTH = 64;

export interface SpooledMirror extends Mirror {
  /** Hands over what is spooled, now. StoreUnavailable if the database does not take it. */
  drain(): Promise<void>;
  /** Batches that wait in the spool. */
  pending(): number;
}

export interface SpoolOptions {
  mirror: Mirror;
  directory: string;
  logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  limits?: SpoolLimits;
}

/** Closing it closes the mirror; what is still spooled stays for the next start. */
export function createSpooledMirror(options: SpoolOptions): SpooledMirror {
  const { mirror, logger } = options;
  const spool = createSpoolDirectory(options.directory, options.limits ?? spoolLimits);
  const stopping = new AbortController();
  let down = false;
  let draining: Promise<void> | null = null;
  let progressLoggedAt = -Infinity;

  async function spoolBatch(batch: EventBatch): Promise<void> {
    try {
      await spool.add(batch);
    } catch (error) {
      logger.error({ err: error, pending: spool.size }, 'mirror spool takes no more');
      throw error;
    }
    keepTrying();
  }

  function markDown(error: unknown): void {
    if (!down) logger.error({ err: error }, 'mirror is unavailable: writes go to the spool');
    down = true;
  }

  /** An empty spool has no loop that would find the mirror back: then every write tries. */
  const isKnownDown = () => down && spool.size > 0;

  async function apply(batch: EventBatch): Promise<void> {
    // A spool that can not be read is said at the start, and no reason to keep a batch from a mirror that is there.
    await spool.open().catch(() => {});
    if (isKnownDown() || spool.holds(batch.header.job_id)) return spoolBatch(batch);
    try {
      await within(APPLY_MS, mirror.apply(batch));
      down = false;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      markDown(error);
      await spoolBatch(batch);
    }
  }

  function drain(): Promise<void> {
    draining ??= drainAll({ mirror, spool, logger, signal: stopping.signal }).finally(
      () => (draining = null),
    );
    return draining;
  }

  let trying = false;
  /** One loop that ends when the spool is empty. */
  function keepTrying(): void {
    if (trying) return;
    trying = true;
    void (async () => {
      while (spool.size > 0 && !stopping.signal.aborted) {
        try {
          await drain();
          if (down) logger.info('mirror is back: the spool is handed over');
          down = false;
        } catch (error) {
          markDown(error);
          await sleep(RETRY_MS, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
        }
      }
      trying = false;
    })();
  }

  async function reportProgress(...report: Parameters<Mirror['reportProgress']>): Promise<void> {
    try {
      if (isKnownDown()) throw new ServiceError('StoreUnavailable', 'The mirror is down');
      await within(APPLY_MS, mirror.reportProgress(...report));
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      if (performance.now() - progressLoggedAt < PROGRESS_LOG_MS) return;
      progressLoggedAt = performance.now();
      logger.warn({ err: error }, 'progress is not mirrored');
    }
  }

  spool.open().then(keepTrying, (error: unknown) => {
    logger.error({ err: error }, 'mirror spool can not be read');
  });

  return {
    ...passThrough(mirror),
    apply,
    reportProgress,
    async drain() {
      await spool.open();
      await drain();
    },
    pending: () => spool.size,
    async close() {
      stopping.abort();
      await within(APPLY_MS, draining ?? Promise.resolve()).catch(() => {});
      await mirror.close();
    },
  };
}

function passThrough(mirror: Mirror): Omit<Mirror, 'apply' | 'reportProgress' | 'close'> {
  return {
    backend: mirror.backend,
    prepare: () => mirror.prepare(),
    ping: () => mirror.ping(),
    getJob: (jobId) => mirror.getJob(jobId),
    getHeader: (jobId) => mirror.getHeader(jobId),
    listJobs: (query) => mirror.listJobs(query),
    listEvents: (jobId, after, limit) => mirror.listEvents(jobId, after, limit),
    getResult: (jobId) => mirror.getResult(jobId),
    fileOf: (jobId, path) => mirror.fileOf(jobId, path),
    countByState: () => mirror.countByState(),
    head: () => mirror.head(),
    eventAt: (seq) => mirror.eventAt(seq),
    eventsAfter: (seq, options) => mirror.eventsAfter(seq, options),
    follow: (listener, signal) => mirror.follow(listener, signal),
  };
}

interface Drain {
  mirror: Mirror;
  spool: SpoolDirectory;
  logger: SpoolOptions['logger'];
  signal: AbortSignal;
}

/** Every job's batches one after the other, some jobs at once. Stops at the first that finds the database away. */
async function drainAll(drain: Drain): Promise<void> {
  const jobs = drain.spool.entries();
  const next = jobs.values();
  let failure: unknown = null;
  const lane = async (): Promise<void> => {
    for (const entries of next)
      for (const entry of entries) {
        if (failure !== null || drain.signal.aborted) return;
        await handOver(drain, entry).catch((error: unknown) => {
          failure ??= error;
        });
      }
  };
  await Promise.all(Array.from({ length: Math.min(DRAIN_WIDTH, jobs.length) }, lane));
  if (failure !== null) throw failure as Error;
}

async function handOver({ mirror, spool, logger }: Drain, entry: SpoolEntry): Promise<void> {
  try {
    const batch = await spool.read(entry);
    if (batch) await within(HAND_OVER_MS, mirror.apply(batch));
    await spool.remove(entry);
  } catch (error) {
    if (isUnavailable(error)) throw error;
    logger.error({ err: error, file: entry.name }, 'mirror refuses a spooled batch: put aside');
    await spool.reject(entry);
  }
}

function isUnavailable(error: unknown): boolean {
  return isServiceError(error) && error.code === 'StoreUnavailable';
}

/** The work goes on behind: a late success is harmless, because writes may be repeated. */
async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new ServiceError('StoreUnavailable', `No answer within ${limitMs} ms`);
    timer = setTimeout(() => reject(error), limitMs);
  });
  work.catch(() => {});
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
