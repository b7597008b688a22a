/** Many transfers, and large ones, in a process of their own (F074, F089, F090): descriptors, event loop and memory. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { TransferResult } from '../../../src/transfer/transfer.js';
import { compileTransfer, type CompiledTransfer } from '../../support/compiled-transfer.mjs';
import {
  startLyingServer,
  type Answer,
  type LyingServer,
  type SeenRequest,
} from '../../support/lying-server.js';
import { bytesOf } from '../../support/transfer-kit.js';

const MIB = 2 ** 20;
/** V8 takes up to 32 MiB for what is newly made, as the machine's timing has it: of the engine's memory that says nothing. */
const NEW_SPACE = '--max-semi-space-size=4';
const childPath = fileURLToPath(new URL('../../support/transfer-crowd.mjs', import.meta.url));
const chunk = bytesOf(MIB);
const { Blake3Hasher } = createRequire(import.meta.url)('@napi-rs/blake-hash') as {
  Blake3Hasher: new () => { update: (bytes: Buffer) => unknown; digest: (form: 'hex') => string };
};

interface Measured {
  results: (TransferResult | { failed: string; message: string })[];
  errors: Record<string, number>;
  warnings: string[];
  mostCalls: number;
  idleRss: number;
  peakRss: number;
  elapsedMs: number;
  activeMs: number;
  delayMs: { max: number; p99: number };
}

let compiled: CompiledTransfer;
let server: LyingServer | undefined;
let root: string;
beforeAll(async () => {
  compiled = await compileTransfer();
  root = await mkdtemp(join(tmpdir(), 'nimbus-load-'));
});
afterAll(async () => {
  await compiled.remove();
  await rm(root, { recursive: true, force: true });
});
afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** Files made of the same MiB over and over, with a strong ETag; the path says how many. */
function endless(changes: Partial<Answer> = {}): (request: SeenRequest) => Answer {
  return (request) => {
    const size = Number(request.path.split('/')[1]) * MIB;
    const end = Math.min(request.to ?? size, size);
    const headers = { etag: '"one"', 'content-length': String(end - request.from) };
    const body = repeated(request.from, end);
    if (!request.isRanged) return { headers, body, ...changes };
    const range = `bytes ${request.from}-${end - 1}/${size}`;
    return { status: 206, headers: { ...headers, 'content-range': range }, body, ...changes };
  };
}

/** Only as much as one answer needs, for a GiB of it would weigh on the machine that is measured. */
function* repeated(from: number, to: number): Generator<Buffer> {
  for (let at = from; at < to;) {
    const part = chunk.subarray(at % MIB, Math.min(MIB, (at % MIB) + to - at));
    yield part;
    at += part.length;
  }
}

function digestsOf(mib: number) {
  const md5 = createHash('md5');
  const blake = new Blake3Hasher();
  for (let at = 0; at < mib; at++) {
    md5.update(chunk);
    blake.update(chunk);
  }
  return { md5: md5.digest('hex'), blake3: blake.digest('hex') };
}

async function measure(options: {
  mib: number;
  times: number;
  connections?: number;
  checksums?: { algorithm: string; value: string }[];
  digests?: string[];
  maxDescriptors?: number;
}): Promise<Measured> {
  const { mib, times, connections = 4, maxDescriptors = 4096 } = options;
  const { host = '', url = () => '' } = server ?? {};
  const checksums = options.checksums ?? [{ algorithm: 'md5', value: digestsOf(mib).md5 }];
  const sourceOf = (name: string, size: number, proofs: typeof checksums) => ({
    directory: join(root, name),
    key: name,
    url: url(`/${size}/${name}`),
    trustedHosts: [host],
    plainHttpHosts: [host],
    expectedBytes: size * MIB,
    checksums: proofs,
    fallbackName: 'x',
    connections,
  });
  const warmUp = sourceOf('first', 1, [{ algorithm: 'md5', value: digestsOf(1).md5 }]);
  const sources = Array.from({ length: times }, (_, index) =>
    sourceOf(`${mib}-${index}`, mib, checksums),
  );
  const child = spawn(
    'sh',
    ['-c', `ulimit -n ${maxDescriptors} && exec "$0" "$@"`, process.execPath, NEW_SPACE, childPath],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
  );
  child.send({
    entry: compiled.entry,
    sources: [warmUp, ...sources],
    options: { digests: options.digests },
  });
  const [outcome] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => [`the process ended with ${code}`]),
  ])) as [Measured | string];
  await rm(root, { recursive: true, force: true });
  if (typeof outcome === 'string') throw new Error(outcome);
  expect(outcome.warnings).toEqual([]);
  for (const result of outcome.results) expect(result).not.toHaveProperty('failed');
  return outcome;
}

it('F074 with far too few descriptors every transfer gets there in the end', async () => {
  server = await startLyingServer(endless({ sliceBytes: 32 * 1024, everyMs: 2 }));
  const { results, errors } = await measure({ mib: 1, times: 100, maxDescriptors: 200 });
  expect(results).toHaveLength(101);
  for (const code of Object.keys(errors)) expect(code).toMatch(/^(Store|Source)Unavailable$/);
}, 60_000);

it('F089 the event loop stays free while a GiB is hashed twice over', async () => {
  server = await startLyingServer(endless({ sliceBytes: MIB }));
  const { md5, blake3 } = digestsOf(1024);
  const { results, delayMs, activeMs, elapsedMs } = await measure({
    mib: 1024,
    times: 1,
    checksums: [{ algorithm: 'blake3', value: blake3 }],
    digests: ['md5'],
  });
  const { digests } = results[1] as TransferResult;
  expect(digests).toContainEqual({ algorithm: 'md5', value: md5 });
  expect(digests).toContainEqual({ algorithm: 'blake3', value: blake3 });
  // generous, for other processes share the machine; but a digest on the loop would take all of the time
  expect(delayMs.max, `longest delay of ${elapsedMs} ms`).toBeLessThan(1000);
  expect(delayMs.p99).toBeLessThan(100);
  expect(activeMs / elapsedMs).toBeLessThan(0.9);
}, 120_000);

it.skipIf(!existsSync('/proc/self/status'))(
  'F090 memory of many transfers at once is bounded, and flat in the size of the files (skipped without /proc)',
  async () => {
    server = await startLyingServer(endless({ sliceBytes: 64 * 1024, everyMs: 1 }));
    // the small ones are large enough that their transfers, too, wait for memory
    const small = await measure({ mib: 8, times: 16 });
    const large = await measure({ mib: 32, times: 16 });
    const grown = ({ idleRss, peakRss }: Measured) => (peakRss - idleRss) / MIB;
    // What engine.ts promises of 64 connections, 58 MiB, and 32 for sockets, heap and what is not collected yet
    expect(grown(large), `small ones: ${grown(small)} MiB`).toBeLessThan(
      Math.max(58 + 32, 1.5 * grown(small)),
    );
  },
  120_000,
);

it.each([40, 100])(
  'F090 a crowd of %i transfers from a slow server gets there, and nobody waits for ever',
  async (times) => {
    server = await startLyingServer(endless({ sliceBytes: 64 * 1024, everyMs: 20 }));
    const { results, errors } = await measure({ mib: 3, times, connections: 1 });
    expect(results).toHaveLength(times + 1);
    expect(errors).toEqual({});
  },
  60_000,
);
