// Runs many transfers in a process of its own, so that its memory, its descriptors and its event loop can be measured.
// Told by its parent over IPC; a transfer that ends with an error that may pass is called again, a few times.
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

process.once('message', async ({ entry, sources, options, hashThreads = 2 }) => {
  const { createConnectionSlots, createTransferEngine } = await import(entry);
  const engine = createTransferEngine({ hashThreads, backoff: { baseMs: 1, maxMs: 20 } });
  const errors = {};
  // among them: handles that only the garbage collector closes
  const warnings = [];
  process.on('warning', ({ message }) => warnings.push(message));
  const callsOf = { most: 0 };

  async function runOne({ directory, ...source }) {
    for (let calls = 1; ; calls++) {
      callsOf.most = Math.max(callsOf.most, calls);
      try {
        return await engine.transfer(
          {
            headers: async () => ({}),
            rejected: () => undefined,
            translate: () => null,
            ...source,
          },
          {
            ...options,
            directory,
            signal: new AbortController().signal,
            slots: createConnectionSlots(source.connections ?? 1),
          },
        );
      } catch (error) {
        errors[error.code] = (errors[error.code] ?? 0) + 1;
        const mayPass = ['StoreUnavailable', 'SourceUnavailable'].includes(error.code);
        if (!mayPass || calls === 100) return { failed: error.code, message: error.message };
        await new Promise((resolve) => setTimeout(resolve, 20 + 80 * Math.random()));
      }
    }
  }

  // threads and code are there before anything is measured
  const [first, ...rest] = sources;
  const results = [await runOne(first)];
  collectGarbage();
  const idleRss = rss();
  let peakRss = idleRss;
  const watch = setInterval(() => (peakRss = Math.max(peakRss, rss())), 20);
  const delays = monitorEventLoopDelay({ resolution: 5 });
  delays.enable();
  const before = performance.eventLoopUtilization();
  const startMs = performance.now();
  results.push(...(await Promise.all(rest.map(runOne))));
  const elapsedMs = performance.now() - startMs;
  const { active } = performance.eventLoopUtilization(before);
  delays.disable();
  clearInterval(watch);
  await engine.close();
  collectGarbage();
  await new Promise((resolve) => setTimeout(resolve, 50));
  process.send(
    {
      results,
      errors,
      warnings,
      mostCalls: callsOf.most,
      idleRss,
      peakRss,
      elapsedMs,
      activeMs: active,
      delayMs: { max: delays.max / 1e6, p99: delays.percentile(99) / 1e6 },
    },
    () => process.disconnect(),
  );
});

/** Bytes of memory that are really in use; 0 where that cannot be told, as without a descriptor to spare. */
function rss() {
  try {
    const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'));
    return Number(kib) * 1024;
  } catch {
    return 0;
  }
}
