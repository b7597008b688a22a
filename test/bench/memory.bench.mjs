// What a large product costs a worker in memory: RSS while it is fetched, verified and published, over the idle worker's.
//   npm run build && node test/bench/memory.bench.mjs [--runs 3]
// A real worker process, Temporal and the SQLite mirror; the sandbox serves one product at its real size (about 1.1 GB, or
// more with --scale).
import { readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createSandbox } from '../../dist/src/sandbox/sandbox.js';
import { findTemporal, temporalServer } from '../../dist/src/cli/local/temporal-server.js';
import { freePorts } from '../../dist/src/cli/local/ports.js';
import { supervise } from '../../dist/src/cli/local/supervised-process.js';
import { silentNotes } from '../../dist/src/cli/output/notes.js';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, scale: { type: 'string', default: '1.8' } },
});
const root = mkdtempSync(join(tmpdir(), 'nimbus-memory-'));
const context = { env: process.env, notes: silentNotes, signal: new AbortController().signal };
const [grpc, ui, http, metrics, apiPort] = await freePorts(5);
const sandbox = await createSandbox({ scale: Number(values.scale), products: 60 });
const env = {
  ...process.env,
  NIMBUS_API_PORT: String(apiPort),
  NIMBUS_DATA_DIR: join(root, 'data'),
  NIMBUS_DB_BACKEND: 'sqlite',
  NIMBUS_COPERNICUS_BASE_URL: sandbox.baseUrl,
  NIMBUS_COPERNICUS_DOWNLOAD_URL: sandbox.downloadUrl,
  NIMBUS_COPERNICUS_TOKEN_URL: sandbox.tokenUrl,
  NIMBUS_COPERNICUS_USERNAME: sandbox.username,
  NIMBUS_COPERNICUS_PASSWORD: sandbox.password,
  TEMPORAL_ADDRESS: `127.0.0.1:${grpc}`,
};
const api = `http://127.0.0.1:${apiPort}`;
const ready = async () =>
  fetch(`${api}/v1/health/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
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
const binary = await findTemporal(context);
const temporal = supervise(
  temporalServer({
    binary,
    dataDir: root,
    logDir: root,
    env: process.env,
    restart: false,
    ports: { grpc, ui, http, metrics },
  }),
  () => {},
);
const worker = nimbus('worker', async () => true);
const parts = [temporal, nimbus('api', ready), worker];

const rssMiB = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${worker.pid()}/status`, 'utf8'))[1]) / 1024;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function fetchOne(request) {
  const body = JSON.stringify({
    provider: 'copernicus',
    collection: 'SENTINEL-2',
    if_exists: 'replace',
    ...request,
  });
  const { job_id } = await (
    await fetch(`${api}/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
  ).json();
  let peak = 0;
  for (;;) {
    peak = Math.max(peak, rssMiB());
    const job = await (await fetch(`${api}/v1/jobs/${job_id}`)).json();
    if (job.finished_at) return { job, peak };
    await sleep(50);
  }
}

try {
  for (const part of parts) await part.start();
  const [product] = (
    await sandbox.products({ filter: "Collection/Name eq 'SENTINEL-2' and Online eq true" })
  ).sort((a, b) => b.sizeBytes - a.sizeBytes);
  console.log(`one product of ${(product.sizeBytes / 2 ** 30).toFixed(2)} GiB`);
  // The first listing makes the sandbox compute its digests.
  await fetchOne({ products: [product.id] });
  console.log(
    '| run | idle MiB | peak MiB | over idle MiB | state |\n| ---: | ---: | ---: | ---: | --- |',
  );
  for (let run = 1; run <= Number(values.runs); run++) {
    await worker.stop();
    await worker.start();
    await sleep(8_000);
    const idle = rssMiB();
    const { job, peak } = await fetchOne({ products: [product.id] });
    console.log(
      `| ${run} | ${idle.toFixed(0)} | ${peak.toFixed(0)} | ${(peak - idle).toFixed(0)} | ${job.state} |`,
    );
  }
} finally {
  for (const part of parts.reverse()) await part.stop();
  await sandbox.close();
  rmSync(root, { recursive: true, force: true });
}
