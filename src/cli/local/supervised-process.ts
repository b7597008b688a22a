/**
 * A program that we start, keep running and stop. Three promises: it dies when we die, SIGKILL included; it comes back
 * with growing pauses when it dies by itself; after `stop()` nothing of it is left.
 *
 * Between us and the program stands a small shell, the keeper, in a process group of its own (so that a Ctrl-C in the
 * terminal reaches us alone). It reads a pipe that only we hold. A line means stop: TERM to the program, KILL after the
 * grace. The pipe ending without one means that we are dead: the same, but within a second, so that whoever starts next
 * does not find the ports and files taken.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError, EXIT } from '../exit-codes.js';
import { plain, seconds } from '../output/text.js';

export interface ProcessSpec {
  /** For people and for the log file: "temporal". */
  name: string;
  command: string;
  args: string[];
  env?: Record<string, string | undefined>;
  /** Both outputs are appended here. */
  logFile: string;
  /** From TERM to KILL. */
  graceMs: number;
  /** True once it answers. Asked again and again after a start; a rejection is a no. `pid` is the program's own. */
  isReady: (pid: number) => Promise<boolean>;
  readyTimeoutMs: number;
  /** Comes back by itself after a crash. */
  restart: boolean;
}

export interface SupervisedProcess {
  readonly name: string;
  /** Of the program itself; null while it does not run. */
  pid(): number | null;
  /** Starts it and resolves once it answers. CommandError (69) with the end of its log otherwise. */
  start(): Promise<void>;
  /** TERM, then KILL after the grace. Resolves when nothing of it is left. Harmless to repeat. */
  stop(): Promise<void>;
  /** Sends a signal to the program, as an accident would. Resolves once it is gone if the signal ends it. */
  kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
}

/** A program whose parent died, or that has not answered yet, has this long to end. */
export const ORPHAN_GRACE_MS = 1_000;

const KEEPER = `
grace=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- 4>&- &
child=$!
echo "$child" >&4
exec 4>&-
{
  read -r _ <&3 || grace=${ORPHAN_GRACE_MS / 100}
  kill -TERM "$child"
  while [ "$grace" -gt 0 ] && kill -0 "$child"; do sleep 0.1; grace=$((grace - 1)); done
  kill -KILL "$child"
} 2>/dev/null &
watcher=$!
exec 3<&-
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
`;

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** A run that lasted this long is not part of a crash loop. */
const STEADY_MS = 30_000;
const LOG_LIMIT_BYTES = 20 * 1024 * 1024;

interface Run {
  keeper: ChildProcess;
  pid: number | null;
  startedMs: number;
  /** How it ended, once it has. */
  ended: Promise<string>;
  hasEnded: boolean;
  /** It has answered: from then on it gets its whole grace. */
  hasAnswered: boolean;
}

export function supervise(spec: ProcessSpec, say: (line: string) => void): SupervisedProcess {
  let run: Run | null = null;
  let stopping = false;
  let pauseMs = FIRST_PAUSE_MS;

  const watch = async (current: Run): Promise<void> => {
    const how = await current.ended;
    if (stopping || run !== current) return;
    run = null;
    if (!spec.restart) return;
    if (Date.now() - current.startedMs > STEADY_MS) pauseMs = FIRST_PAUSE_MS;
    say(`${spec.name} ${how}: starting it again in ${seconds(pauseMs)}`);
    await sleep(pauseMs);
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    if (stopping || run) return;
    run = launch(spec);
    void untilReady(spec, run).catch(() => {});
    void watch(run);
  };

  return {
    name: spec.name,
    pid: () => run?.pid ?? null,
    async start() {
      stopping = false;
      const first = (run = launch(spec));
      try {
        await untilReady(spec, first);
      } catch (error) {
        await end(spec, first);
        run = null;
        throw error;
      }
      void watch(first);
    },
    async stop() {
      stopping = true;
      const current = run;
      if (current) await end(spec, current);
      run = null;
    },
    async kill(signal) {
      const current = run;
      if (current?.pid == null || current.hasEnded) return;
      process.kill(current.pid, signal);
      if (signal === 'SIGKILL' || signal === 'SIGTERM') await current.ended;
    },
  };
}

function launch(spec: ProcessSpec): Run {
  const log = openLog(spec.logFile);
  const keeper = spawn(
    'sh',
    [
      '-c',
      KEEPER,
      'nimbus-keeper',
      String(Math.ceil(spec.graceMs / 100)),
      spec.command,
      ...spec.args,
    ],
    {
      env: spec.env ?? process.env,
      stdio: ['pipe', log, log, 'ignore', 'pipe'],
      detached: true,
    },
  );
  closeSync(log);
  const run: Run = {
    keeper,
    pid: null,
    startedMs: Date.now(),
    hasEnded: false,
    hasAnswered: false,
    ended: new Promise((resolve) => {
      keeper.once('error', (error) => resolve(`could not be started (${error.message})`));
      keeper.once('exit', (code, signal) => resolve(describeEnd(code, signal)));
    }),
  };
  keeper.stdin?.on('error', () => {}); // The pipe of a dead keeper: its exit is what counts.
  (keeper.stdio[4] as Readable).once('data', (text: Buffer) => {
    run.pid = Number(text.toString());
  });
  void run.ended.then(() => {
    run.hasEnded = true;
    killGroup(run);
  });
  return run;
}

async function untilReady(spec: ProcessSpec, run: Run): Promise<void> {
  const deadlineMs = Date.now() + spec.readyTimeoutMs;
  while (Date.now() < deadlineMs) {
    if (run.hasEnded) throw await notStarted(spec, `${spec.name} ${await run.ended}`);
    if (run.pid !== null && (await spec.isReady(run.pid).catch(() => false))) {
      run.hasAnswered = true;
      return;
    }
    await sleep(50);
  }
  throw await notStarted(
    spec,
    `${spec.name} did not answer within ${seconds(spec.readyTimeoutMs)} of its start`,
  );
}

async function notStarted(spec: ProcessSpec, message: string): Promise<CommandError> {
  const log = await readFile(spec.logFile, 'utf8').catch(() => '');
  const lines = log.trimEnd().split('\n').slice(-5);
  return new CommandError(
    [message, ...lines.filter(Boolean).map((line) => `  | ${plain(line).slice(0, 300)}`)].join(
      '\n',
    ),
    EXIT.unavailable,
    `Read ${spec.logFile}`,
  );
}

/**
 * A line tells the keeper, which gives the program its grace. We wait a little longer, then take the whole group. A
 * program that is still starting has nothing to put in order, and mongod hangs when TERM reaches it then: short grace.
 */
async function end(spec: ProcessSpec, run: Run): Promise<void> {
  run.keeper.stdin?.end(run.hasAnswered ? 'stop\n' : '');
  const timer = setTimeout(() => killGroup(run), spec.graceMs + 2_000);
  await run.ended;
  clearTimeout(timer);
  killGroup(run);
}

function killGroup(run: Run): void {
  run.keeper.stdin?.destroy();
  if (run.keeper.pid === undefined) return;
  try {
    process.kill(-run.keeper.pid, 'SIGKILL');
  } catch {
    // Nothing left of it.
  }
}

function describeEnd(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `was stopped by ${signal}`;
  if (code === 137) return 'was killed';
  return `ended with code ${code}`;
}

function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  if (existsSync(file) && statSync(file).size > LOG_LIMIT_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}
