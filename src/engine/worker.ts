/**
 * A worker process: one Temporal worker for workflows and short steps, one a provider for transfers. It waits for
 * Temporal to appear, survives its loss, and drains on `stop`: transfers flush, let go, and are taken up by another
 * worker or by this one when it is back.
 */
import { fileURLToPath } from 'node:url';
import { NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createActivities, type ActivityDependencies } from '../../activities/index.js';
import { ServiceError } from '../jobs/error-codes.js';
import {
  connectionSettings,
  openClient,
  registerSearchAttributes,
  type TemporalSettings,
} from './connection.js';
import { startSweeper } from './sweeper.js';
import { transferQueue } from './task-queues.js';

export interface WorkerSettings extends TemporalSettings {
  /** Transfers at once in this worker, over all providers. */
  maxTransfers: number;
  providerLimits: Readonly<Record<string, number>>;
}

export interface RunningWorker {
  /** True once tasks are being polled. */
  readonly polling: boolean;
  /** Resolves when the worker has ended, by `stop` or for good. */
  readonly ended: Promise<void>;
  /** Drains; a second call changes nothing. Resolves when everything is at rest. */
  stop(): Promise<void>;
}

const RETRY_MS = 1_000;
const GRACE = '8s';
/** Cancellation reaches an activity with its heartbeat: this bounds how long it is underway. */
const HEARTBEAT_THROTTLE = '500ms';

/** In dist, where scripts/build.mjs puts it: two folders above this module, compiled or bundled. */
const bundlePath = fileURLToPath(new URL('../../workflow-bundle.js', import.meta.url));

let runtimeInstalled = false;

export function startWorker(
  settings: WorkerSettings,
  dependencies: Omit<ActivityDependencies, 'stopping'>,
  logger: Logger,
): RunningWorker {
  installRuntime(logger);
  const stopping = new AbortController();
  const activities = createActivities({ ...dependencies, stopping: stopping.signal });
  const state = { polling: false };

  async function runOnce(): Promise<void> {
    const { connectionOptions, namespace } = connectionSettings(settings.env);
    const client = openClient(settings.env);
    let connection: NativeConnection | null = null;
    try {
      await registerSearchAttributes(client);
      connection = await NativeConnection.connect(connectionOptions);
      const workers = await createWorkers(
        { connection, namespace },
        settings,
        dependencies.providers.keys(),
        activities,
      );
      const shutDown = (): void =>
        workers.forEach((worker) => worker.getState() === 'RUNNING' && worker.shutdown());
      stopping.signal.addEventListener('abort', shutDown);
      const running = workers.map((worker) => worker.run());
      state.polling = true;
      logger.info({ taskQueue: settings.taskQueue, namespace }, 'worker polls');
      if (stopping.signal.aborted) shutDown();
      // One worker ending by itself takes the others with it, so that all are started anew together.
      await Promise.race(running).finally(shutDown);
      await Promise.all(running);
    } finally {
      state.polling = false;
      await connection?.close();
      await client.close();
    }
  }

  async function runUntilStopped(): Promise<void> {
    let said = false;
    while (!stopping.signal.aborted) {
      try {
        await runOnce();
        said = false;
      } catch (error) {
        if (!said)
          logger.warn(
            { error: error instanceof Error ? error.message : String(error) },
            'waiting for Temporal',
          );
        said = true;
      }
      if (!stopping.signal.aborted) await pause(RETRY_MS, stopping.signal);
    }
  }

  startSweeper(dependencies.store, settings, logger, stopping.signal);
  const ended = runUntilStopped();
  return {
    get polling() {
      return state.polling;
    },
    ended,
    async stop() {
      stopping.abort(new ServiceError('Interrupted', 'The worker is stopping'));
      await ended;
    },
  };
}

async function createWorkers(
  { connection, namespace }: { connection: NativeConnection; namespace: string },
  settings: WorkerSettings,
  providers: Iterable<string>,
  activities: ReturnType<typeof createActivities>,
): Promise<Worker[]> {
  const common: WorkerOptions = {
    connection,
    namespace,
    activities,
    taskQueue: settings.taskQueue,
    shutdownGraceTime: GRACE,
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
    defaultHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
  };
  const engine = Worker.create({
    ...common,
    workflowBundle: { codePath: bundlePath },
    maxConcurrentActivityTaskExecutions: 50,
    maxCachedWorkflows: 200,
  });
  const transfers = [...providers].map((provider) =>
    Worker.create({
      ...common,
      taskQueue: transferQueue(settings.taskQueue, provider),
      maxConcurrentActivityTaskExecutions: Math.min(
        settings.maxTransfers,
        settings.providerLimits[provider] ?? settings.maxTransfers,
      ),
    }),
  );
  return await Promise.all([engine, ...transfers]);
}

/** The SDK's own log lines join ours; once per process. */
function installRuntime(logger: Logger): void {
  if (runtimeInstalled) return;
  runtimeInstalled = true;
  const levels = {
    TRACE: 'trace',
    DEBUG: 'debug',
    INFO: 'debug',
    WARN: 'warn',
    ERROR: 'error',
  } as const;
  const log = (level: keyof typeof levels, message: string, meta?: object): void =>
    logger[levels[level]]({ sdk: true, ...meta }, message);
  Runtime.install({
    logger: {
      log,
      trace: (message, meta) => log('TRACE', message, meta),
      debug: (message, meta) => log('DEBUG', message, meta),
      info: (message, meta) => log('INFO', message, meta),
      warn: (message, meta) => log('WARN', message, meta),
      error: (message, meta) => log('ERROR', message, meta),
    },
    // Signals belong to the command line, which drains in order.
    shutdownSignals: [],
  });
}

function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, durationMs);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
