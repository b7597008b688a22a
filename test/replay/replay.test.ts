import { DeterminismViolationError } from '@temporalio/workflow';
import { Worker } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import { recordedHistories } from '../support/histories.js';
import { workflowBundle } from '../support/workflow-bench.js';

describe('F091 recorded histories', () => {
  const histories = recordedHistories();

  it('cover success, failure, cancellation, waiting and continuing as new', () => {
    const names = histories.map(([name]) => name).join(' ');
    for (const scenario of ['succeeded', 'failed', 'cancelled', 'throttled', 'continued'])
      expect(names).toContain(scenario);
  });

  it.each(histories)('%s replays on today’s code', async (_name, history) => {
    await Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, history);
  });

  it('a reordered workflow is caught', async () => {
    const [, history] = histories.find(([name]) => name.startsWith('search-download.succeeded'))!;
    const reordered = await workflowBundle('../support/reordered.workflow.ts');
    await expect(Worker.runReplayHistory({ workflowBundle: reordered }, history)).rejects.toThrow(
      DeterminismViolationError,
    );
  });
});

describe('the workflow bundle', () => {
  it('holds no zod: a bundle is evaluated anew for each workflow', async () => {
    expect((await workflowBundle()).code).not.toContain('node_modules/zod');
  });
});
