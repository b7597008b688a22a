/** Many jobs in one request: each is accepted or refused for itself. */
import { isServiceError, type ServiceError } from '../../jobs/error-codes.js';
import { toProblem } from '../../jobs/problem.js';
import { jobRequestSchema } from '../../jobs/request.js';
import type { ApiContext } from '../context.js';
import { inOrder } from '../in-order.js';
import { parseOr } from '../invalid.js';
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';
import { submit } from '../submission.js';

const WIDTH = 16;

export function batchRoutes(context: ApiContext, mount: Mount): void {
  mount(operations.submitBatch, async ({ body, response }) => {
    // Once Temporal is known to be out of reach, the rest need not wait to learn it too.
    let unreachable: ServiceError | null = null;
    const items = await inOrder(body.jobs, WIDTH, async (job) => {
      if (unreachable) return { error: toProblem(unreachable) };
      try {
        const request = parseOr(jobRequestSchema, job, 'InvalidInput', 'Request');
        const { header, snapshot } = (await submit(context, request)).record;
        return { job_id: header.job_id, state: snapshot.state };
      } catch (error) {
        if (isServiceError(error) && error.code === 'EngineUnavailable') unreachable = error;
        if (!isServiceError(error)) context.logger.error({ err: error }, 'batch item failed');
        return { error: toProblem(error) };
      }
    });
    if (unreachable && items.every((item) => 'error' in item)) throw unreachable as ServiceError;
    response.status(202).json({ items });
  });
}
