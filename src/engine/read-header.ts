import { z } from 'zod';
import { jobHeaderSchema, type JobHeader } from '../jobs/job.js';
import type { TemporalClient } from './connection.js';

/**
 * A job's header is its workflow's input: the first event of its history.
 * @throws ServiceError EngineUnavailable; gRPC's NOT_FOUND when there is no such workflow
 */
export async function readHeader(
  { call, connection, namespace }: TemporalClient,
  workflowId: string,
): Promise<JobHeader> {
  const { history } = await call(() =>
    connection.workflowService.getWorkflowExecutionHistory({
      namespace,
      execution: { workflowId },
      maximumPageSize: 1,
    }),
  );
  const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  const text = Buffer.from(started?.input?.payloads?.[0]?.data ?? []).toString('utf8');
  return z.object({ header: jobHeaderSchema }).parse(JSON.parse(text || 'null')).header;
}
