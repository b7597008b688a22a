/**
 * One holder at a time among processes of this machine, held by a file lock of the kernel (through SQLite): it is free
 * the moment its holder is gone, however that died, and no stale lock is ever left.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'libsql';

export interface Hold {
  release(): void;
}

/** Takes the lock kept in `file`, or null if somebody holds it. Creates the folder of the file. */
export function tryHold(file: string): Hold | null {
  mkdirSync(dirname(file), { recursive: true });
  const database = new Database(file, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
    return { release: () => void database.close() };
  } catch (error) {
    database.close();
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') return null;
    throw error;
  }
}

/** Waits for the lock; `onWait` is called once if somebody else holds it. */
export async function hold(file: string, onWait: () => void, signal: AbortSignal): Promise<Hold> {
  for (let waited = false; ; waited = true) {
    signal.throwIfAborted();
    const held = tryHold(file);
    if (held) return held;
    if (!waited) onWait();
    await sleep(300, undefined, { signal });
  }
}
