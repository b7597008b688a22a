/** Deliberately wrong: searches before it tells that it started. The replay test expects it to be caught. */
import type { SearchDownloadInput } from '../../workflows/search-download.workflow.js';
import { singleTries } from '../../workflows/shared/activities.js';

export async function searchDownload({ header }: SearchDownloadInput): Promise<void> {
  const { searchPage } = singleTries({ staleSeconds: 5 });
  const { job_id, request } = header;
  await searchPage({ job_id, request, page: 0, cursor: null, chunkSize: 100 });
}
