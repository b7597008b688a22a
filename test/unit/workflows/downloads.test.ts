/**
 * A job that follows another's download, with Temporal's steps played by hand: when the end is told decides whether the job
 * hears of it. How long the job would wait, should nobody tell it again, is what counts.
 */
import { beforeEach, expect, it, vi } from 'vitest';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { Downloads } from '../../../workflows/search-download/downloads.js';
import type { Job } from '../../../workflows/search-download/job.js';

const temporal = vi.hoisted(() => ({
  start: async (): Promise<unknown> => undefined,
  wait: async (_isReached: () => boolean, _ms: number): Promise<boolean> => false,
}));
vi.mock('@temporalio/workflow', async (original) => ({
  ...(await original<object>()),
  executeChild: () => temporal.start(),
  condition: (isReached: () => boolean, ms: number) => temporal.wait(isReached, ms),
  getExternalWorkflowHandle: () => ({ signal: async () => undefined }),
}));

const FOLLOW_MS = 300_000;
const product = { id: 'x', name: 'x.SAFE', bytes: 1 };
let downloads: Downloads;
let waits: number[];

beforeEach(() => {
  const header = { job_id: 'job', request: { provider: 'p', collection: 'c', if_exists: 'skip' } };
  const options = { followMs: FOLLOW_MS, staleSeconds: 5, transferQueuePrefix: 't', patience: {} };
  downloads = new Downloads({ header, options, tellWaiting: () => undefined } as unknown as Job);
  waits = [];
});

/** The other download is there for so many looks; `tellsDuring` says at which of ours it tells its end, and when. */
async function follow(
  refusals: number,
  tellsDuring: (look: number, step: 'start' | 'wait') => boolean,
): Promise<void> {
  let look = 0;
  temporal.start = async () => {
    look++;
    if (tellsDuring(look, 'start')) downloads.ended(product.id);
    if (look <= refusals) throw new WorkflowExecutionAlreadyStartedError('', '', '');
    return 'done';
  };
  temporal.wait = async (isReached, ms) => {
    waits.push(ms);
    if (tellsDuring(look, 'wait')) downloads.ended(product.id);
    return isReached();
  };
  expect(await downloads.run('record', product)).toBe('done');
}

it('waits long for an end that nobody has told', async () => {
  await follow(3, () => false);
  expect(waits).toEqual([FOLLOW_MS, FOLLOW_MS, FOLLOW_MS]);
});

it('looks again soon, then less and less often, where the end was told before it came', async () => {
  await follow(6, (look, step) => look === 1 && step === 'wait');
  expect(waits).toEqual([FOLLOW_MS, 500, 2_000, 8_000, 32_000, 128_000]);
});

it('looks again soon where the end was told while its own start was refused', async () => {
  await follow(2, (look, step) => look === 2 && step === 'start');
  expect(waits).toEqual([FOLLOW_MS, 500]);
});
