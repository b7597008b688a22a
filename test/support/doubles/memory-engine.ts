/** A JobEngine in memory: one workflow for each id, however often it is submitted. */
import { ServiceError } from '../../../src/jobs/error-codes.js';
import type { JobEngine } from '../../../src/engine/job-engine.js';
import type { JobHeader } from '../../../src/jobs/job.js';

export interface MemoryEngine extends JobEngine {
  readonly started: Map<string, JobHeader>;
  readonly ended: Set<string>;
  readonly cancelled: Set<string>;
  reachable: boolean;
  /** Called before each submit is decided; await in it to hold one back. */
  beforeSubmit: () => Promise<void>;
}

export function createMemoryEngine(): MemoryEngine {
  const assertReachable = (): void => {
    if (!engine.reachable)
      throw new ServiceError('EngineUnavailable', 'Temporal does not answer at 127.0.0.1:7233');
  };
  const engine: MemoryEngine = {
    started: new Map(),
    ended: new Set(),
    cancelled: new Set(),
    reachable: true,
    beforeSubmit: async () => {},
    async submit(header) {
      await engine.beforeSubmit();
      assertReachable();
      const winner = engine.started.get(header.job_id);
      if (winner) return { started: false, header: winner };
      engine.started.set(header.job_id, header);
      return { started: true, header };
    },
    async cancel(jobId) {
      assertReachable();
      if (!engine.started.has(jobId)) throw new ServiceError('NotFound', 'There is no such job');
      if (engine.ended.has(jobId)) return false;
      engine.cancelled.add(jobId);
      return true;
    },
    async findRunning(jobId) {
      assertReachable();
      return engine.ended.has(jobId) ? null : (engine.started.get(jobId) ?? null);
    },
    async ping() {
      assertReachable();
    },
    workflowUrl: (jobId) => `http://127.0.0.1:8233/namespaces/default/workflows/${jobId}`,
    async close() {},
  };
  return engine;
}
