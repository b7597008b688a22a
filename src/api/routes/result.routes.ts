/** What a job that has ended left. */
import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { ServiceError } from '../../jobs/error-codes.js';
import { hasEnded } from '../../jobs/job.js';
import type { JobResult } from '../../jobs/result.js';
import type { ApiContext } from '../context.js';
import { noSuchJob, readJob } from '../known-jobs.js';
import { jobIdOf, type Mount } from '../mount.js';
import { operations } from '../operations.js';

export function resultRoutes(context: ApiContext, mount: Mount): void {
  mount(operations.getResult, async ({ request, response }) => {
    const { header, snapshot } = await readJob(context, jobIdOf(request));
    if (!hasEnded(snapshot.state))
      throw new ServiceError('Conflict', `The job is ${snapshot.state}: it has no result yet`);
    const result = await context.mirror.getResult(header.job_id);
    if (!result) throw noSuchJob();
    response.json(addressed(result, context.store));
  });
}

/** Every path as the store has people call it. */
function addressed(result: JobResult, { addressOf }: Pick<ArtifactStore, 'addressOf'>): JobResult {
  return {
    ...result,
    paths: result.paths.map(addressOf),
    checksums: Object.fromEntries(
      Object.entries(result.checksums).map(([path, checksum]) => [addressOf(path), checksum]),
    ),
    manifest: result.manifest === null ? null : addressOf(result.manifest),
    products: result.products.map((one) => ({ ...one, paths: one.paths.map(addressOf) })),
  };
}
