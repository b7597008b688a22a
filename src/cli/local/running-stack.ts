/**
 * What `nimbus up` on this data directory started, for other commands beside it: `doctor`, `rebuild` or one more `worker`
 * find its Temporal and MongoDB without being told. Holds addresses only, never what the user gave.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Environment } from './cache.js';
import { makeDirectory } from './make-directory.js';
import { ORPHAN_GRACE_MS } from './supervised-process.js';

const schema = z.object({
  pid: z.number().int().positive(),
  env: z.record(z.string(), z.string()),
});

export const stackFile = (dataDir: string): string => join(dataDir, 'run', 'up.json');

/**
 * Says that a stack is being started here. One that was cut off without a word left its own saying so behind: then this
 * waits until what it started has noticed and is gone.
 */
export async function beginRunningStack(
  dataDir: string,
  say: (line: string) => void,
): Promise<void> {
  if (existsSync(stackFile(dataDir))) {
    say('The last run was cut off: giving what is left of it a moment to end');
    await sleep(2 * ORPHAN_GRACE_MS);
  }
  writeRunningStack(dataDir, {});
}

export function writeRunningStack(dataDir: string, env: Record<string, string>): void {
  const file = stackFile(dataDir);
  makeDirectory(dirname(file));
  writeFileSync(`${file}.new`, JSON.stringify({ pid: process.pid, env }, null, 2));
  renameSync(`${file}.new`, file);
}

export function forgetRunningStack(dataDir: string): void {
  rmSync(stackFile(dataDir), { force: true });
}

/** The environment, with what the running `up` knows filled in where the user said nothing. */
export function withRunningStack(env: Environment): Environment {
  const dataDir = resolve(env['NIMBUS_DATA_DIR'] || './data');
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  return { ...read(stackFile(dataDir)), ...given };
}

function read(file: string): Record<string, string> {
  try {
    const stack = schema.parse(JSON.parse(readFileSync(file, 'utf8')));
    process.kill(stack.pid, 0);
    return stack.env;
  } catch {
    return {};
  }
}
