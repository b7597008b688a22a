/**
 * One holder at a time among processes of this machine, held by a file lock of the kernel (through SQLite): it is free
 * the moment its holder is gone, however that died, and no stale lock is ever left.
 */
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'libsql';
import { cannotUse, makeDirectory } from './make-directory.js';

export interface Hold {
  release(): void;
}

/**
 * Takes the lock kept in `file`, or null if somebody holds it. Creates the folder of the file.
 * @param setting what the user changes where the file cannot be written
 * @throws CommandError (78)
 */
export function tryHold(file: string, setting?: string): Hold | null {
  makeDirectory(dirname(file), setting);
  const database = open(file, setting);
  try {
    database.exec('BEGIN EXCLUSIVE');
    return { release: () => void database.close() };
  } catch (error) {
    database.close();
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') return null;
    throw cannotUse(file, error, setting);
  }
}

function open(file: string, setting?: string): Database.Database {
  try {
    return new Database(file, { timeout: 0 });
  } catch (error) {
    throw cannotUse(file, error, setting);
  }
}

/** Waits for the lock; `onWait` is called once if somebody else holds it. */
export async function hold(
  file: string,
  onWait: () => void,
  signal: AbortSignal,
  setting?: string,
): Promise<Hold> {
  for (let waited = false; ; waited = true) {
    signal.throwIfAborted();
    const held = tryHold(file, setting);
    if (held) return held;
    if (!waited) onWait();
    await sleep(300, undefined, { signal });
  }
}
