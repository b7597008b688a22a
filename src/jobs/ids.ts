/** Ids are built and parsed here, in pairs. */

/** Of the workflow that fetches one product, whichever job asked: two jobs never fetch one product twice at once. */
export function downloadWorkflowId(provider: string, productId: string): string {
  return `download/${provider}/${productId}`;
}

export function fromDownloadWorkflowId(
  workflowId: string,
): { provider: string; productId: string } | null {
  const match = /^download\/([^/]+)\/(.+)$/.exec(workflowId);
  return match ? { provider: match[1]!, productId: match[2]! } : null;
}

/** Directory of a job's public files, relative to the data directory. */
export const jobDirectory = (jobId: string): string => `jobs/${jobId}`;
export const manifestPath = (jobId: string): string => `${jobDirectory(jobId)}/manifest.json`;

/** Record of one search page, of the plan, of a chunk of it, and of a finished run's events. */
export const searchPageRecord = (jobId: string, page: number): string =>
  `jobs/${jobId}/search/${pad(page)}`;
export const planChunkRecord = (jobId: string, chunk: number): string =>
  `jobs/${jobId}/plan/${pad(chunk)}`;
export const storyRecord = (jobId: string, run: number): string =>
  `jobs/${jobId}/story/${pad(run)}`;

const pad = (index: number): string => String(index).padStart(6, '0');

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const isJobId = (value: string): boolean => uuid.test(value);
