import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Unit tests run from source beside the contract suites against real servers; then the built product as real processes.
// Most of these tests wait, for servers, timers and disks, so more files run at once than vitest would start by itself.
// What holds a clock or memory against a narrow limit, or counts what a killed process costs, runs last and by itself.
const SIDE_BY_SIDE = Math.max(3, availableParallelism());
const HEAVY_SIDE_BY_SIDE = Math.max(2, Math.floor(availableParallelism() / 2));

const measuring = {
  unit: ['load', 'limited', 'bandwidth'].map((name) => `test/unit/transfer/${name}.test.ts`),
  contract: ['test/contract/mirror.mongo-rate.test.ts'],
  e2e: ['test/faults/**/*.test.ts'],
};
// What must come is waited for; vitest's own second is less than a busy machine may take for it.
const common = { setupFiles: ['test/support/seeds.ts'], expect: { poll: { timeout: 10_000 } } };
// Some compile the engine first, for processes of their own. The timeouts find what hangs, not what a busy machine holds up.
const unit = { ...common, testTimeout: 60_000, hookTimeout: 60_000 };
const contract = { ...common, testTimeout: 60_000, hookTimeout: 120_000 };
const e2e = { ...common, testTimeout: 240_000, hookTimeout: 240_000 };
const alone = { sequence: { groupOrder: 2 }, maxWorkers: 1 };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...unit,
          name: 'unit',
          sequence: { groupOrder: 0 },
          maxWorkers: SIDE_BY_SIDE,
          include: ['test/unit/**/*.test.ts'],
          exclude: measuring.unit,
        },
      },
      {
        test: {
          ...contract,
          name: 'contract',
          sequence: { groupOrder: 0 },
          maxWorkers: SIDE_BY_SIDE,
          include: ['test/contract/**/*.test.ts'],
          exclude: measuring.contract,
        },
      },
      {
        test: {
          ...e2e,
          name: 'e2e',
          sequence: { groupOrder: 1 },
          maxWorkers: HEAVY_SIDE_BY_SIDE,
          include: ['test/{workflow,replay,e2e}/**/*.test.ts'],
        },
      },
      { test: { ...unit, ...alone, name: 'unit-alone', include: measuring.unit } },
      { test: { ...contract, ...alone, name: 'contract-alone', include: measuring.contract } },
      { test: { ...e2e, ...alone, name: 'e2e-alone', include: measuring.e2e } },
    ],
  },
});
