/**
 * Programs that are fetched once per user and kept: `$XDG_CACHE_HOME/nimbus`, by default `~/.cache/nimbus`. A program
 * appears under its final name only when it is complete and has answered `--version`; two clones may fetch at once.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Notes } from '../output/notes.js';
import { plain } from '../output/text.js';
import { hold } from './exclusive.js';

export type Environment = Record<string, string | undefined>;

const execute = promisify(execFile);

export function cacheDirectory(env: Environment): string {
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'nimbus');
}

/** Absolute path of a program on the PATH, or null. */
export function onPath(program: string, env: Environment): string | null {
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const candidate = join(folder, program);
    if (existsSync(candidate)) return candidate;
  }
  return null;
}

/** True if the program starts and tells its version. */
export async function runs(program: string, env: Environment): Promise<boolean> {
  return execute(program, ['--version'], { timeout: 30_000, env: env }).then(
    () => true,
    () => false,
  );
}

export interface Way {
  /** Completes "waiting for …". */
  what: string;
  /** Puts the program at `target`, inside the empty folder `scratch`. Throws with the reason if this way is closed. */
  make(target: string, scratch: string): Promise<void>;
}

/**
 * The program at `finalPath`, made by the first of the ways that works. Null if none does; each way's reason is said.
 * Waits for another process that is making the same.
 */
export async function obtain(
  finalPath: string,
  ways: Way[],
  context: { env: Environment; notes: Notes; signal: AbortSignal },
): Promise<string | null> {
  const { env, notes, signal } = context;
  if (existsSync(finalPath)) return finalPath;
  const folder = dirname(finalPath);
  const lock = await hold(
    join(folder, '.fetching'),
    () => notes.say(`waiting for another process that fetches ${finalPath}`),
    signal,
    'XDG_CACHE_HOME',
  );
  try {
    if (existsSync(finalPath)) return finalPath;
    for (const way of ways) {
      const made = await tryWay(way, finalPath, context);
      if (made) return finalPath;
    }
    return null;
  } finally {
    lock.release();
  }

  async function tryWay(way: Way, target: string, { signal: abort }: { signal: AbortSignal }) {
    const scratch = await mkdtemp(join(folder, '.scratch-'));
    const fresh = join(scratch, 'program');
    try {
      await notes.during(way.what, async () => {
        await way.make(fresh, scratch);
        if (!(await runs(fresh, env))) throw new Error('it does not run on this machine');
      });
      await rename(fresh, target);
      return true;
    } catch (error) {
      abort.throwIfAborted();
      notes.say(`  ${reasonOf(error)}`);
      return false;
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
}

/** Runs a command of a way, ended with the signal. Rejects with the last line that it said. */
export async function step(
  command: string,
  args: string[],
  options: { env: Environment; signal: AbortSignal; cwd?: string; timeoutMs?: number },
): Promise<void> {
  try {
    await execute(command, args, {
      env: options.env,
      signal: options.signal,
      maxBuffer: 64 * 1024 * 1024,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    });
  } catch (error) {
    options.signal.throwIfAborted();
    const { stderr, code } = error as { stderr?: string; code?: unknown };
    if (code === 'ENOENT') throw new Error(`${command} is not installed`, { cause: error });
    const last = stderr?.trim().split('\n').at(-1);
    throw new Error(`${command}: ${last || reasonOf(error)}`, { cause: error });
  }
}

/** An error's message on one line, not too long for a terminal. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return plain(text.replace(/\s+/g, ' ').trim()).slice(0, 300);
}
