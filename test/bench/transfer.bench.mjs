// What the engine's promises cost: the engine as it is, the same engine with nothing flushed to the disk, and `curl, then
// md5sum`, taking turns on the same work from a server in memory on loopback. Run by hand after a build, never by `npm test`:
//
//   node test/bench/transfer.bench.mjs [--rounds 5] [<work>…]           (default: every row of WORKS)
//
// `--digest blake3` announces what is cheap to verify, so that the disk counts for more; `--gib` sizes the large file;
// `--dir` is where files go (default: the temporary folder), `--dist` another build, `--minutes` ends everything (20).
// Quote the ratios: absolute figures drift with the machine. Goal: with fsync ÷ without ≥ 0.95.
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { compileTransfer } from '../support/compiled-transfer.mjs';
import { bounded } from './lib/bounded.mjs';
import { digestOf } from './lib/bytes.mjs';
import { printSpreads, takeTurns, timesAsFast } from './lib/figures.mjs';
import { startForked } from './lib/forked.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    gib: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    digest: { type: 'string', default: 'md5' },
    'block-mib': { type: 'string', default: '16' },
    dist: { type: 'string', default: fileURLToPath(new URL('../../dist', import.meta.url)) },
    dir: { type: 'string' },
    minutes: { type: 'string', default: '20' },
  },
});
const large = Math.round(Number(options.gib) * 2 ** 30);
const WORKS = {
  big: { secure: false, count: 1, bytes: large, atOnce: 1 },
  'big-tls': { secure: true, count: 1, bytes: large, atOnce: 1 },
  small: { secure: false, count: 64, bytes: 16 * 2 ** 20, atOnce: 4 },
  'small-tls': { secure: true, count: 64, bytes: 16 * 2 ** 20, atOnce: 4 },
};
const run = promisify(execFile);

const wanted = positionals.length > 0 ? positionals : Object.keys(WORKS);
const unknown = wanted.filter((name) => !(name in WORKS));
if (unknown.length > 0 || !['md5', 'blake3'].includes(options.digest)) {
  console.error(`There is: ${Object.keys(WORKS).join(' ')}; --digest md5 or blake3`);
  process.exitCode = 2;
} else await bounded({ minutes: Number(options.minutes), dir: options.dir }, main);

async function main(tools) {
  const certificate = join(tools.scratch, 'certificate');
  const identity = await makeIdentity();
  writeFileSync(certificate, identity.cert);
  const ports = {
    http: await serve(tools, undefined),
    https: await serve(tools, identity),
  };
  for (const name of wanted) {
    const work = WORKS[name];
    const scheme = work.secure ? 'https' : 'http';
    const host = `localhost:${ports[scheme]}`;
    const md5 = digestOf(work.bytes, 'md5');
    const digest = options.digest === 'md5' ? md5 : digestOf(work.bytes, options.digest);
    const urls = Array.from(
      { length: work.count },
      (_, number) => `${scheme}://${host}/${work.bytes}/${number}`,
    );
    await compare(name, { ...tools, ...work, host, md5, digest, urls, certificate });
  }
}

async function makeIdentity() {
  const compiled = await compileTransfer();
  try {
    const { certificateFor } = await compiled.load('test/support/certificates.ts');
    const { key, cert } = certificateFor('DNS:localhost');
    return { key: key.toString(), cert: cert.toString() };
  } finally {
    await compiled.remove();
  }
}

async function serve({ signal }, identity) {
  const server = startForked(new URL('lib/byte-server.mjs', import.meta.url), { signal });
  return (await server.ask({ identity })).port;
}

async function compare(name, work) {
  const bytes = work.count * work.bytes;
  const served = await wireSpeed(work);
  const rows = await takeTurns(Number(options.rounds), {
    engine: () => engineRun(work, []),
    unsynced: () => engineRun(work, ['--unsynced']),
    curl: () => curlRun(work),
  });
  const { engine, unsynced, curl } = rows;
  const mbps = (runs) => runs.map(({ seconds }) => bytes / 1e6 / seconds);
  printSpreads(`${name}, ${options.digest}, ${options.rounds} rounds`, [
    ['curl to /dev/null, once before, MB/s', [served], 0],
    ['engine, MB/s', mbps(engine), 0],
    ['engine without fsync, MB/s', mbps(unsynced), 0],
    ['curl, then md5sum, MB/s', mbps(curl), 0],
    ['**with fsync ÷ without**', timesAsFast(engine, unsynced), 3],
    ['engine × curl, then md5sum', timesAsFast(engine, curl), 2],
    ['flushes', engine.map(({ flushes }) => flushes), 0],
    ['engine CPU s/GB', engine.map(({ cpuSeconds }) => cpuSeconds / (bytes / 1e9)), 2],
    ['engine RSS over idle MiB', engine.map(({ rssOverIdleMiB }) => rssOverIdleMiB), 0],
  ]);
}

/** In a new process each time, for memory once taken is not given back. */
async function engineRun({ scratch, signal, certificate, ...work }, args) {
  const directory = join(scratch, 'engine');
  const engine = startForked(new URL('lib/engine-process.mjs', import.meta.url), {
    args: [resolve(options.dist), ...args],
    env: { NODE_EXTRA_CA_CERTS: certificate },
    execArgv: ['--expose-gc'],
    signal,
  });
  const answer = await engine.ask({
    transfers: work.urls.map((url, number) => ({
      source: sourceOf(url, work),
      directory: join(directory, String(number)),
    })),
    atOnce: work.atOnce,
    connections: 4,
    limits: { blockBytes: Number(options['block-mib']) * 2 ** 20 },
  });
  await engine.stop();
  rmSync(directory, { recursive: true });
  return answer;
}

function sourceOf(url, { host, bytes, digest, secure }) {
  return {
    key: url,
    url,
    trustedHosts: [host],
    plainHttpHosts: secure ? [] : [host],
    expectedBytes: bytes,
    checksums: [{ algorithm: options.digest, value: digest }],
    fallbackName: 'bench',
  };
}

async function curlRun({ scratch, signal, urls, atOnce, certificate, md5 }) {
  const directory = join(scratch, 'curl');
  mkdirSync(directory);
  const paths = urls.map((_, number) => join(directory, String(number)));
  const start = performance.now();
  await run('curl', curlArgs({ urls, paths, atOnce, certificate }), { signal });
  const { stdout } = await run('md5sum', paths, { signal });
  const seconds = (performance.now() - start) / 1000;
  if (
    stdout
      .trim()
      .split('\n')
      .some((line) => !line.startsWith(md5))
  )
    throw new Error('curl fetched other bytes');
  rmSync(directory, { recursive: true });
  return { seconds };
}

function curlArgs({ urls, paths, atOnce, certificate }) {
  const pairs = urls.flatMap((url, at) => ['-o', paths[at], url]);
  const parallel = atOnce > 1 ? ['--parallel', '--parallel-max', String(atOnce)] : [];
  return ['-sSf', '--noproxy', '*', '--cacert', certificate, ...parallel, ...pairs];
}

/** MB/s that the server can send: well above the engine, or it is the server that is measured. */
async function wireSpeed({ urls, certificate, signal }) {
  const paths = urls.map(() => '/dev/null');
  const args = curlArgs({ urls, paths, atOnce: 1, certificate });
  const { stdout } = await run('curl', ['-w', '%{size_download} %{time_total}\\n', ...args], {
    signal,
  });
  const sums = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  const total = (column) => sums.reduce((sum, line) => sum + line[column], 0);
  return total(0) / 1e6 / total(1);
}
