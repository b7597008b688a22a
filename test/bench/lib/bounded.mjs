/** A measurement in a scratch folder and a time of its own: whatever happens, nothing of it is left running or lying. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/**
 * Runs `work({ scratch, signal, atEnd })`. The signal aborts when the work is over, after `minutes`, and on SIGINT and
 * SIGTERM: what was started with it ends. Functions given to `atEnd` are awaited then, last one first.
 */
export async function bounded({ minutes, dir = tmpdir() }, work) {
  const scratch = mkdtempSync(join(resolve(dir), 'nimbus-bench-'));
  const ending = new AbortController();
  const undo = [];
  const stopped = new Promise((_, reject) => {
    const stop = (why) => reject(new Error(`Stopped (${why}): what is above is incomplete`));
    setTimeout(stop, minutes * 60_000, `${minutes} minutes are up`).unref();
    for (const name of ['SIGINT', 'SIGTERM']) process.once(name, stop);
  });
  try {
    const tools = { scratch, signal: ending.signal, atEnd: (step) => undo.push(step) };
    await Promise.race([work(tools), stopped]);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    ending.abort();
    for (const step of undo.reverse()) await Promise.resolve(step()).catch(console.error);
    rmSync(scratch, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
  // Stopped half-way, the work may still wait for something.
  process.exit();
}
