const at = '2025-01-01T00:00:00.000Z';

/** A job as the API shows it. */
export function wireJob(jobId: string, state: string) {
  return {
    ...{ job_id: jobId, job_type: 'search_download', state, provider: 'copernicus' },
    ...{ collection: 'SENTINEL-2', product_type: null, request: {}, progress: 0 },
    ...{ bytes_downloaded: 0, bytes_total: null, speed_bytes_per_second: 0, eta_seconds: null },
    ...{ products_total: null, products_done: 0, products_failed: 0, waiting: null, error: null },
    ...{ labels: {}, created_at: at, started_at: null, finished_at: null, updated_at: at },
    ...{ duration_seconds: 0, retry_of: null, recipe_id: null, workflow_url: 'http://t/' },
  };
}
