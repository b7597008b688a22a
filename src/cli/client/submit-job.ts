/** Submits a job; while the API answers "come again later", comes again, with the same key: nothing is done twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from '../../jobs/job.js';
import { CommandError } from '../exit-codes.js';
import type { ApiClient } from './api-client.js';

const PATIENCE_MS = 60_000;

export interface Submission {
  request: unknown;
  idempotencyKey: string;
  /** Told why it waits. */
  say: (line: string) => void;
  signal: AbortSignal;
}

/** `created` is false when the key was seen before. @throws CommandError; the signal's reason while it waits */
export async function submitJob(
  client: ApiClient,
  { request, idempotencyKey, say, signal }: Submission,
): Promise<{ job: Job; created: boolean }> {
  const lastMs = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await client.submit(request, idempotencyKey);
    } catch (error) {
      const waitMs = error instanceof CommandError ? error.retryAfterMs : null;
      if (waitMs === null || Date.now() + waitMs > lastMs) throw error;
      say(`${(error as CommandError).message}: trying again in ${waitMs / 1000} s`);
      await sleep(waitMs, undefined, { signal });
    }
  }
}
