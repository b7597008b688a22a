// Publishes one file into a bucket, as a process of its own that can be killed, and says how it went and what it took.
import { readFile } from 'node:fs/promises';

const { entry, store: options, transfer, path, key, replace } = JSON.parse(process.argv[2]);
const { createS3Store } = await import(entry);
const store = createS3Store(options);
await store.prepare();
const idleBytes = process.memoryUsage.rss();
const outcome = await store.publish(transfer, path, key, { replace }).then(
  (artifact) => ({ artifact }),
  ({ code, message }) => ({ code, message }),
);
// Not maxRSS: a process inherits that of the one that started it.
const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
const peakBytes = 1024 * Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? NaN);
process.stdout.write(JSON.stringify({ ...outcome, idleBytes, peakBytes }));
await store.close();
