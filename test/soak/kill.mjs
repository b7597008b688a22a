// Transfers killed with `kill -9` at random bytes, again and again, on one connection and on several, from slow servers and
// fast ones, with an ETag and without: the file must be exact in the end, and the bytes served at most the file, one block
// for each kill, and what lay in the kernel's buffers between the server's write and the client's read, which no client
// can help. Those are counted: the process is stopped before it is killed, and the kernel asked for its queues (Linux).
// Loopback only; stops by itself and prints one line of JSON. Exit code 1 on any breach.
//
//   node test/soak/kill.mjs [--times 200] [--seed <n>] [--mib 24] [--block-kib 1024] [--kills-per-file 8] [--dir <scratch>]
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compileTransfer } from '../support/compiled-transfer.mjs';

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    mib: { type: 'string', default: '24' },
    'block-kib': { type: 'string', default: '1024' },
    'kills-per-file': { type: 'string', default: '8' },
    connections: { type: 'string' },
    dir: { type: 'string', default: tmpdir() },
  },
});
const times = Number(values.times);
const seed = Number(values.seed);
const size = Math.round(Number(values.mib) * 2 ** 20) + 12_345;
const blockBytes = Number(values['block-kib']) * 1024;
const killsPerFile = Number(values['kills-per-file']);
const LONGEST_RUN_MS = 120_000;

const compiled = await compileTransfer();
const { startLyingServer, honest } = await compiled.load('test/support/lying-server.ts');
const { randomBytesOf } = await compiled.load('test/support/fault-cases.ts');
const { seeded } = await compiled.load('test/support/faults.ts');
const { blake3 } = createRequire(import.meta.url)('@napi-rs/blake-hash');
const childPath = fileURLToPath(new URL('../support/transfer-child.mjs', import.meta.url));
const md5 = {
  algorithm: 'md5',
  of: (bytes) => createHash('md5').update(bytes).digest('hex'),
};
const blake = { algorithm: 'blake3', of: (bytes) => blake3(bytes).toString('hex') };
const random = seeded(seed);
const root = mkdtempSync(join(values.dir, 'nimbus-kill-'));
const breaches = [];
const lost = [];
const overServed = [];
let kills = 0;
let files = 0;
let totalServed = 0;
console.error(
  `seed ${seed}, ${times} kills, ${size} bytes a file, blocks of ${blockBytes}, in ${root}`,
);

while (kills < times && breaches.length < 5) await killFile();

await rm(root, { recursive: true, force: true });
await compiled.remove();
console.log(
  JSON.stringify({
    test: 'kill',
    seed,
    kills,
    files,
    size,
    blockBytes,
    lostPerKill: spread(lost.map(({ bytes }) => bytes)),
    beyondOneBlock: lost.filter(({ bytes }) => bytes > blockBytes).length,
    worst: lost.sort((a, b) => b.bytes - a.bytes).slice(0, 3),
    sentAgainPercent: Number(
      ((100 * lost.reduce((sum, { bytes }) => sum + bytes, 0)) / (files * size)).toFixed(2),
    ),
    servedOverSizePerKill: spread(overServed),
    totalServed,
    breaches,
  }),
);
process.exit(breaches.length === 0 ? 0 : 1);

/** One file, one server, and as many kills as it takes. */
async function killFile() {
  const index = files++;
  const isPinned = index % 2 === 0;
  const isThrottled = (index >> 1) % 2 === 0;
  const connections = Number(values.connections ?? 1 + (index % 8));
  const file = randomBytesOf(size, seed + index);
  const digest = random() < 0.5 ? md5 : blake;
  const scene = { file: index, connections, isPinned, isThrottled, algorithm: digest.algorithm };
  const directory = join(root, String(index));
  /** Body bytes at which the next kill strikes, counted by the server. */
  let strikeAt = Infinity;
  let strike = () => undefined;
  const server = await startLyingServer(
    (request) => ({
      ...honest(request, file, { etag: isPinned ? `"${index}"` : null }),
      ...(isThrottled && { sliceBytes: 32 * 1024, everyMs: 1 + Math.floor(connections / 2) }),
    }),
    {
      onBytes: (sent) => {
        if (sent < strikeAt) return;
        strikeAt = Infinity;
        strike();
      },
    },
  );
  const port = Number(server.host.split(':')[1]);
  const wanted = Math.min(killsPerFile, times - kills);
  /** Bytes that the server wrote and no client ever read. */
  let unread = 0;
  let read = 0;
  let killsHere = 0;
  let before = null;
  let outcome = null;
  for (let round = 0; round <= wanted && outcome === null; round++) {
    const child = fork(childPath);
    const exit = once(child, 'exit');
    const startRead = read;
    let durableAtStart = null;
    let ended = null;
    child.on('message', (message) => {
      if (!message.told) ended = message;
      else if (message.told.durable !== undefined) durableAtStart ??= message.told.durable;
      else if (message.told.note?.type === 'resumed') durableAtStart ??= message.told.note.offset;
    });
    let isStruck = false;
    strike = () => {
      isStruck = true;
      process.kill(child.pid, 'SIGSTOP');
      setTimeout(() => {
        unread += queued(port) + server.writableBytes();
        read = server.bytesSent() - unread;
        child.kill('SIGKILL');
      }, 30);
    };
    if (round < wanted)
      strikeAt = Math.max(
        server.bytesSent() + 1,
        Math.floor(((round + random()) / wanted) * size) + unread,
      );
    child.send({
      entry: compiled.entry,
      source: sourceFor(server, digest, file, index, connections),
      options: { directory, limits: { blockBytes } },
      tells: true,
    });
    const timer = setTimeout(() => {
      breach('HANG', scene);
      child.kill('SIGKILL');
    }, LONGEST_RUN_MS);
    await exit;
    clearTimeout(timer);
    if (before !== null && round > 0) {
      // what the killed process had read, less what the next one found durable
      const found = durableAtStart ?? 0;
      lost.push({ bytes: Math.max(0, before - found), connections, isPinned, isThrottled });
    }
    if (isStruck) {
      kills++;
      killsHere++;
      before = (durableAtStart ?? 0) + (read - startRead);
    } else if (ended) outcome = ended;
    else {
      breach('the process ended by itself', scene);
      break;
    }
    while (server.connections().open > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await server.close();
  await judge({ outcome, file, digest, scene, unread, killsHere, served: server.bytesSent() });
  totalServed += server.bytesSent();
  await rm(directory, { recursive: true, force: true });
}

async function judge({ outcome, file, digest, scene, unread, killsHere, served }) {
  if (!outcome) return;
  if (outcome.path === undefined)
    return breach(`ended with ${outcome.code}`, scene, outcome.message);
  const bytes = await readFile(outcome.path);
  if (!bytes.equals(file)) breach('WRONG FILE', scene);
  if (outcome.checksum.value !== digest.of(file)) breach('a digest that is not the file’s', scene);
  const over = served - unread - file.length;
  if (killsHere > 0) overServed.push(Math.max(0, Math.round(over / killsHere)));
  if (over > killsHere * blockBytes)
    breach(`served ${over} bytes more than the file after ${killsHere} kills`, scene);
}

function sourceFor(server, digest, file, index, connections) {
  return {
    key: `kill/${index}`,
    url: server.url(),
    trustedHosts: [server.host],
    plainHttpHosts: [server.host],
    expectedBytes: file.length,
    checksums: [{ algorithm: digest.algorithm, value: digest.of(file) }],
    fallbackName: 'asset.bin',
    connections,
  };
}

/** Bytes in the kernel between the ends of the connections of a port on loopback: sent and not yet read. */
function queued(port) {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, remote]) => local?.endsWith(`:${hex}`) || remote?.endsWith(`:${hex}`))
    .reduce((sum, fields) => {
      const [tx = '0', rx = '0'] = fields[4].split(':');
      // on our own side the other queue holds requests
      return sum + (fields[1].endsWith(`:${hex}`) ? parseInt(tx, 16) : parseInt(rx, 16));
    }, 0);
}

function breach(what, scene, more = undefined) {
  breaches.push({ what, ...scene, more });
  console.error(`BREACH ${what} ${JSON.stringify(scene)} ${more ?? ''}; seed ${seed}`);
}

function spread(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return { min: at(0), median: at(0.5), p95: at(0.95), max: sorted.at(-1) };
}
