/** Deliberately wrong: plans before it searches. The replay test expects it to be caught. */
import type { SearchDownloadInput } from '../../workflows/search-download.workflow.js';
import { singleTries } from '../../workflows/shared/activities.js';

export async function searchDownload({ header }: SearchDownloadInput): Promise<void> {
  const { planJob, searchPage } = singleTries({ staleSeconds: 5 });
  await planJob({ job_id: header.job_id, request: header.request, pages: 1, chunkSize: 100 });
  await searchPage({ job_id: header.job_id, request: header.request, page: 0, cursor: null });
}
