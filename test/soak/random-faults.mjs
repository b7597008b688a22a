// Many transfers at once from a server that does whatever a script drawn at random says, for as long as asked: no wrong
// file, no hang, no error without a name, no leak of sockets, descriptors, memory or files. Loopback only; stops by itself
// and prints one line of JSON at the end. Exit code 1 on any breach, with what is needed to play it again.
// Every other case goes over TLS, where there is an openssl to make a certificate.
//
//   node test/soak/random-faults.mjs [--minutes 5] [--seed <n>] [--at-once 16] [--case <n>] [--plain] [--dir <scratch>]
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { compileTransfer } from '../support/compiled-transfer.mjs';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    'at-once': { type: 'string', default: '16' },
    case: { type: 'string' },
    plain: { type: 'boolean', default: false },
    dir: { type: 'string', default: tmpdir() },
  },
});
const seed = Number(values.seed);
const only = values.case === undefined ? null : Number(values.case);
const atOnce = only === null ? Number(values['at-once']) : 1;
const endsAtMs = Date.now() + Number(values.minutes) * 60_000;

const LONGEST_ATTEMPT_MS = 60_000;
/** A loaded machine gets round to it late. */
const LONGEST_CLOSING_MS = 15_000;
const HONEST_CALLS = 3;
const SAMPLE_MS = 5_000;
const LIMITS = {
  connectMs: 500,
  headersMs: 500,
  idleMs: 500,
  floorMs: 500,
  floorBytesPerSecond: 1_000,
  blockBytes: 256 * 1024,
};
const KNOWN_NAMES = /^(journal|owner|verified|state|part\.[0-9a-f]+|disputed-\d+)$/;
/** What a long run may be above its middle, for allocators breathe. */
const MAX_RSS_GROWTH = 32 * 2 ** 20;
const MAX_HEAP_GROWTH = 8 * 2 ** 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');
const { blake3 } = createRequire(import.meta.url)('@napi-rs/blake-hash');
const compiled = await compileTransfer();
const { createConnectionSlots, createTransferEngine } = await import(compiled.entry);
const { drawCase, fileOf } = await compiled.load('test/support/fault-cases.ts');
const { openDescriptors, watchSockets } = await compiled.load('test/support/watched-process.ts');
const { certificateFor, hasOpenssl, trust } = await compiled.load('test/support/certificates.ts');
const { ERROR_CODES, isServiceError } = await compiled.load('src/jobs/error-codes.ts');

const breaches = [];
const tally = { cases: 0, attempts: 0, verified: 0, errors: {}, faults: 0, resumed: 0, bytes: 0 };
const samples = [];

function breach(what, index, extra = {}) {
  const found = { what, seed, case: index, ...extra };
  breaches.push(found);
  console.error(`BREACH ${what}; again with --seed ${seed} --case ${index}`);
  if (index !== null) console.error(JSON.stringify(drawCase(seed, index)));
  if (extra.error) console.error(extra.error);
}
process.on('unhandledRejection', (error) =>
  breach('a rejection that nobody handled', null, { error: error?.stack ?? String(error) }),
);

const identity = hasOpenssl && !values.plain ? certificateFor('IP:127.0.0.1') : null;
if (identity) trust(identity);
else console.error('no openssl: plain HTTP only');

const host = fork(fileURLToPath(new URL('fault-host.mjs', import.meta.url)));
host.send({
  modules: {
    server: compiled.urlOf('test/support/lying-server.ts'),
    faults: compiled.urlOf('test/support/faults.ts'),
    cases: compiled.urlOf('test/support/fault-cases.ts'),
  },
  seed,
  only,
  identity: identity && { key: String(identity.key), cert: String(identity.cert) },
});
const [{ urls }] = await once(host, 'message');
let asking = Promise.resolve();
/** One question at a time, so that answers need no number. */
function ask(question, index) {
  const answer = asking.then(() => {
    host.send({ ask: question, index });
    return once(host, 'message').then(([message]) => message);
  });
  asking = answer;
  return answer;
}

const root = mkdtempSync(join(values.dir, 'nimbus-soak-'));
const sockets = watchSockets();
const engine = createTransferEngine({ hashThreads: 2, backoff: { baseMs: 1, maxMs: 20 } });
console.error(`seed ${seed}, ${atOnce} at once, for ${values.minutes} min, in ${root}`);

let next = only ?? 0;
async function work() {
  do await runCase(next++);
  while (only === null && Date.now() < endsAtMs && breaches.length < 5);
}

async function runCase(index) {
  const one = drawCase(seed, index);
  const file = fileOf(one, index);
  const directory = join(root, String(index));
  const slots = createConnectionSlots(one.connections);
  const base = urls[index % urls.length];
  const address = new URL(base).host;
  let token = 0;
  const source = {
    key: `soak/${index}`,
    url: `${base}/${index}/file?signature=canary`,
    headers: async () => ({ authorization: `Bearer ${token}` }),
    rejected: () => void token++,
    trustedHosts: [address],
    plainHttpHosts: [address],
    expectedBytes: one.knowsLength ? one.size : null,
    checksums: one.checksums.map((algorithm) => ({ algorithm, value: digestOf(algorithm, file) })),
    fallbackName: 'asset.bin',
    translate: () => null,
    connections: one.connections,
  };
  let error = new Error('not tried');
  for (let attempt = 0, honest = 0; error && honest <= HONEST_CALLS; attempt++) {
    const { left } = await ask('left', index);
    if (left === 0) honest++;
    const stopsAfterMs = honest > 0 ? null : (one.stopsAfterMs[attempt] ?? null);
    const rivalAfterMs = attempt === 0 ? one.rivalAfterMs : null;
    error = await attemptOnce({
      index,
      source,
      slots,
      directory,
      file,
      stopsAfterMs,
      rivalAfterMs,
    });
    if (breaches.length > 0 && error?.isBreach) return;
  }
  if (error) breach('an honest server did not mend it', index, { error: error.stack });
  for (const name of await readdir(directory))
    if (!KNOWN_NAMES.test(name)) breach(`a file that nobody owns: ${name}`, index);
  await rm(directory, { recursive: true, force: true });
  const { peak, strayed, failures } = await ask('forget', index);
  if (peak > one.connections)
    breach(`${peak} connections where ${one.connections} are allowed`, index);
  if (strayed > 0) breach('a host that must not be asked was connected to', index);
  if (failures.length > 0) throw new Error(`The fault server itself failed: ${failures[0]}`);
  tally.cases++;
  tally.faults += one.faults.length;
}

/** Null when the file is there and exact; else the error that was thrown. */
async function attemptOnce({ index, source, slots, directory, file, stopsAfterMs, rivalAfterMs }) {
  const stop = new AbortController();
  const stopTimer =
    stopsAfterMs === null ? undefined : setTimeout(() => stop.abort(), stopsAfterMs);
  const transfer = () =>
    engine.transfer(source, { directory, signal: stop.signal, slots, limits: LIMITS });
  tally.attempts++;
  const first = transfer();
  let running = first;
  if (rivalAfterMs !== null) {
    const loser = first.catch((error) => judge(error, index));
    await new Promise((resolve) => setTimeout(resolve, rivalAfterMs));
    running = transfer();
    running.catch(() => undefined);
    await withinTime(loser, index);
  }
  try {
    const result = await withinTime(running, index);
    if (!result) return Object.assign(new Error('hangs'), { isBreach: true });
    const bytes = await readFile(result.path);
    if (!bytes.equals(file)) {
      breach('WRONG FILE', index, { bytes: bytes.length, level: result.checksum.level });
      return null;
    }
    for (const { algorithm, value } of result.digests)
      if (value !== digestOf(algorithm, bytes))
        breach(`a wrong ${algorithm} of a right file`, index);
    tally.verified++;
    tally.bytes += result.bytesFetched;
    if (result.resumedFrom > 0) tally.resumed++;
    return null;
  } catch (error) {
    judge(error, index);
    return error;
  } finally {
    clearTimeout(stopTimer);
  }
}

function judge(error, index) {
  const code = isServiceError(error) ? error.code : 'none';
  tally.errors[code] = (tally.errors[code] ?? 0) + 1;
  // nothing is wrong with the disk here
  if (/^Stor/.test(code)) breach(`${code}: ${error.message}`, index);
  if (!(code in ERROR_CODES) || code === 'Internal')
    breach('an error without a name', index, { error: error?.stack ?? String(error) });
  if (/canary/.test(`${error?.stack} ${JSON.stringify(error)}`))
    breach('a secret in an error', index, { error: error.stack });
}

async function withinTime(transfer, index) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve('late'), LONGEST_ATTEMPT_MS);
  });
  try {
    const outcome = await Promise.race([transfer, late]);
    if (outcome !== 'late') return outcome;
    breach('HANG', index);
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** Those that are still open on the server's side, once it has had time to see that ours are closed. */
async function serverConnections() {
  for (const endMs = Date.now() + LONGEST_CLOSING_MS; ;) {
    const { open } = await ask('left', 0);
    if (open === 0 || Date.now() > endMs) return open;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function digestOf(algorithm, bytes) {
  if (algorithm === 'blake3') return blake3(bytes).toString('hex');
  return createHash(algorithm).update(bytes).digest('hex');
}

function sample() {
  collectGarbage();
  const { rss, heapUsed, external } = process.memoryUsage();
  const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  samples.push({
    atMs: Date.now(),
    rss,
    heap: heapUsed + external,
    descriptors: openDescriptors().length,
    sockets: sockets.open(),
    timers,
  });
}

const before = { descriptors: openDescriptors().length };
const sampler = setInterval(sample, SAMPLE_MS);
await Promise.all(Array.from({ length: atOnce }, work));
clearInterval(sampler);
sample();

await engine.close();
const serverOpen = await serverConnections();
const left = {
  sockets: sockets.open(),
  serverConnections: serverOpen,
  descriptors: openDescriptors().filter((path) => path.startsWith(root)).length,
  descriptorsGrown: openDescriptors().length - before.descriptors,
  files: (await readdir(root)).length,
};
if (breaches.length === 0)
  for (const [name, count] of Object.entries(left))
    if (count > 0) breach(`left behind: ${count} ${name}`, null);
const memory = flatness();
host.disconnect();
await rm(root, { recursive: true, force: true });
await compiled.remove();
console.log(
  JSON.stringify({
    test: 'random-faults',
    seed,
    minutes: Number(values.minutes),
    ...tally,
    left,
    memory,
    breaches,
  }),
);
process.exit(breaches.length === 0 ? 0 : 1);

/** The last third of the run against its middle third, in MiB; what the first one does is warming up. */
function flatness() {
  const third = Math.floor(samples.length / 3);
  const mib = (bytes) => Math.round(bytes / 2 ** 18) / 4;
  const median = (part, key) => part.map((one) => one[key]).sort((a, b) => a - b)[part.length >> 1];
  const told = {};
  for (const key of ['rss', 'heap', 'descriptors', 'sockets', 'timers']) {
    const unit = key === 'rss' || key === 'heap' ? mib : (it) => it;
    told[key] = {
      peak: unit(Math.max(...samples.map((one) => one[key]))),
      ...(third > 1 && {
        middle: unit(median(samples.slice(third, 2 * third), key)),
        end: unit(median(samples.slice(-third), key)),
      }),
    };
  }
  const grows = (key, most) =>
    told[key].middle !== undefined && told[key].end - told[key].middle > most / 2 ** 20;
  if (grows('rss', MAX_RSS_GROWTH))
    breach('the process grows', null, { error: JSON.stringify(told.rss) });
  if (grows('heap', MAX_HEAP_GROWTH))
    breach('the heap grows', null, { error: JSON.stringify(told.heap) });
  return told;
}
