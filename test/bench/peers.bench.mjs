// Nimbus and its peers, downloading and verifying the same products side by side, against the goals of the issue. Drives
// the harness in ../shared/bench (its README says how a figure is taken) and reads what it recorded: throughput, ratio to
// `curl, then md5sum` round by round, CPU seconds and peak memory of the whole process. Run by hand after a build:
//
//   node test/bench/peers.bench.mjs [-n 3] [--peer <name>]… [--all-peers] [<work>…]     (default: every work)
//
// A work is a row of WORKS below or `faults`. `--peer` adds peers whose name contains it; the reference is always there.
// `--nimbus <command>` measures another command, with {urls} and {sums}; `--minutes` ends everything (default 120).
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', short: 'n', default: '3' },
    peer: { type: 'string', multiple: true, default: [] },
    'all-peers': { type: 'boolean', default: false },
    connections: { type: 'string', default: '4' },
    nimbus: { type: 'string' },
    minutes: { type: 'string', default: '120' },
    shared: { type: 'string', default: join(root, '../shared/bench') },
  },
});
const rounds = Number(options.rounds);
const home = process.env.BENCH_HOME || join(homedir(), '.cache/nimbus-bench');
const www = process.env.BENCH_WWW || '/dev/shm/nimbus-bench/www';

/** Goals are ratios to the reference of the same round, unless their name says otherwise. */
const WORKS = {
  big: { goals: { ratio: 1.25, cpu: 1.1, openssl: 0.85 } },
  'big-b3': { of: 'big', goals: { ratio: 2.2, cpu: 0.6 } },
  'big-tls': { goals: { ratio: 1.3 } },
  'big-tls-b3': { of: 'big-tls', goals: {} },
  small: { goals: { ratio: 1.5 } },
  'small-b3': { of: 'small', goals: {} },
  'small-tls': { goals: { ratio: 1.5 } },
  'small-tls-b3': { of: 'small-tls', goals: {} },
  quota: { goals: { ratio: 4.3, mbps: 0.97 * 80, refused: 0 } },
  'quota-small': { goals: { ratio: 1.27, refused: 0 } },
  'latency-small': { goals: { ratio: 1.85 } },
};
/** Of the whole process, engine and command together. */
const GOAL_RSS_MIB = 130;
/** Bytes sent for each byte of the product. */
const GOAL_SENT = [
  [/^(cut|stalls)/, 1.02],
  [/^killed/, 1.01],
];

const running = new Set();
let stopped = null;
const dest = join(home, `dl-peers-${process.pid}`);

const wanted = positionals.length > 0 ? positionals : [...Object.keys(WORKS), 'faults'];
const unknown = wanted.filter((name) => !(name in WORKS) && name !== 'faults');
const missing = whatIsMissing();
if (missing !== null) {
  console.error(missing);
  process.exitCode = 69;
} else if (unknown.length > 0 || !(rounds >= 1)) {
  console.error(`There is: ${[...Object.keys(WORKS), 'faults'].join(' ')}; -n takes 1 and more`);
  process.exitCode = 2;
} else await main();

function whatIsMissing() {
  const { shared } = options;
  if (!existsSync(join(shared, 'peers/peers.py')))
    return `The harness of the peers is not here (${shared}): nothing was measured. test/bench/transfer.bench.mjs needs none`;
  if (!existsSync(join(home, 'faulty')) || !existsSync(join(www, 'B3SUMS')))
    return `The harness is not set up: run ${join(shared, 'setup.sh')} once`;
  if (options.nimbus === undefined && !existsSync(join(root, 'dist/program/cli/main.js')))
    return 'Nimbus is not built: npm run build';
  return null;
}

async function main() {
  const startedHere = startUpstreams();
  const timer = setTimeout(() => stop('the time is up'), Number(options.minutes) * 60_000);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop(signal));
  const verdicts = [];
  try {
    for (const name of wanted) {
      if (stopped !== null) break;
      verdicts.push(name === 'faults' ? await faults() : await compare(name, WORKS[name]));
    }
  } finally {
    clearTimeout(timer);
    rmSync(dest, { recursive: true, force: true });
    if (startedHere) upstreams('stop');
  }
  console.log('\n## Goals\n');
  for (const { name, checks } of verdicts)
    for (const { ok, words } of checks) console.log(`${ok ? '✓' : '✗'} ${name}: ${words}`);
  if (stopped !== null) console.log(`\nStopped (${stopped}): what is above is incomplete.`);
  const isMet = verdicts.every(({ checks }) => checks.every(({ ok }) => ok));
  process.exitCode = stopped === null && isMet ? 0 : 1;
}

/** @returns whether they were down before */
function startUpstreams() {
  if (!upstreams('status').includes('down')) return false;
  upstreams('start');
  return true;
}

function upstreams(what) {
  // Output of daemons that stay must not keep this pipe open.
  const args = [join(options.shared, 'upstream/up.sh'), what];
  const stdio = ['ignore', what === 'status' ? 'pipe' : 'ignore', 'inherit'];
  return String(execFileSync('bash', args, { stdio }) ?? '');
}

// ---- throughput

async function compare(name, { of, goals }) {
  const work = of ?? name;
  const row = of ? 'nimbus, MD5 and BLAKE3 given' : 'nimbus';
  const peers = ['curl, then', 'curl --parallel', ...options.peer, row];
  const opensslRates = goals.openssl ? [opensslRate()] : [];
  const refused = countRefusals(row);
  const records = await harness('peers', {
    args: [
      ...['run', work, '-n', String(rounds), '--dest', dest],
      ...(options['all-peers'] ? [] : ['--peer', ...peers]),
    ],
    extra: `${row}=${nimbusCommand(of !== undefined)}`,
    onLine: refused.onLine,
  });
  while (goals.openssl && opensslRates.length < rounds && stopped === null)
    opensslRates.push(opensslRate());
  const byPeer = groupBy(records, ({ peer }) => peer);
  const reference = [...byPeer].find(([peer]) => /^curl\b.*, then/.test(peer))?.[1] ?? [];
  const rows = [...byPeer].map(([peer, runs]) => figuresOf(peer, runs, reference));
  print(name, rows);
  const own = rows.find(({ peer }) => peer === row);
  return { name, checks: judge(own, goals, opensslRates, refused.count()) };
}

function nimbusCommand(withBlake3) {
  const sums = withBlake3 ? '--sums {sums} --sums {sums}.b3' : '--sums {sums}';
  const program = `'${process.execPath}' '${join(root, 'bin/nimbus.mjs')}'`;
  const command =
    options.nimbus ??
    `${program} get --quiet --sums {sums} --out . --connections ${options.connections} {urls}`;
  return command.replace('--sums {sums}', sums);
}

function figuresOf(peer, runs, reference) {
  const good = runs.filter(({ rc }) => rc === 0);
  const inRound = new Map(reference.map((run) => [String(run.round), run]));
  const pairs = good.flatMap((run) => {
    const other = inRound.get(String(run.round));
    return other ? [[run, other]] : [];
  });
  return {
    peer,
    failed: runs.length - good.length,
    mbps: good.map((run) => run.mbps),
    ratio: pairs.map(([run, other]) => run.mbps / other.mbps),
    cpu: good.map((run) => run.cpu / (run.bytes / 1e9)),
    cpuRatio: pairs.map(([run, other]) => run.cpu / other.cpu),
    rss: good.map((run) => run.rss_mib),
  };
}

function print(name, rows) {
  const sorted = [...rows].sort((one, two) => median(two.mbps) - median(one.mbps));
  console.log(`\n## ${name}, ${rounds} rounds; minimum / median / maximum\n`);
  console.log('| peer | MB/s | × reference | client CPU s/GB | peak RSS MiB |');
  console.log('| --- | ---: | ---: | ---: | ---: |');
  for (const row of sorted) {
    const failed = row.failed > 0 ? ` (${row.failed} failed)` : '';
    console.log(
      `| ${row.peer}${failed} | ${spread(row.mbps, 0)} | ${spread(row.ratio, 2)} | ${spread(row.cpu, 2)} | ${spread(row.rss, 0)} |`,
    );
  }
}

function judge(own, goals, opensslRates, refusals) {
  if (!own || own.mbps.length === 0) return [{ ok: false, words: 'no run ended well' }];
  const atLeast = (what, found, goal) => ({
    ok: found >= goal,
    words: `${what} ${found.toFixed(2)}, goal ≥ ${goal}`,
  });
  const atMost = (what, found, goal) => ({
    ok: found <= goal,
    words: `${what} ${found.toFixed(2)}, goal ≤ ${goal}`,
  });
  const mbps = median(own.mbps);
  return [
    { ok: own.failed === 0, words: `${own.failed} runs failed` },
    ...(goals.ratio ? [atLeast('× reference', median(own.ratio), goals.ratio)] : []),
    ...(goals.mbps ? [atLeast('MB/s', mbps, goals.mbps)] : []),
    ...(goals.cpu ? [atMost("× the reference's CPU", median(own.cpuRatio), goals.cpu)] : []),
    ...(goals.openssl
      ? [atLeast('× openssl dgst -md5', mbps / median(opensslRates), goals.openssl)]
      : []),
    ...(goals.refused === undefined
      ? []
      : [atMost('connections refused', refusals, goals.refused)]),
    atMost('peak RSS MiB', Math.max(...own.rss), GOAL_RSS_MIB),
  ];
}

/** MB/s of one MD5 over the large product in memory. */
function opensslRate() {
  const path = join(www, 'product-2048.bin');
  const startMs = performance.now();
  execFileSync('openssl', ['dgst', '-md5', path]);
  return statSync(path).size / 1000 / (performance.now() - startMs);
}

/** What the quota's server turned away while our row ran; the harness says a line at the end of each run. */
function countRefusals(row) {
  const log = join(home, 'run/error.log');
  const now = () =>
    existsSync(log) ? readFileSync(log, 'latin1').split('limiting connections').length : 0;
  let seen = now();
  let own = 0;
  return {
    onLine(line) {
      const total = now();
      if (line.includes(` ${row}: `)) own += total - seen;
      seen = total;
    },
    count: () => own,
  };
}

// ---- faults

async function faults() {
  // The harness kills a peer half-way by what its name says of its connections.
  const row = Number(options.connections) >= 4 ? 'nimbus ×4' : 'nimbus';
  const chosen = options['all-peers'] ? [] : ['--peer', ...options.peer, row];
  const records = await harness('faults', {
    args: ['run', '-n', String(rounds), ...chosen],
    extra: `${row}=${nimbusCommand(false)}`,
  });
  rmSync(join(home, 'dl'), { recursive: true, force: true });
  console.log(`\n## faults, ${rounds} rounds; bytes sent ÷ size, seconds: medians\n`);
  console.log('| fault | peer | right | sent | seconds |\n| --- | --- | ---: | ---: | ---: |');
  const cases = groupBy(records, ({ peer, case: fault }) => `${fault} | ${peer}`);
  for (const [key, runs] of cases)
    console.log(
      `| ${key} | ${runs.filter(isRight).length} of ${runs.length} | ${spread(sentOf(runs), 3)} | ${median(runs.map(({ wall }) => wall)).toFixed(1)} |`,
    );
  const own = groupBy(
    records.filter(({ peer }) => peer === row),
    (record) => record.case,
  );
  const checks = [...own].flatMap(([fault, runs]) => {
    const goal = GOAL_SENT.find(([pattern]) => pattern.test(fault))?.[1];
    const sent = median(sentOf(runs));
    return [
      { ok: runs.every(isRight), words: `${fault}: right ${runs.filter(isRight).length} times` },
      ...(goal === undefined
        ? []
        : [{ ok: sent <= goal, words: `${fault}: sent ${sent.toFixed(3)} ×, goal ≤ ${goal}` }]),
    ];
  });
  return {
    name: 'faults',
    checks: checks.length > 0 ? checks : [{ ok: false, words: 'none ran' }],
  };
}

function isRight({ right, rc }) {
  return right && rc === 0;
}

function sentOf(runs) {
  return runs.map(({ sent }) => sent);
}

// ---- the harness

/** Runs one of its scripts and returns what it recorded meanwhile. */
async function harness(kind, { args, extra, onLine = () => {} }) {
  const results = join(home, 'results', `${kind}.jsonl`);
  const before = existsSync(results) ? statSync(results).size : 0;
  mkdirSync(dest, { recursive: true });
  const child = spawn('python3', ['-u', join(options.shared, 'peers', `${kind}.py`), ...args], {
    env: { ...process.env, BENCH_EXTRA: extra },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.add(child);
  for await (const line of createInterface({ input: child.stdout })) {
    onLine(line);
    console.error(line);
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  running.delete(child);
  if (child.exitCode !== 0 && stopped === null) throw new Error(`${kind}.py ended badly`);
  if (!existsSync(results)) return [];
  const recorded = readFileSync(results).subarray(before).toString('utf8').trim();
  return recorded === '' ? [] : recorded.split('\n').map((line) => JSON.parse(line));
}

/** Ends the harness and what it has started: each command of it is a session of its own. */
function stop(why) {
  stopped ??= why;
  for (const child of running)
    for (const pid of [child.pid, ...below(child.pid)])
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // ended meanwhile
      }
}

function below(pid) {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/);
    return children
      .filter(Boolean)
      .map(Number)
      .flatMap((child) => [child, ...below(child)]);
  } catch {
    return [];
  }
}

// ---- figures

function groupBy(list, keyOf) {
  const groups = new Map();
  for (const one of list) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return groups;
}

function median(values) {
  const sorted = [...values].sort((one, two) => one - two);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]
    : (sorted[middle - 1] + sorted[middle]) / 2;
}

function spread(values, digits) {
  if (values.length === 0) return '–';
  return [Math.min(...values), median(values), Math.max(...values)]
    .map((value) => value.toFixed(digits))
    .join(' / ');
}
