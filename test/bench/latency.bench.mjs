// How long a user waits: submit → first activity with 1 and 8 in flight, and jobs accepted a second.
//   npm run build && node test/bench/latency.bench.mjs [--runs 3] [--jobs 40]
// Real processes on loopback: Temporal with the flags of the local stack, mongod, API, worker, sandbox. A request that
// matches nothing, so that what is measured is the engine. Times are read from Temporal's own history events.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openClient } from '../../dist/src/engine/connection.js';
import { createSandbox } from '../../dist/src/sandbox/sandbox.js';
import { findMongod, mongodServer, mongodUri } from '../../dist/src/cli/local/mongod.js';
import { findTemporal, temporalServer } from '../../dist/src/cli/local/temporal-server.js';
import { freePorts } from '../../dist/src/cli/local/ports.js';
import { supervise } from '../../dist/src/cli/local/supervised-process.js';
import { silentNotes } from '../../dist/src/cli/output/notes.js';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, jobs: { type: 'string', default: '40' } },
});
const runs = Number(values.runs);
const jobs = Number(values.jobs);

const root = mkdtempSync(join(tmpdir(), 'nimbus-bench-'));
mkdirSync(join(root, 'mongo'));
const context = { env: process.env, notes: silentNotes, signal: new AbortController().signal };
const [grpc, ui, http, metrics, mongo, apiPort] = await freePorts(6);
const common = { logDir: root, env: process.env, restart: false };
const sandbox = await createSandbox({ scale: 0.0005, products: 200 });
const env = {
  ...process.env,
  NIMBUS_API_PORT: String(apiPort),
  NIMBUS_DATA_DIR: join(root, 'data'),
  NIMBUS_MONGODB_URI: mongodUri(mongo),
  NIMBUS_COPERNICUS_BASE_URL: sandbox.baseUrl,
  NIMBUS_COPERNICUS_DOWNLOAD_URL: sandbox.downloadUrl,
  NIMBUS_COPERNICUS_TOKEN_URL: sandbox.tokenUrl,
  NIMBUS_COPERNICUS_USERNAME: sandbox.username,
  NIMBUS_COPERNICUS_PASSWORD: sandbox.password,
  NIMBUS_LOG_LEVEL: 'warn',
  TEMPORAL_ADDRESS: `127.0.0.1:${grpc}`,
};
const api = `http://127.0.0.1:${apiPort}`;
const ready = (path) => async () => {
  try {
    return (await fetch(api + path)).ok;
  } catch {
    return false;
  }
};
const nimbus = (command, isReady) =>
  supervise(
    {
      name: command,
      command: process.execPath,
      args: ['bin/nimbus.mjs', command],
      env,
      logFile: join(root, `${command}.log`),
      graceMs: 10_000,
      isReady,
      readyTimeoutMs: 60_000,
      restart: false,
    },
    () => {},
  );
const parts = [
  supervise(
    temporalServer({
      ...common,
      binary: await findTemporal(context),
      dataDir: root,
      ports: { grpc, ui, http, metrics },
    }),
    () => {},
  ),
  supervise(
    mongodServer({
      ...common,
      binary: await findMongod(context),
      dataDir: join(root, 'mongo'),
      port: mongo,
    }),
    () => {},
  ),
  nimbus('api', ready('/v1/health/ready')),
  nimbus('worker', async () => true),
];

const request = (index) => ({
  provider: 'copernicus',
  collection: 'SENTINEL-2',
  product_type: 'S2MSI2A',
  start_date: '1999-01-01',
  end_date: '1999-01-02',
  aoi: { wkt: 'POINT(0 0)' },
  labels: { n: String(index) },
});

async function submit(index) {
  const startedMs = Date.now();
  const response = await fetch(`${api}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request(index)),
  });
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
  return { startedMs, acceptedMs: Date.now(), jobId: (await response.json()).job_id };
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

/** Waits without asking again and again, which would be a load of its own. */
const ended = (client, jobId) => client.workflow.getHandle(jobId).result();

const quantile = (values, q) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];

async function firstActivityMs(client, { jobId, startedMs }) {
  const { events } = await client.workflow.getHandle(jobId).fetchHistory();
  const started = events.find(
    ({ activityTaskStartedEventAttributes }) => activityTaskStartedEventAttributes,
  );
  const { seconds, nanos } = started.eventTime;
  return Number(seconds) * 1000 + nanos / 1e6 - startedMs;
}

try {
  for (const part of parts) await part.start();
  const { client, close } = openClient({ TEMPORAL_ADDRESS: env.TEMPORAL_ADDRESS });
  await inFlight(20, 4, async (index) => ended(client, (await submit(index)).jobId));
  console.log('| what | min | median | max | runs |\n| --- | ---: | ---: | ---: | ---: |');
  for (const width of [1, 8]) {
    const medians = [];
    for (let run = 0; run < runs; run++) {
      const taken = await inFlight(jobs, width, async (index) => {
        const submitted = await submit(index);
        await ended(client, submitted.jobId);
        return submitted;
      });
      medians.push(
        quantile(await Promise.all(taken.map((one) => firstActivityMs(client, one))), 0.5),
      );
    }
    row(`submit → first activity, p50 ms, ${width} in flight`, medians);
  }
  const rates = [];
  for (let run = 0; run < runs; run++) {
    const startedMs = Date.now();
    const accepted = await inFlight(600, 32, submit);
    rates.push(
      (accepted.length * 1000) /
        (Math.max(...accepted.map(({ acceptedMs }) => acceptedMs)) - startedMs),
    );
    for (const { jobId } of accepted) await ended(client, jobId);
  }
  row('jobs accepted a second, 32 in flight', rates);
  await close();
} finally {
  for (const part of parts.reverse()) await part.stop();
  await sandbox.close();
  rmSync(root, { recursive: true, force: true });
}

function row(what, values) {
  console.log(
    `| ${what} | ${quantile(values, 0).toFixed(1)} | ${quantile(values, 0.5).toFixed(1)} | ${Math.max(...values).toFixed(1)} | ${values.length} |`,
  );
}
