/**
 * Workflow tests: a real Temporal server, the real workflow code, activities replaced by an object of the same type.
 * Nothing is cached unless a test asks for it: replays at every step make each of these tests a determinism test too.
 */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client, Connection, type WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import {
  bundleWorkflowCode,
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import type { Activities } from '../../activities/index.js';
import { openClient, registerSearchAttributes } from '../../src/engine/connection.js';
import type { JobHeader, JobSnapshot } from '../../src/jobs/job.js';
import type { JobEvent } from '../../src/jobs/event.js';
import { searchAttribute } from '../../src/jobs/search-attributes.js';
import type { SearchDownloadOptions } from '../../workflows/search-download.workflow.js';
import { startTemporal, type TestTemporal } from './stack.js';

let bundle: Promise<WorkflowBundleWithSourceMap> | undefined;

/** The workflow code as it is in the tree, bundled once for each test process. */
export function workflowBundle(
  entry = '../../workflows/index.ts',
): Promise<WorkflowBundleWithSourceMap> {
  if (entry !== '../../workflows/index.ts') return bundleFrom(entry);
  bundle ??= bundleFrom(entry);
  return bundle;
}

function bundleFrom(entry: string): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL(entry, import.meta.url)),
    logger: new DefaultLogger('ERROR'),
    webpackConfigHook: (config) => ({
      ...config,
      resolve: { ...config.resolve, extensionAlias: { '.js': ['.ts', '.js'] } },
    }),
  });
}

export interface WorkflowBench {
  client: Client;
  taskQueue: string;
  /** Starts the job's workflow as the engine does. */
  start(
    header: JobHeader,
    options?: Partial<SearchDownloadOptions>,
  ): Promise<WorkflowHandleWithFirstExecutionRunId<() => Promise<JobSnapshot>>>;
  close(): Promise<void>;
}

export interface ServerBench {
  temporal: TestTemporal;
  connection: Connection;
  native: NativeConnection;
  /** A worker with these activities, for the length of one test. */
  withActivities(
    activities: Partial<Activities>,
    cache?: { maxCachedWorkflows: number },
  ): Promise<WorkflowBench>;
  close(): Promise<void>;
}

let runtimeInstalled = false;

export async function startServerBench(): Promise<ServerBench> {
  if (!runtimeInstalled)
    Runtime.install({ logger: new DefaultLogger('ERROR'), shutdownSignals: [] });
  runtimeInstalled = true;
  const temporal = await startTemporal();
  const ours = openClient({ TEMPORAL_ADDRESS: temporal.address });
  await registerSearchAttributes(ours);
  await ours.close();
  const connection = await Connection.connect({ address: temporal.address });
  const native = await NativeConnection.connect({ address: temporal.address });
  const code = await workflowBundle();
  const open = new Set<WorkflowBench>();
  return {
    temporal,
    connection,
    native,
    async withActivities(activities, cache = { maxCachedWorkflows: 0 }) {
      const taskQueue = `test-${randomUUID()}`;
      const common = {
        connection: native,
        activities,
        maxHeartbeatThrottleInterval: '200ms',
        defaultHeartbeatThrottleInterval: '200ms',
      } as const;
      const workers = await Promise.all([
        Worker.create({ ...common, workflowBundle: code, taskQueue, ...cache }),
        Worker.create({ ...common, taskQueue: `${taskQueue}-transfers-copernicus` }),
      ]);
      const running = workers.map((worker) => worker.run());
      const client = new Client({ connection });
      const bench: WorkflowBench = {
        client,
        taskQueue,
        start: (header, options = {}) =>
          client.workflow.start<(input: object) => Promise<JobSnapshot>>('searchDownload', {
            taskQueue,
            workflowId: header.job_id,
            args: [
              {
                header,
                options: {
                  transferQueuePrefix: `${taskQueue}-transfers`,
                  staleSeconds: 5,
                  ...options,
                },
              },
            ],
            typedSearchAttributes: [
              { key: searchAttribute.jobType, value: 'search_download' },
              { key: searchAttribute.state, value: 'queued' },
            ],
          }),
        async close() {
          open.delete(bench);
          for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
          await Promise.all(running);
        },
      };
      open.add(bench);
      return bench;
    },
    async close() {
      // A test that failed has left its own.
      await Promise.all([...open].map((bench) => bench.close()));
      await native.close();
      await connection.close();
      await temporal.close();
    },
  };
}

/** Remembers what was recorded, as a mirror would. */
export function createEventLog() {
  const recorded = { events: [] as JobEvent[], snapshots: [] as JobSnapshot[] };
  const recordings: JobEvent['type'][][] = [];
  let manifests = 0;
  const recordEvents: Activities['recordEvents'] = async ({ events, snapshot, manifest }) => {
    if (manifest) manifests++;
    recorded.events.push(...events);
    recordings.push(events.map(({ type }) => type));
    recorded.snapshots.push(snapshot);
  };
  return {
    recordEvents,
    types: () => recorded.events.map(({ type }) => type),
    numbers: () => recorded.events.map(({ number }) => number),
    events: recorded.events,
    /** Types of the events that came together. */
    recordings,
    /** How often a manifest was asked for. */
    manifests: () => manifests,
    last: () => recorded.snapshots.at(-1)!,
  };
}
