/**
 * What every command is handed, and all that a command gets which needs neither configuration nor API: the environment,
 * where to write and how, the wish to stop. Loads next to nothing, because every start of `nimbus` pays for it.
 */
import type { Command } from 'commander';
import type { ExitCode } from './exit-codes.js';
import type { Environment } from './local/cache.js';
import { createNotes, type Notes, type NotesStream } from './output/notes.js';
import { createPaint, wantsColour, type Paint } from './output/paint.js';
import { listenForStop, type Stop } from './signals.js';

export interface Terminal {
  env: Environment;
  /** Results go to stdout; in `--json` nothing else does. */
  stdout: NodeJS.WriteStream;
  json: boolean;
  /** Where words for people go: stdout, or stderr when stdout carries JSON. */
  people: NotesStream & { columns?: number };
  /** The same, line by line. */
  notes: Notes;
  paint: Paint;
  stop: Stop;
  /** Run before a second signal ends the process. */
  onForcedEnd(cleanUp: () => void): void;
  /** One line to stdout. */
  print(line: string): void;
  /** One JSON object, one line, to stdout. */
  printJson(value: unknown): void;
}

/** Options of the program itself, valid before and after the command's name. */
export interface GlobalOptions {
  json?: boolean;
  apiUrl?: string;
}

/** `options` are the command's own, as commander parsed them; `args` its arguments. */
export type WorkOf<C, O> = (context: C, options: O, ...args: string[]) => Promise<ExitCode>;
/** Turns a command's work into a commander action; the exit code is what the work resolves with. */
export type RunnerOf<C> = <O = object>(
  work: WorkOf<C, O>,
) => (...given: unknown[]) => Promise<void>;
export type TerminalRunner = RunnerOf<Terminal>;

export function createRunner<C>(
  env: Environment,
  onExit: (code: ExitCode) => void,
  toContext: (terminal: Terminal, options: GlobalOptions) => C | Promise<C>,
): RunnerOf<C> {
  return <O>(work: WorkOf<C, O>) =>
    async (...given: unknown[]) => {
      // commander hands over the arguments, then the options, then the command.
      const command = given.at(-1) as Command;
      const options = given.at(-2) as O;
      const args = given.slice(0, -2).flat() as string[];
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await toContext(createTerminal(env, globals.json === true), globals);
      onExit(await work(context, options, ...args));
    };
}

function createTerminal(env: Environment, json: boolean): Terminal {
  const { stdout, stderr } = process;
  const people = json ? stderr : stdout;
  const cleanUps: (() => void)[] = [];
  return {
    env,
    stdout,
    json,
    people,
    notes: createNotes(people),
    paint: createPaint(wantsColour(people, env)),
    stop: listenForStop(() => cleanUps.forEach((cleanUp) => cleanUp())),
    onForcedEnd: (cleanUp) => void cleanUps.push(cleanUp),
    print: (line) => void stdout.write(`${line}\n`),
    printJson: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
  };
}
