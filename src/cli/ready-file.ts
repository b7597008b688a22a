/**
 * `--ready-file`: a process that has no port of its own says in a file that it is at work, for whoever started it and for
 * health checks. The file holds its pid and what else it has to tell, and is gone when it is not at work.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { makeDirectory } from './local/make-directory.js';

export function writeReadyFile(file: string, facts: object = {}): void {
  makeDirectory(dirname(resolve(file)), '--ready-file');
  writeFileSync(`${file}.new`, JSON.stringify({ pid: process.pid, ...facts }));
  renameSync(`${file}.new`, file);
}

export function removeReadyFile(file: string): void {
  rmSync(file, { force: true });
}

/** What that process wrote; null if it is not there or from another process. */
export function readReadyFile(file: string, pid: number): Record<string, unknown> | null {
  try {
    const facts = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    return facts['pid'] === pid ? facts : null;
  } catch {
    return null;
  }
}
