// What a page of the job list costs on a mirror of many jobs, at the top and deep down by cursor.
//   npm run build && node test/bench/mirror-list.bench.mjs [--jobs 1000000] [--runs 5] [--samples 200]
// A mongod of its own on loopback. Jobs are seeded in bulk as the documents that a submit stores; pages of 50 are then read
// through the mirror as the API reads them, total included. Goal: p95 ≤ 5 ms at the top, ≤ 1.5 × that at any depth.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MongoClient } from 'mongodb';
import { findMongod, mongodServer, mongodUri } from '../../dist/src/cli/local/mongod.js';
import { freePorts } from '../../dist/src/cli/local/ports.js';
import { supervise } from '../../dist/src/cli/local/supervised-process.js';
import { silentNotes } from '../../dist/src/cli/output/notes.js';
import { jobStates } from '../../dist/src/jobs/job.js';
import { initialSnapshot } from '../../dist/src/jobs/snapshot.js';
import { orderKey, toCursor } from '../../dist/src/mirror/listing.js';
import { createMongoMirror } from '../../dist/src/mirror/mongo/mongo-mirror.js';
import { encodeJob } from '../../dist/src/mirror/mongo/documents.js';

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '1000000' },
    runs: { type: 'string', default: '5' },
    samples: { type: 'string', default: '200' },
  },
});
const jobs = Number(values.jobs);
const runs = Number(values.runs);
const samples = Number(values.samples);
const CHUNK = 5_000;
const database = 'nimbus';
const sort = '-created_at';

const root = mkdtempSync(join(tmpdir(), 'nimbus-bench-'));
mkdirSync(join(root, 'mongo'));
const context = { env: process.env, notes: silentNotes, signal: new AbortController().signal };
const [port] = await freePorts(1);
const server = supervise(
  mongodServer({
    binary: await findMongod(context),
    dataDir: join(root, 'mongo'),
    logDir: root,
    port,
    env: process.env,
    restart: false,
  }),
  () => {},
);
try {
  await server.start();
  const mirror = createMongoMirror({ uri: mongodUri(port), database });
  await mirror.prepare();
  await seed();
  await measure(mirror);
  await mirror.close();
} finally {
  await server.stop();
  rmSync(root, { recursive: true, force: true });
}

/** Ids and times are functions of the index, so that a cursor can be made for any depth. */
function jobAt(index) {
  const hex = (Math.imul(index, 2654435761) >>> 0).toString(16).padStart(8, '0');
  const job_id = `${hex}-0000-4000-8000-${index.toString(16).padStart(12, '0')}`;
  return { job_id, created_at: new Date(Date.UTC(2024, 0, 1) + index * 1_000).toISOString() };
}

function documentAt(index) {
  const header = {
    ...jobAt(index),
    job_type: 'search_download',
    request: {
      job_type: 'search_download',
      provider: index % 10 ? 'copernicus' : 'usgs',
      collection: index % 3 ? 'SENTINEL-2' : 'SENTINEL-1',
      product_type: 'S2MSI2A',
      start_date: '2025-01-01',
      end_date: '2025-01-03',
      aoi: { wkt: 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))' },
      order: 'newest',
      on_error: 'continue',
      if_exists: 'verify',
      priority: 'normal',
      labels: { field: `parcel ${index}` },
    },
    request_hash: '0'.repeat(64),
    retry_of: null,
    recipe_id: null,
  };
  const updated_at = new Date(Date.parse(header.created_at) + ((index * 7919) % 86_400_000));
  const snapshot = {
    ...initialSnapshot(header.created_at),
    version: 9,
    state: index % 20 ? 'succeeded' : jobStates[(index / 20) % jobStates.length],
    updated_at: updated_at.toISOString(),
  };
  return { ...encodeJob(header, snapshot), live: {}, reports: 0 };
}

async function seed() {
  const client = new MongoClient(mongodUri(port));
  await client.connect();
  const collection = client.db(database).collection('jobs');
  const startMs = performance.now();
  for (let from = 0; from < jobs; from += CHUNK) {
    const count = Math.min(CHUNK, jobs - from);
    const documents = Array.from({ length: count }, (_, offset) => documentAt(from + offset));
    await collection.insertMany(documents, { ordered: false, writeConcern: { w: 1 } });
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const { storageSize, totalIndexSize } = await client.db(database).command({ collStats: 'jobs' });
  console.log(
    `${jobs} jobs seeded in ${seconds.toFixed(0)} s; data ${mebibytes(storageSize)}, indexes ${mebibytes(totalIndexSize)}`,
  );
  await client.close();
}

function casesOf(mirror) {
  const page = (changes) => () =>
    mirror.listJobs({ filter: {}, sort, pageSize: 50, page: 1, ...changes });
  const deep = (depth, filter = {}) => {
    const { job_id, created_at } = jobAt(jobs - depth);
    return page({ filter, cursor: toCursor(orderKey(created_at, job_id), filter, sort) });
  };
  const depths = [1_000, 100_000, 500_000].filter((depth) => depth < jobs);
  const failed = { states: ['failed'] };
  return [
    ['first page', page({})],
    ...depths.map((depth) => [`${depth} deep, by cursor`, deep(depth)]),
    ['first page, state=failed', page({ filter: failed })],
    ['half-way down, state=failed', deep(Math.floor(jobs / 2), failed)],
    ['first page, state=failed or running', page({ filter: { states: ['failed', 'running'] } })],
  ];
}

/** Cases take turns, so that a disturbance of the machine touches all of them. */
async function measure(mirror) {
  const cases = casesOf(mirror);
  const p50 = cases.map(() => []);
  const p95 = cases.map(() => []);
  for (let run = -1; run < runs; run++) {
    const times = cases.map(() => []);
    for (let sample = 0; sample < samples; sample++)
      for (const [index, [, read]] of cases.entries()) {
        const startMs = performance.now();
        await read();
        times[index].push(performance.now() - startMs);
      }
    if (run < 0) continue; // the first warms up
    for (const [index, list] of times.entries()) {
      list.sort((a, b) => a - b);
      p50[index].push(list[Math.floor(list.length * 0.5)]);
      p95[index].push(list[Math.floor(list.length * 0.95)]);
    }
  }
  console.log(
    `pages of 50, ${runs} runs of ${samples} samples; ms as min / median / max of the runs`,
  );
  console.table(
    Object.fromEntries(
      cases.map(([name], index) => [name, { p50: spread(p50[index]), p95: spread(p95[index]) }]),
    ),
  );
  const ratios = cases
    .map(([name], index) => ({ name, ratio: middle(p95[index]) / middle(p95[0]) }))
    .filter(({ name }) => name.endsWith('by cursor'));
  for (const { name, ratio } of ratios)
    console.log(`${name}: p95 is ${ratio.toFixed(2)} × first page`);
}

function middle(list) {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
}

function spread(list) {
  return [Math.min(...list), middle(list), Math.max(...list)]
    .map((ms) => ms.toFixed(2))
    .join(' / ');
}

function mebibytes(bytes) {
  return `${Math.round(bytes / 1024 ** 2)} MiB`;
}
