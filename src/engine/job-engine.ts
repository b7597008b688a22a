/**
 * What the API and the command line ask of the engine. The engine (Temporal) decides; nobody else starts, stops or
 * repeats work. Errors: EngineUnavailable (Temporal out of reach), NotFound.
 */
import type { JobHeader } from '../jobs/job.js';

export interface JobEngine {
  /**
   * Starts the job's workflow, id = header.job_id. Exactly one workflow comes of any number of calls with one id:
   * the later ones get `started: false` and the header that won.
   */
  submit(header: JobHeader): Promise<{ started: boolean; header: JobHeader }>;
  /** Asks a running job to cancel; resolves once the request is durable. `false` if its workflow has already ended. NotFound if there never was one. */
  cancel(jobId: string): Promise<boolean>;
  /** The header that a job now running was started with; null when none runs under this id. */
  findRunning(jobId: string): Promise<JobHeader | null>;
  /** Resolves if Temporal answers for our namespace. */
  ping(): Promise<void>;
  /** Where the Temporal Web UI shows this job. */
  workflowUrl(jobId: string): string;
  close(): Promise<void>;
}
