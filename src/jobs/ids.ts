/** Ids are built and parsed here, in pairs. */

/** Of the workflow that fetches one product, whichever job asked: two jobs never fetch one product twice at once. */
export function downloadWorkflowId(provider: string, productId: string): string {
  return `download/${provider}/${productId}`;
}

/** Pins journal and partial of a product as delivered. */
export const transferKey = (provider: string, productId: string): string =>
  `${provider}/${productId}`;

/** Pins journal and partial of a single file of a product; `path` inside the product. */
export const fileKey = (provider: string, productId: string, path: string): string =>
  `${transferKey(provider, productId)}#${path}`;

export function fromDownloadWorkflowId(
  workflowId: string,
): { provider: string; productId: string } | null {
  const match = /^download\/([^/]+)\/(.+)$/.exec(workflowId);
  return match ? { provider: match[1]!, productId: match[2]! } : null;
}

/** Directory of a job's public files, relative to the data directory. */
export const jobDirectory = (jobId: string): string => `jobs/${jobId}`;
export const manifestPath = (jobId: string): string => `${jobDirectory(jobId)}/manifest.json`;

/**
 * Records of a job: one search page, one chunk of the plan, one recording of events (named by its first event's number).
 * Names sort in the order in which they were written.
 */
export const searchPageRecord = (jobId: string, page: number): string =>
  `jobs/${jobId}/search/${pad(page)}`;
export const planPrefix = (jobId: string): string => `jobs/${jobId}/plan/`;
export const planChunkRecord = (jobId: string, chunk: number): string =>
  `${planPrefix(jobId)}${pad(chunk)}`;
export const storyPrefix = (jobId: string): string => `jobs/${jobId}/story/`;
export const storyRecord = (jobId: string, firstEvent: number): string =>
  `${storyPrefix(jobId)}${pad(firstEvent)}`;

const pad = (index: number): string => String(index).padStart(8, '0');

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const isJobId = (value: string): boolean => uuid.test(value);
