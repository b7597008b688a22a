// How long a user waits: submit → first activity with 1 and 8 in flight, and jobs accepted a second.
//   npm run build && node test/bench/latency.bench.mjs [--runs 3] [--jobs 40] [--minutes 15]
// Real processes on loopback: Temporal with the flags of the local stack, mongod, API, worker, sandbox. A request that
// matches nothing, so that what is measured is the engine. Times are read from Temporal's own history events.
import { parseArgs } from 'node:util';
import { bounded } from './lib/bounded.mjs';
import { median, printSpreads } from './lib/figures.mjs';
import { startStack } from './lib/stack.mjs';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '40' },
    minutes: { type: 'string', default: '15' },
  },
});
const runs = Number(values.runs);
const jobs = Number(values.jobs);

await bounded({ minutes: Number(values.minutes) }, async (tools) => {
  const stack = await startStack(tools, {
    backend: 'mongodb',
    sandbox: { scale: 0.0005, products: 200 },
    env: { NIMBUS_LOG_LEVEL: 'warn' },
  });
  await inFlight(20, 4, (index) => submitAndWait(stack, index));
  const rows = [];
  for (const width of [1, 8]) {
    const medians = [];
    for (let run = 0; run < runs; run++) {
      const taken = await inFlight(jobs, width, (index) => submitAndWait(stack, index));
      medians.push(median(await Promise.all(taken.map((one) => firstActivityMs(stack, one)))));
    }
    rows.push([`submit → first activity, p50 ms, ${width} in flight`, medians, 1]);
  }
  const rates = [];
  for (let run = 0; run < runs; run++) rates.push(await acceptedRate(stack));
  rows.push(['jobs accepted a second, 32 in flight', rates, 1]);
  printSpreads(`the engine's latency, ${runs} runs`, rows);
});

function request(index) {
  return {
    product_type: 'S2MSI2A',
    start_date: '1999-01-01',
    end_date: '1999-01-02',
    aoi: { wkt: 'POINT(0 0)' },
    labels: { n: String(index) },
  };
}

async function submitAndWait(stack, index) {
  const submitted = await stack.submit(request(index));
  await stack.ended(submitted.jobId);
  return submitted;
}

async function firstActivityMs(stack, { jobId, submittedMs }) {
  return (await stack.activityTimes(jobId)).startedMs - submittedMs;
}

async function acceptedRate(stack) {
  const startedMs = Date.now();
  const accepted = await inFlight(600, 32, (index) => stack.submit(request(index)));
  const lastMs = Math.max(...accepted.map(({ acceptedMs }) => acceptedMs));
  for (const { jobId } of accepted) await stack.ended(jobId);
  return (accepted.length * 1000) / (lastMs - startedMs);
}

async function inFlight(count, width, work) {
  const results = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) results.push(await work(next++));
    }),
  );
  return results;
}
