/**
 * What must hold after every fault (faults.md, I1, I2, I6–I10), checked by one function at the end of each test of the
 * transfer engine: only a proven file under its name, no promise before a flush, no secret told, no stranger asked, few
 * bytes served twice, and nothing left behind.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'vitest';
import type { TransferResult } from '../../src/transfer/transfer.js';
import type { LyingServer } from './lying-server.js';
import { descriptorsIn, type SocketWatch } from './watched-process.js';
import type { WatchedFiles } from './watched-files.js';

/** Part of the token and of the signed query that every test sends: it must turn up nowhere. */
export const CANARY = 'canary-7f3a91';

export interface Run {
  /** The directory that was worked in. */
  directory: string;
  /** The bytes that are right; null = nobody can know. */
  truth: Buffer | null;
  result?: TransferResult;
  error?: unknown;
}

export interface Evidence {
  runs: Run[];
  /** All that was told: notes of the transfers. */
  told: unknown[];
  server: LyingServer;
  watched: WatchedFiles;
  sockets: SocketWatch;
  /** Hosts, as `host:port`, that may be connected to. */
  allowedHosts: string[];
  blockBytes: number;
  /** How often the whole may be served, because the test makes the engine drop what it has. Null = not counted. */
  copies: number | null;
}

/** Files that may be in a directory of a transfer, whatever happened. */
const KNOWN_NAMES =
  /^(journal|owner|verified|part\.[0-9a-f]+|disputed-\d+|(journal|owner)\.[0-9a-f]+\.tmp)$/;
const KNOWN_WHEN_VERIFIED = /^(journal|owner|verified|state|disputed-\d+)$/;

/** To be called once the engine is closed. */
export async function assertInvariants(evidence: Evidence): Promise<void> {
  expect(evidence.server.failures, 'the test’s own server failed').toEqual([]);
  for (const directory of new Set(evidence.runs.map((run) => run.directory)))
    assertDirectory(evidence, directory);
  expect(evidence.watched.breaches, 'I2: promised before it was flushed').toEqual([]);
  assertNoSecret(evidence);
  assertHosts(evidence);
  assertServedBytes(evidence);
  await assertNothingLeft(evidence);
}

/** I1: under its name lies the proven file, and beside it nothing that nobody owns. */
function assertDirectory({ runs }: Evidence, directory: string): void {
  const names = namesIn(directory);
  const last = runs.filter((run) => run.directory === directory).at(-1);
  for (const name of names) expect(name, 'I10: a file that nobody owns').toMatch(KNOWN_NAMES);
  if (last?.result)
    for (const name of names)
      expect(name, 'I10: left over after success').toMatch(KNOWN_WHEN_VERIFIED);
  if (!names.includes('verified')) return;
  const bytes = readFileSync(join(directory, 'verified'));
  if (last?.truth) expect(bytes.equals(last.truth), 'I1: what is verified is exact').toBe(true);
  for (const { algorithm, value } of last?.result?.digests ?? [])
    if (algorithm !== 'blake3')
      expect(createHash(algorithm).update(bytes).digest('hex'), `I1: ${algorithm}`).toBe(value);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** I6: neither in what is told nor in what is kept. */
function assertNoSecret({ runs, told }: Evidence): void {
  for (const { error } of runs)
    expect(everythingIn(error), 'I6: in an error').not.toContain(CANARY);
  expect(everythingIn(told), 'I6: in a note').not.toContain(CANARY);
  for (const directory of new Set(runs.map((run) => run.directory)))
    for (const name of namesIn(directory).filter((one) => !/^(part|verified|disputed)/.test(one)))
      expect(readFileSync(join(directory, name), 'latin1'), `I6: in ${name}`).not.toContain(CANARY);
}

function everythingIn(value: unknown): string {
  return inspect(value, { depth: 10, showHidden: true, maxStringLength: null });
}

/** I7 */
function assertHosts({ sockets, allowedHosts, watched, runs }: Evidence): void {
  for (const target of sockets.targets())
    expect(allowedHosts, 'I7: a host that nobody allowed').toContain(target);
  const roots = runs.map((run) => run.directory);
  for (const path of watched.touched)
    expect(roots, `I7: outside of the directory: ${path}`).toSatisfy((all: string[]) =>
      all.some((root) => path === root || dirname(path) === root),
    );
}

/** I8: the file, and a block for each request after the first (for there was an interruption before it). */
function assertServedBytes({ server, runs, blockBytes, copies }: Evidence): void {
  if (copies === null) return;
  const bytes = Math.max(...runs.map(({ truth }) => truth?.length ?? 0));
  const interruptions = Math.max(0, server.requests.length - 1);
  expect(server.bytesSent(), 'I8: bytes served').toBeLessThanOrEqual(
    bytes * copies + interruptions * blockBytes,
  );
}

/** I9, I10: no handle, descriptor or socket outlives the engine. */
async function assertNothingLeft({ watched, sockets, server, runs }: Evidence): Promise<void> {
  expect(watched.open(), 'I10: handles left open').toEqual([]);
  const directories = [...new Set(runs.map((run) => run.directory))];
  await settles(() => descriptorsIn(directories).length === 0);
  expect(descriptorsIn(directories), 'I10: descriptors left open').toEqual([]);
  await settles(() => sockets.open() === 0);
  expect(sockets.open(), 'I10: sockets left open').toBe(0);
  await settles(() => server.connections().open === 0);
  expect(server.connections().open, 'I10: connections the server still sees').toBe(0);
}

async function settles(reached: () => boolean): Promise<void> {
  for (let waitedMs = 0; waitedMs < 1500 && !reached(); waitedMs += 10)
    await new Promise((resolve) => setTimeout(resolve, 10));
}
