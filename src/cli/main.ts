/**
 * The `nimbus` command: reads the arguments, runs one command, and turns whatever comes of it into an exit code and, when
 * something went wrong, into what happened and what to do next. Commands live one a file in commands/; only the one that
 * is named is loaded, and the configuration only where it is used, because every start pays for what it loads.
 */
import { existsSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import type { ConfigError } from '../config.js';
import { ERROR_CODES, isServiceError } from '../jobs/error-codes.js';
import type { Runner } from './context.js';
import { CommandError, EXIT, EXIT_MEANINGS, exitCodeOf, type ExitCode } from './exit-codes.js';
import { toAddress } from './option-values.js';
import { plain } from './output/text.js';
import { version } from './project.js';
import { createRunner, type TerminalRunner } from './terminal.js';

export async function runCli(argv: string[]): Promise<void> {
  // `nimbus jobs list | head`: the reader has what it wanted. Whatever was not done is not said to be.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) =>
    process.exit(code === 'EPIPE' ? EXIT.unread : EXIT.unavailable),
  );
  // Nobody is there to be told; what was asked for can still be done.
  process.stderr.on('error', () => undefined);
  let code: ExitCode = EXIT.ok;
  try {
    if (existsSync('.env')) (await import('../config.js')).loadDotEnv();
    const program = await createProgram(argv.slice(2), (given) => (code = given));
    await program.parseAsync(argv);
  } catch (error) {
    code = report(error, argv.includes('--json'));
  }
  process.exit(code);
}

interface Runners {
  /** For commands that need neither configuration nor API. */
  light: TerminalRunner;
  full: Runner;
}

type Adder = (program: Command, runners: Runners) => Promise<void>;
const full =
  (load: () => Promise<(program: Command, run: Runner) => void>): Adder =>
  async (program, runners) =>
    (await load())(program, runners.full);
const light =
  (load: () => Promise<(program: Command, run: TerminalRunner) => void>): Adder =>
  async (program, runners) =>
    (await load())(program, runners.light);

const groups: [title: string, commands: Record<string, Adder>][] = [
  [
    'Start here:',
    {
      demo: full(async () => (await import('./commands/demo.command.js')).addDemo),
      up: full(async () => (await import('./commands/up.command.js')).addUp),
      doctor: full(async () => (await import('./commands/doctor.command.js')).addDoctor),
    },
  ],
  [
    'Fetch and follow:',
    {
      fetch: full(async () => (await import('./commands/fetch.command.js')).addFetch),
      jobs: full(async () => (await import('./commands/jobs.command.js')).addJobs),
      verify: full(async () => (await import('./commands/verify.command.js')).addVerify),
      get: light(async () => (await import('./commands/get.command.js')).addGet),
    },
  ],
  [
    'Parts, one process each:',
    {
      api: full(async () => (await import('./commands/api.command.js')).addApi),
      worker: full(async () => (await import('./commands/worker.command.js')).addWorker),
      sandbox: full(async () => (await import('./commands/sandbox.command.js')).addSandbox),
    },
  ],
  [
    'Upkeep:',
    {
      bandwidth: full(async () => (await import('./commands/bandwidth.command.js')).addBandwidth),
      rebuild: full(async () => (await import('./commands/rebuild.command.js')).addRebuild),
    },
  ],
];

/** @param args as typed, without the program: they decide what has to be loaded */
export async function createProgram(
  args: string[],
  onExit: (code: ExitCode) => void,
): Promise<Command> {
  const program = new Command('nimbus')
    .description('Turns an area, dates and a collection into verified satellite files.')
    .version(version)
    .option('--json', 'for scripts: results as JSON on stdout, words for people on stderr')
    .option(
      '--api-url <url>',
      'the API to talk to (default: NIMBUS_SERVICE_URL, else this machine)',
      toAddress,
    )
    .showHelpAfterError('(nimbus --help shows what there is)')
    .exitOverride()
    .addHelpText('after', rootHelp());
  const runners: Runners = {
    light: createRunner(process.env, onExit, (terminal) => terminal),
    full: createRunner(process.env, onExit, async (terminal, options) =>
      (await import('./context.js')).toCliContext(terminal, options),
    ),
  };
  const named = commandIn(args);
  for (const [title, commands] of groups) {
    program.commandsGroup(title);
    for (const [name, add] of Object.entries(commands))
      if (named === null || named === name) await add(program, runners);
  }
  return program;
}

/** The command that is certainly meant; null = all are needed, to list them or to say which ones there are. */
function commandIn(args: string[]): string | null {
  const names = groups.flatMap(([, commands]) => Object.keys(commands));
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at]!;
    if (arg === '--api-url') at += 1;
    else if (arg !== '--json' && !arg.startsWith('--api-url='))
      return names.includes(arg) ? arg : null;
  }
  return null;
}

function rootHelp(): string {
  const codes = EXIT_MEANINGS.map(([code, meaning]) => `  ${String(code).padEnd(4)}${meaning}`);
  return `
Examples:
  $ nimbus demo                       the whole product in a minute, on made-up data
  $ nimbus up                         API, worker, Temporal and MongoDB on this machine
  $ nimbus fetch --collection SENTINEL-2 --product-type S2MSI2A \\
      --start 2025-01-01 --end 2025-01-03 --aoi 29SPT
  $ nimbus jobs list --state running
  $ nimbus verify data/jobs/<id>/manifest.json
  $ nimbus get --sums MD5SUMS https://example.org/data/{a,b}.zip

Exit codes:
${codes.join('\n')}

The environment is described in .env.example; a .env in the working directory is read.`;
}

function report(error: unknown, json: boolean): ExitCode {
  const { code, lines, next } = explain(error);
  if (lines.length === 0) return code;
  if (json)
    process.stderr.write(
      `${JSON.stringify({ error: { exit_code: code, messages: lines, next } })}\n`,
    );
  else {
    for (const line of lines) process.stderr.write(`nimbus: ${line}\n`);
    if (next !== null) process.stderr.write(`  next: ${next}\n`);
  }
  return code;
}

interface Explanation {
  code: ExitCode;
  /** Empty when everything has been said. */
  lines: string[];
  next: string | null;
}

function explain(error: unknown): Explanation {
  // commander has printed its own words.
  if (error instanceof CommanderError)
    return { code: error.exitCode === 0 ? EXIT.ok : EXIT.usage, lines: [], next: null };
  if (error instanceof CommandError)
    return { code: error.exitCode, lines: error.message.split('\n'), next: error.nextStep };
  if (isConfigError(error))
    return {
      code: EXIT.config,
      lines: error.problems.map(({ variable, message }) => `${variable}: ${plain(message)}`),
      next: 'Correct it in the environment or in .env; .env.example describes each variable',
    };
  if (isServiceError(error))
    return {
      code: exitCodeOf(error.code),
      lines: [`${ERROR_CODES[error.code].title}: ${plain(error.message)}`],
      next: ERROR_CODES[error.code].hint,
    };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    code: EXIT.internal,
    lines: ['this is a bug in Nimbus:', ...text.split('\n').map(plain)],
    next: 'Report it with these lines',
  };
}

/** By name, so that the configuration's schema is loaded only where something is configured. */
const isConfigError = (error: unknown): error is ConfigError =>
  error instanceof Error && error.name === 'ConfigError';
