/** The job engine on Temporal: one workflow a job, workflow id = job id. */
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type WorkflowExecutionStatusName,
  type WorkflowStartOptions,
} from '@temporalio/client';
import type { JobHeader } from '../jobs/job.js';
import { searchAttribute } from '../jobs/search-attributes.js';
import { ServiceError } from '../jobs/error-codes.js';
import type { searchDownload } from '../../workflows/search-download.workflow.js';
import {
  isUnknownAttribute,
  openClient,
  registerSearchAttributes,
  type TemporalSettings,
} from './connection.js';
import type { JobEngine } from './job-engine.js';
import { readHeader } from './read-header.js';
import { transferQueuePrefix } from './task-queues.js';

export interface EngineSettings extends TemporalSettings {
  staleSeconds: number;
}

const DEV_SERVER_UI = 'http://127.0.0.1:8233';
/** A freshly registered search attribute takes a moment to reach every part of a cluster. */
const ATTRIBUTE_TRIES = 20;
const ATTRIBUTE_PAUSE_MS = 250;

export function createTemporalEngine(settings: EngineSettings): JobEngine {
  const temporal = openClient(settings.env);
  const { client, call, namespace, connection } = temporal;
  let registered: Promise<void> | null = null;

  /** Once per process; tried again after a failure. */
  function ready(): Promise<void> {
    registered ??= registerSearchAttributes(temporal).catch((error: unknown) => {
      registered = null;
      throw error;
    });
    return registered;
  }

  function startOptions(header: JobHeader): WorkflowStartOptions<typeof searchDownload> {
    const { request } = header;
    return {
      workflowId: header.job_id,
      taskQueue: settings.taskQueue,
      args: [
        {
          header,
          options: {
            staleSeconds: settings.staleSeconds,
            transferQueuePrefix: transferQueuePrefix(settings.taskQueue),
          },
        },
      ],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      memo: {
        request_hash: header.request_hash,
        created_at: header.created_at,
        retry_of: header.retry_of,
      },
      priority: { priorityKey: priorityKeys[request.priority] },
      staticSummary: summaryOf(header),
      typedSearchAttributes: [
        { key: searchAttribute.jobType, value: header.job_type },
        { key: searchAttribute.provider, value: request.provider },
        { key: searchAttribute.collection, value: request.collection },
        { key: searchAttribute.state, value: 'queued' },
      ],
    };
  }

  async function start(header: JobHeader): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await call(() =>
          client.workflow.start<typeof searchDownload>('searchDownload', startOptions(header)),
        );
        return;
      } catch (error) {
        if (!isUnknownAttribute(error) || tries >= ATTRIBUTE_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, ATTRIBUTE_PAUSE_MS));
      }
    }
  }

  /** Of the workflow; null when there never was one. */
  async function stateOf(jobId: string): Promise<WorkflowExecutionStatusName | null> {
    try {
      const { status } = await call(() => client.workflow.getHandle(jobId).describe());
      return status.name;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return null;
      throw error;
    }
  }

  return {
    async submit(header) {
      await ready();
      try {
        await start(header);
        return { started: true, header };
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        const { memo } = await call(() => client.workflow.getHandle(header.job_id).describe());
        return {
          started: false,
          header: {
            ...header,
            ...(memo as Pick<JobHeader, 'request_hash' | 'created_at' | 'retry_of'>),
          },
        };
      }
    },

    async cancel(jobId) {
      const state = await stateOf(jobId);
      if (state === null) throw new ServiceError('NotFound', `No workflow for job ${jobId}`);
      if (state !== 'RUNNING') return false;
      try {
        await call(() => client.workflow.getHandle(jobId).cancel());
        return true;
      } catch (error) {
        // It has ended meanwhile.
        if (error instanceof WorkflowNotFoundError) return false;
        throw error;
      }
    },

    async findRunning(jobId) {
      return (await stateOf(jobId)) === 'RUNNING' ? await readHeader(temporal, jobId) : null;
    },

    async ping() {
      await call(() => connection.workflowService.describeNamespace({ namespace }));
      await ready();
    },

    workflowUrl(jobId) {
      return `${settings.uiUrl ?? DEV_SERVER_UI}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(jobId)}`;
    },

    close: () => temporal.close(),
  };
}

/** Temporal's own: 1 is served first, 3 is the default. Children and activities inherit it. */
const priorityKeys = { interactive: 1, normal: 3, bulk: 5 } as const;

/** One line in the Temporal Web UI. */
function summaryOf({ request }: JobHeader): string {
  const what = [request.provider, request.collection, request.product_type]
    .filter(Boolean)
    .join(' ');
  return request.products
    ? `${what}, ${request.products.length} named products`
    : `${what}, ${request.start_date} to ${request.end_date}`;
}
