// What the whole product costs over the engine alone: a job of one product of about 2 GiB, from its POST to `succeeded` with
// the verified file under its name, against the engine in a process of its own that fetches the same address from the same
// sandbox, with a token of the same account, into a folder on the same disk. They take turns.
//   npm run build && node test/bench/product.bench.mjs [--announce md5] [--rounds 5] [--scale 1.8] [--dir <scratch>] [--minutes 15]
// A real worker process, Temporal, the SQLite mirror and the API. Both sides are warm: worker and engine live through all
// rounds, and one run of each comes before them. Both verify MD5, as the other benchmarks do; with `--announce md5,blake3`, as
// Copernicus announces them, the cheaper. Goal: engine alone ÷ product ≥ 0.95 in time.
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { downloadWorkflowId } from '../../dist/src/jobs/ids.js';
import { bounded } from './lib/bounded.mjs';
import { printSpreads, takeTurns, timesAsFast } from './lib/figures.mjs';
import { startForked } from './lib/forked.mjs';
import { largestOf, startStack } from './lib/stack.mjs';

const { values: options } = parseArgs({
  options: {
    announce: { type: 'string', default: 'md5' },
    rounds: { type: 'string', default: '5' },
    scale: { type: 'string', default: '1.8' },
    dir: { type: 'string' },
    minutes: { type: 'string', default: '15' },
  },
});
const announced = options.announce.split(',');
/** Of the account, for both. */
const CONNECTIONS = 4;
/** A sandbox that is not this fast is part of what is measured. */
const ENOUGH_MBPS = 1000;
const run = promisify(execFile);

await bounded({ minutes: Number(options.minutes), dir: options.dir }, async (tools) => {
  const stack = await startStack(tools, {
    backend: 'sqlite',
    sandbox: { scale: Number(options.scale), products: 60, connections: CONNECTIONS },
    env: { NIMBUS_PROVIDER_LIMITS: `copernicus=${CONNECTIONS}`, NIMBUS_LOG_LEVEL: 'warn' },
  });
  const engine = startForked(new URL('lib/engine-process.mjs', import.meta.url), {
    args: [fileURLToPath(new URL('../../dist', import.meta.url))],
    execArgv: ['--expose-gc'],
    signal: tools.signal,
  });
  const product = await largestOf(stack.sandbox);
  stack.sandbox.amend(product.id, { Checksum: announced.map((name) => checksumOf(product, name)) });
  console.log(
    `one product of ${(product.sizeBytes / 2 ** 30).toFixed(2)} GiB, ${announced} announced`,
  );
  const contestants = {
    product: () => productRun(stack, product, tools.signal),
    engine: () => engineRun(engine, stack, product, join(tools.scratch, 'alone'), tools.signal),
  };
  await takeTurns(1, contestants);
  const served = await wireSpeed(stack.sandbox, product, tools.signal);
  report(product, served, await takeTurns(Number(options.rounds), contestants));
});

/** Once its time is taken the file is read again and removed: what replacing one costs is no part of a first download. */
async function productRun(stack, product, signal) {
  const { jobId, submittedMs } = await stack.submit({
    products: [product.id],
    if_exists: 'replace',
  });
  const state = await stack.shownEnded(jobId);
  const seconds = (Date.now() - submittedMs) / 1000;
  await stack.ended(jobId);
  if (state !== 'succeeded') throw new Error(`The job has ${state}`);
  const { paths, checksums } = await stack.result(jobId);
  const { algorithm, value, level } = checksums[paths[0]];
  const path = join(stack.dataDir, paths[0]);
  if (paths.length !== 1 || level !== 'provider' || product[algorithm] !== value)
    throw new Error('The job has other files, or has not proven this one');
  await readAndRemove(path, product, signal);
  const first = await stack.activityTimes(jobId);
  const fetching = await stack.activityTimes(
    downloadWorkflowId('copernicus', product.id),
    'fetchProduct',
  );
  return {
    seconds,
    fromFirstActivity: seconds - (first.startedMs - submittedMs) / 1000,
    beforeFetch: (fetching.startedMs - submittedMs) / 1000,
    fetching: (fetching.endedMs - fetching.startedMs) / 1000,
    afterFetch: seconds - (fetching.endedMs - submittedMs) / 1000,
  };
}

async function engineRun(engine, { sandbox }, product, directory, signal) {
  const { host } = new URL(sandbox.downloadUrl);
  const source = {
    key: `copernicus/${product.id}`,
    url: addressOf(sandbox, product),
    headers: { authorization: `Bearer ${await tokenOf(sandbox)}` },
    trustedHosts: [host],
    plainHttpHosts: [host],
    expectedBytes: product.sizeBytes,
    checksums: announced.map((algorithm) => ({ algorithm, value: product[algorithm] })),
    fallbackName: 'alone',
  };
  const answer = await engine.ask({
    transfers: [{ source, directory }],
    connections: CONNECTIONS,
  });
  await readAndRemove(join(directory, 'verified'), product, signal);
  rmSync(directory, { recursive: true });
  return answer;
}

/** Of both sides alike: what a file leaves in memory is felt by whoever is next. */
async function readAndRemove(path, { md5 }, signal) {
  const { stdout } = await run('md5sum', [path], { signal });
  if (!stdout.includes(md5)) throw new Error('The file is not the product');
  rmSync(path);
}

/** As the catalogue writes it. */
function checksumOf(product, algorithm) {
  const checkedAt = new Date().toISOString();
  return { Value: product[algorithm], Algorithm: algorithm.toUpperCase(), ChecksumDate: checkedAt };
}

function addressOf({ downloadUrl }, { id }) {
  return `${downloadUrl}/odata/v1/Products(${id})/$value`;
}

async function tokenOf({ tokenUrl, username, password }) {
  const body = { grant_type: 'password', client_id: 'cdse-public', username, password };
  const answer = await fetch(tokenUrl, { method: 'POST', body: new URLSearchParams(body) });
  return (await answer.json()).access_token;
}

/** MB/s that curl gets from the sandbox when it throws everything away; the best of three. */
async function wireSpeed(sandbox, product, signal) {
  const headers = ['-H', `authorization: Bearer ${await tokenOf(sandbox)}`];
  const rest = ['-o', '/dev/null', '-w', '%{speed_download}', addressOf(sandbox, product)];
  const speeds = [];
  for (let turn = 0; turn < 3; turn++) {
    const { stdout } = await run('curl', ['-sSf', '--noproxy', '*', ...headers, ...rest], {
      signal,
    });
    speeds.push(Number(stdout) / 1e6);
  }
  return Math.max(...speeds);
}

function report({ sizeBytes }, served, { product, engine }) {
  const mbps = (runs) => runs.map(({ seconds }) => sizeBytes / 1e6 / seconds);
  const later = product.map(({ fromFirstActivity: seconds }) => ({ seconds }));
  printSpreads(`job to verified file, ${product.length} rounds`, [
    ['curl to /dev/null, the best of three, MB/s', [served], 0],
    ['product, from the POST, MB/s', mbps(product), 0],
    ['engine alone, MB/s', mbps(engine), 0],
    [
      '**product × engine alone, from the POST (this is compared)**',
      timesAsFast(product, engine),
      3,
    ],
    ['product × engine alone, from the first activity', timesAsFast(later, engine), 3],
    ['POST to the start of the fetch, s', product.map((one) => one.beforeFetch), 3],
    ['the fetch: transfer, verify, publish, s', product.map((one) => one.fetching), 3],
    ['the engine alone, s', engine.map((one) => one.seconds), 3],
    ['end of the fetch to `succeeded`, s', product.map((one) => one.afterFetch), 3],
  ]);
  if (served < ENOUGH_MBPS)
    console.log(
      `\nThe sandbox sends less than ${ENOUGH_MBPS} MB/s: both sides wait for it, so what the product adds weighs less than it would\nbehind a faster server. The seconds before and after the fetch hold all the same.`,
    );
}
