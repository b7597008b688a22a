/** Follows a job on the screen to its end, then lists what it got. Ctrl-C stops watching, never the job. */
import type { Job } from '../jobs/job.js';
import type { JobResult } from '../jobs/result.js';
import type { ApiClient } from './client/api-client.js';
import type { CliContext } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { followJob } from './client/follow-job.js';
import { createJobView, createNdjsonView } from './output/job-view.js';
import { resultLines } from './output/result-list.js';
import { plain } from './output/text.js';

export async function watchJob(context: CliContext, job: Job): Promise<ExitCode> {
  const { stop, notes } = context;
  const api = context.api();
  try {
    const ended = await followOnScreen(context, api, job.job_id);
    await tellEnd(context, api, ended);
    return ended.state === 'succeeded' ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (stop.which() === null) throw error;
    notes.say(
      `Stopped watching; the job goes on. Watch it again with: nimbus jobs watch ${job.job_id}\n` +
        `Stop the job itself with: nimbus jobs cancel ${job.job_id}`,
    );
    return stop.exitCode();
  }
}

/** The job once it has ended. Rejects when the user asks to stop. */
export async function followOnScreen(
  context: CliContext,
  api: ApiClient,
  jobId: string,
): Promise<Job> {
  const view = context.json
    ? createNdjsonView(context.stdout)
    : createJobView(context.stdout, context.paint);
  try {
    return await followJob(api, jobId, (told) => view.told(told), context.stop.signal);
  } finally {
    view.end();
  }
}

/** Its files and how it ended; answers its result. */
export async function tellEnd(context: CliContext, api: ApiClient, job: Job): Promise<JobResult> {
  const result = await api.result(job.job_id);
  if (context.json) {
    context.printJson({ kind: 'result', ...result });
    return result;
  }
  resultLines(result, context.paint).forEach(context.print);
  context.print(`Job ${job.job_id} ${job.state}`);
  if (job.error) {
    context.print(plain(`${job.error.title}: ${job.error.detail}`));
    if (job.error.hint) context.print(`  next: ${plain(job.error.hint)}`);
  }
  if (result.manifest !== null) context.print(`Manifest: ${plain(result.manifest)}`);
  return result;
}
