/**
 * A job that follows another's download, with Temporal's steps played by hand: when the end is told decides whether the job
 * hears of it. How long the job would wait, should nobody tell it again, is what counts.
 */
import { expect, it } from 'vitest';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { Downloads } from '../../../workflows/search-download/downloads.js';
import type { Job } from '../../../workflows/search-download/job.js';

const FOLLOW_MS = 300_000;
const product = { id: 'x', name: 'x.SAFE', bytes: 1 };
const job = {
  header: { job_id: 'job', request: { provider: 'p', collection: 'c', if_exists: 'skip' } },
  options: { followMs: FOLLOW_MS, staleSeconds: 5, transferQueuePrefix: 't', patience: {} },
  tellWaiting: () => undefined,
} as unknown as Job;

/**
 * The other download is there for so many of our looks; `tells` says at which of them it tells its end, and during which
 * step. Resolves with the longest that each wait may last.
 */
async function waitsOf(
  refusals: number,
  tells: (look: number, step: 'start' | 'wait') => boolean,
): Promise<number[]> {
  const waits: number[] = [];
  let look = 0;
  const downloads: Downloads = new Downloads(job, {
    executeChild: (async () => {
      look++;
      if (tells(look, 'start')) downloads.ended(product.id);
      if (look <= refusals) throw new WorkflowExecutionAlreadyStartedError('', '', '');
      return 'done';
    }) as never,
    condition: (async (isReached: () => boolean, ms: number) => {
      waits.push(ms);
      if (tells(look, 'wait')) downloads.ended(product.id);
      return isReached();
    }) as never,
    getExternalWorkflowHandle: (() => ({ signal: async () => undefined })) as never,
  });
  expect(await downloads.run('record', product)).toBe('done');
  return waits;
}

it('waits long for an end that nobody has told', async () => {
  expect(await waitsOf(3, () => false)).toEqual([FOLLOW_MS, FOLLOW_MS, FOLLOW_MS]);
});

it('looks again soon, then less and less often, where the end was told before it came', async () => {
  const waits = await waitsOf(6, (look, step) => look === 1 && step === 'wait');
  expect(waits).toEqual([FOLLOW_MS, 500, 2_000, 8_000, 32_000, 128_000]);
});

it('looks again soon where the end was told while its own start was refused', async () => {
  const waits = await waitsOf(2, (look, step) => look === 2 && step === 'start');
  expect(waits).toEqual([FOLLOW_MS, 500]);
});
