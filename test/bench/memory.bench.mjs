// What a large product costs a worker in memory: RSS while it is fetched, verified and published, over the idle worker's;
// once for a worker that has just started, whose first job also loads what every job needs, and once more for the same one.
//   npm run build && node test/bench/memory.bench.mjs [--runs 3] [--scale 1.8] [--minutes 15]
// A real worker process, Temporal and the SQLite mirror; the sandbox serves one product of about 2 GiB.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { bounded } from './lib/bounded.mjs';
import { printSpreads } from './lib/figures.mjs';
import { largestOf, startStack } from './lib/stack.mjs';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1.8' },
    minutes: { type: 'string', default: '15' },
  },
});

await bounded({ minutes: Number(values.minutes) }, async (tools) => {
  const stack = await startStack(tools, {
    backend: 'sqlite',
    sandbox: { scale: Number(values.scale), products: 60 },
  });
  const product = await largestOf(stack.sandbox);
  console.log(`one product of ${(product.sizeBytes / 2 ** 30).toFixed(2)} GiB`);
  const first = [];
  const second = [];
  for (let run = 0; run < Number(values.runs); run++) {
    await stack.worker.stop();
    await stack.worker.start();
    for (const job of [first, second]) {
      await sleep(8_000);
      const idle = rssMiB(stack.worker);
      job.push({ idle, peak: await peakOfOne(stack, product) });
    }
  }
  for (const [name, figures] of [
    ['its first job', first],
    ['its second job', second],
  ])
    printSpreads(`memory of a worker, ${name}, ${values.runs} runs`, [
      ['idle MiB', figures.map(({ idle }) => idle), 0],
      ['peak MiB', figures.map(({ peak }) => peak), 0],
      ['over idle MiB', figures.map(({ idle, peak }) => peak - idle), 0],
    ]);
});

async function peakOfOne(stack, product) {
  const { jobId } = await stack.submit({ products: [product.id], if_exists: 'replace' });
  for (let peak = 0; ; await sleep(50)) {
    peak = Math.max(peak, rssMiB(stack.worker));
    const { state, finished_at: finishedAt } = await stack.job(jobId);
    if (finishedAt && state !== 'succeeded') throw new Error(`The job has ${state}`);
    if (finishedAt) return peak;
  }
}

function rssMiB(worker) {
  return (
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${worker.pid()}/status`, 'utf8'))[1]) / 1024
  );
}
