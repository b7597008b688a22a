// The transfer engine of a build (argv: its `dist`) in a process of its own, so that processor and memory can be told.
// Each message is a piece of work: `transfers` ({ source, directory }), how many `atOnce`, the account's `connections`,
// `limits`. `--unsynced`: nothing that it writes is flushed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, mode] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(join(dist, 'src/transfer', name)).href);
const { createConnectionSlots, createTransferEngine } = await load('index.js');
const { nodeFiles } = await load('files.js');

let flushes = 0;
const flush = (really) => {
  flushes++;
  return mode === '--unsynced' ? Promise.resolve() : really();
};
const files = {
  ...nodeFiles,
  async open(path, flags) {
    const file = await nodeFiles.open(path, flags);
    const datasync = file.datasync.bind(file);
    file.datasync = () => flush(datasync);
    return file;
  },
  syncDirectory: (path) => flush(() => nodeFiles.syncDirectory(path)),
};
const engine = createTransferEngine({ files });

process.on('message', (work) => {
  // A rejection ends the process, and its parent sees that.
  void run(work).then((answer) => process.send(answer));
});
process.once('disconnect', () => process.exit());

async function run({ transfers, atOnce = 1, connections = 1, limits = {} }) {
  const slots = createConnectionSlots(connections);
  const signal = new AbortController().signal;
  const left = transfers.values();
  const levels = [];
  const lane = async () => {
    for (const { source, directory } of left) {
      const { checksum } = await engine.transfer(complete(source), {
        directory,
        signal,
        slots,
        limits,
      });
      levels.push(checksum.level);
    }
  };
  flushes = 0;
  global.gc?.();
  const idle = rssMiB();
  let peak = idle;
  const watch = setInterval(() => (peak = Math.max(peak, rssMiB())), 20);
  const before = process.cpuUsage();
  const start = performance.now();
  await Promise.all(Array.from({ length: atOnce }, lane));
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  clearInterval(watch);
  const wrong = levels.filter((level) => level !== 'provider').length;
  if (wrong > 0) throw new Error(`${wrong} of ${levels.length} files were not proven`);
  return { seconds, cpuSeconds: (user + system) / 1e6, rssOverIdleMiB: peak - idle, flushes };
}

function complete({ headers = {}, ...source }) {
  return {
    headers: async () => headers,
    rejected: () => undefined,
    translate: () => null,
    ...source,
  };
}

function rssMiB() {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
}
