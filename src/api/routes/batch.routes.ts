/** Many jobs in one request: each is accepted or refused for itself. */
import { isServiceError, type ServiceError } from '../../jobs/error-codes.js';
import { toProblem } from '../../jobs/problem.js';
import { jobRequestSchema } from '../../jobs/request.js';
import type { ApiContext } from '../context.js';
import { callerIdentity } from '../middleware/auth.js';
import { inOrder } from '../in-order.js';
import { parseOr } from '../invalid.js';
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';
import { checkIdempotencyKey, jobIdForKey, submit } from '../submission.js';

const WIDTH = 16;

export function batchRoutes(context: ApiContext, mount: Mount): void {
  const caller = callerIdentity(context.settings.key);
  mount(operations.submitBatch, async ({ body, request, response }) => {
    const key = request.get('idempotency-key');
    if (key !== undefined) checkIdempotencyKey(key);
    const idOf = (index: number) =>
      key === undefined ? {} : { jobId: jobIdForKey(`${key}#${index}`, caller) };
    // Once Temporal is known to be out of reach, the rest need not wait to learn it too.
    let unreachable: ServiceError | null = null;
    const items = await inOrder(body.jobs, WIDTH, async (job, index) => {
      if (unreachable) return { error: toProblem(unreachable) };
      try {
        const wanted = parseOr(jobRequestSchema, job, 'InvalidInput', 'Request');
        const { header, snapshot } = (await submit(context, wanted, idOf(index))).record;
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
