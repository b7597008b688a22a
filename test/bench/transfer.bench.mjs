// One large file from a loopback server: the engine against `curl, then md5sum`, taking turns, and how much memory it
// costs over an idle process. Run by hand after a build, never by `npm test`:
//
//   node test/bench/transfer.bench.mjs [--gib 2] [--rounds 3] [--block-mib 4] [--dist dist] [--dir <scratch>]
//
// Quote the ratios: absolute figures drift with the machine.
import { execFileSync, fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    gib: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    'block-mib': { type: 'string', default: '4' },
    dist: { type: 'string', default: fileURLToPath(new URL('../../dist', import.meta.url)) },
    dir: { type: 'string', default: tmpdir() },
    role: { type: 'string', default: 'judge' },
  },
});
const size = Math.round(Number(options.gib) * 2 ** 30);
const CHUNK = 2 ** 20;

if (options.role === 'server') serve();
else if (options.role === 'engine') await runEngine();
else await judge();

/** The same megabyte over and over, with ranges. */
function serve() {
  const chunk = randomBytes(CHUNK);
  const hash = createHash('md5');
  for (let at = 0; at < size; at += CHUNK)
    hash.update(chunk.subarray(0, Math.min(CHUNK, size - at)));
  const server = createServer((request, response) => {
    let at = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(at > 0 ? 206 : 200, {
      'content-length': size - at,
      etag: '"bench"',
      ...(at > 0 && { 'content-range': `bytes ${at}-${size - 1}/${size}` }),
    });
    const more = () => {
      while (at < size) {
        const part = chunk.subarray(at % CHUNK, Math.min(CHUNK, (at % CHUNK) + size - at));
        at += part.length;
        if (!response.write(part)) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  });
  server.listen(0, '127.0.0.1', () =>
    process.send({ port: server.address().port, md5: hash.digest('hex') }),
  );
}

/** One transfer in a process of its own, so that memory can be told. */
async function runEngine() {
  const [{ port, md5, directory }] = await once(process, 'message');
  const entry = pathToFileURL(join(resolve(options.dist), 'src/transfer/index.js')).href;
  const { createTransferEngine } = await import(entry);
  const engine = createTransferEngine();
  global.gc?.();
  const rss = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
  const idle = rss();
  let peak = idle;
  const watch = setInterval(() => (peak = Math.max(peak, rss())), 20);
  const before = process.cpuUsage();
  const start = performance.now();
  const result = await engine.transfer(
    {
      key: 'bench',
      url: `http://127.0.0.1:${port}/`,
      headers: async () => ({}),
      rejected: () => undefined,
      trustedHosts: [],
      plainHttpHosts: [`127.0.0.1:${port}`],
      expectedBytes: size,
      checksums: [{ algorithm: 'md5', value: md5 }],
      fallbackName: 'bench',
      translate: () => null,
    },
    {
      directory,
      signal: new AbortController().signal,
      limits: { blockBytes: Number(options['block-mib']) * 2 ** 20 },
    },
  );
  const seconds = (performance.now() - start) / 1000;
  clearInterval(watch);
  const cpu = process.cpuUsage(before);
  await engine.close();
  process.send({
    seconds,
    cpuSecondsPerGb: (cpu.user + cpu.system) / 1e6 / (size / 1e9),
    rssOverIdleMiB: peak - idle,
    level: result.checksum.level,
  });
  process.disconnect();
}

async function child(role, message) {
  const process_ = fork(
    fileURLToPath(import.meta.url),
    [...process.argv.slice(2), '--role', role],
    {
      execArgv: ['--expose-gc'],
    },
  );
  if (message) process_.send(message);
  const [answer] = await once(process_, 'message');
  return { answer, process: process_ };
}

async function judge() {
  const scratch = mkdtempSync(join(resolve(options.dir), 'nimbus-bench-'));
  const { answer: upstream, process: server } = await child('server');
  const rows = { engine: [], curl: [] };
  try {
    for (let round = 0; round < Number(options.rounds); round++) {
      const directory = join(scratch, 'engine');
      const run = await child('engine', { ...upstream, directory });
      rows.engine.push(run.answer);
      rmSync(directory, { recursive: true, force: true });
      rows.curl.push({ seconds: curlThenMd5(upstream, join(scratch, 'curl')) });
      rmSync(join(scratch, 'curl'));
    }
    report(rows);
  } finally {
    server.kill();
    rmSync(scratch, { recursive: true, force: true });
  }
}

function curlThenMd5({ port, md5 }, path) {
  const start = performance.now();
  execFileSync('curl', ['-sS', '-o', path, `http://127.0.0.1:${port}/`]);
  const sum = execFileSync('md5sum', [path]).toString().split(' ')[0];
  if (sum !== md5) throw new Error('curl fetched other bytes');
  return (performance.now() - start) / 1000;
}

function report({ engine, curl }) {
  const spread = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const shown = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
    return shown.map((value) => value.toFixed(2)).join(' / ');
  };
  const ratios = engine.map(({ seconds }, round) => curl[round].seconds / seconds);
  console.log(
    `${options.gib} GiB, ${engine.length} rounds, block ${options['block-mib']} MiB; min / median / max`,
  );
  console.log(
    `engine MB/s                  ${spread(engine.map(({ seconds }) => size / 1e6 / seconds))}`,
  );
  console.log(
    `curl, then md5sum MB/s       ${spread(curl.map(({ seconds }) => size / 1e6 / seconds))}`,
  );
  console.log(`engine × curl, then md5sum   ${spread(ratios)}`);
  console.log(`engine CPU s/GB              ${spread(engine.map((run) => run.cpuSecondsPerGb))}`);
  console.log(`engine RSS over idle MiB     ${spread(engine.map((run) => run.rssOverIdleMiB))}`);
}
