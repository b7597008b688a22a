// Health of one container: `health.mjs api` asks the API whether it answers; `health.mjs worker` asks Temporal whether
// this very container has polled for work lately. Exit code 0 = healthy. Needs no key and changes nothing.
import { hostname } from 'node:os';
import { readConfig } from '../dist/src/config.js';
import { openClient } from '../dist/src/engine/connection.js';

const SILENT_MS = 150_000;
const WORKFLOW_QUEUE = 1;
const config = readConfig();

const checks = {
  async api() {
    const { ok, status } = await fetch(`http://127.0.0.1:${config.api.port}/v1/health/live`);
    if (!ok) throw new Error(`the API answers ${status}`);
  },

  async worker() {
    const { connection, namespace, call, close } = openClient(config.temporal.env);
    try {
      const { pollers } = await call(() =>
        connection.workflowService.describeTaskQueue({
          namespace,
          taskQueue: { name: config.temporal.taskQueue },
          taskQueueType: WORKFLOW_QUEUE,
        }),
      );
      // A worker's identity is <process id>@<host name>; a container's host name is its own.
      const own = pollers.find(({ identity }) => identity?.endsWith(`@${hostname()}`));
      const lastMs = Number(own?.lastAccessTime?.seconds ?? 0) * 1000;
      if (Date.now() - lastMs > SILENT_MS) throw new Error('Temporal has not heard of this worker');
    } finally {
      await close();
    }
  },
};

try {
  await checks[process.argv[2]]();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
