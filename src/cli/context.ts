/**
 * What every command is handed: the environment, where to write and how, the wish to stop, and lazily the configuration
 * and the API. `runner` turns a command's work into a commander action; the exit code is what the work resolves with.
 */
import type { Command } from 'commander';
import { readConfig, type Config } from '../config.js';
import { createApiClient, type ApiClient } from './client/api-client.js';
import type { ExitCode } from './exit-codes.js';
import type { Environment } from './local/cache.js';
import { loopbackOf } from './local/ports.js';
import { createNotes, type Notes } from './output/notes.js';
import { createPaint, wantsColour, type Paint } from './output/paint.js';
import { listenForStop, type Stop } from './signals.js';

export interface CliContext {
  env: Environment;
  /** Results go to stdout; in `--json` nothing else does. */
  stdout: NodeJS.WriteStream;
  json: boolean;
  /** For people: on stdout, or on stderr when stdout carries JSON. */
  notes: Notes;
  paint: Paint;
  stop: Stop;
  /** Run before a second signal ends the process. */
  onForcedEnd(cleanUp: () => void): void;
  /** @throws ConfigError */
  config(env?: Environment): Config;
  /** @throws ConfigError */
  api(): ApiClient;
  /** One line to stdout. */
  print(line: string): void;
  /** One JSON object, one line, to stdout. */
  printJson(value: unknown): void;
}

/** `options` are the command's own, as commander parsed them; `args` its arguments. */
export type Work<O> = (context: CliContext, options: O, ...args: string[]) => Promise<ExitCode>;
export type Runner = <O = object>(work: Work<O>) => (...given: unknown[]) => Promise<void>;

interface GlobalOptions {
  json?: boolean;
  apiUrl?: string;
}

export function createRunner(env: Environment, onExit: (code: ExitCode) => void): Runner {
  return <O>(work: Work<O>) =>
    async (...given: unknown[]) => {
      // commander hands over the arguments, then the options, then the command.
      const command = given.at(-1) as Command;
      const options = given.at(-2) as O;
      const args = given.slice(0, -2) as string[];
      onExit(
        await work(createContext(env, command.optsWithGlobals<GlobalOptions>()), options, ...args),
      );
    };
}

function createContext(env: Environment, options: GlobalOptions): CliContext {
  const json = options.json === true;
  const { stdout, stderr } = process;
  const people = json ? stderr : stdout;
  const cleanUps: (() => void)[] = [];
  const config = (over: Environment = env): Config => readConfig(over);
  return {
    env,
    stdout,
    json,
    notes: createNotes(people),
    paint: createPaint(wantsColour(people, env)),
    stop: listenForStop(() => cleanUps.forEach((cleanUp) => cleanUp())),
    onForcedEnd: (cleanUp) => void cleanUps.push(cleanUp),
    config,
    api: () => createApiClient(apiAddress(config(), env, options.apiUrl)),
    print: (line) => void stdout.write(`${line}\n`),
    printJson: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
  };
}

function apiAddress({ api }: Config, env: Environment, given: string | undefined) {
  const own = `http://${loopbackOf(api.host)}:${api.port}`;
  return { baseUrl: given ?? (env['NIMBUS_SERVICE_URL'] || own), apiKey: api.key };
}
