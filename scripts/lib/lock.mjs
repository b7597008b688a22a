// One holder at a time among the processes of one checkout, with Node's own modules only: these scripts run before
// anything is installed. The holder touches the file every second; a lock whose holder is gone or silent is taken over.
import {
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
  closeSync,
  readFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const SILENT_MS = 120_000;

/** Runs `work` while holding `path`. `onWait` is called once if somebody else holds it. */
export async function withLock(path, onWait, work) {
  mkdirSync(dirname(path), { recursive: true });
  for (let waited = false; !take(path); waited = true) {
    if (!waited) onWait();
    await sleep(250);
  }
  const release = () => rmSync(path, { force: true });
  const beat = setInterval(() => touch(path), 1_000);
  process.once('exit', release);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    process.removeListener('exit', release);
    release();
  }
}

function take(path) {
  try {
    const file = openSync(path, 'wx');
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (isAbandoned(path)) drop(path);
    return false;
  }
}

function isAbandoned(path) {
  try {
    const ageMs = Date.now() - statSync(path).mtimeMs;
    if (ageMs > SILENT_MS) return true;
    const pid = Number(readFileSync(path, 'utf8'));
    // An empty file is a lock in the making.
    return pid > 0 ? !isAlive(pid) : ageMs > 2_000;
  } catch {
    return false;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** A rename succeeds for one of many that try. */
function drop(path) {
  const aside = `${path}.${process.pid}.${Date.now()}`;
  try {
    renameSync(path, aside);
    rmSync(aside, { force: true });
  } catch {
    // Somebody else took it away.
  }
}

function touch(path) {
  try {
    const now = new Date();
    utimesSync(path, now, now);
  } catch {
    // Taken away: the work goes on, its results are put in place atomically.
  }
}
