/**
 * The `nimbus` command: reads the arguments, runs one command, and turns whatever comes of it into an exit code and, when
 * something went wrong, into what happened and what to do next. Commands live one a file in commands/.
 */
import { Command, CommanderError } from 'commander';
import { ConfigError, loadDotEnv } from '../config.js';
import { ERROR_CODES, isServiceError } from '../jobs/error-codes.js';
import { addApi } from './commands/api.command.js';
import { addDemo } from './commands/demo.command.js';
import { addDoctor } from './commands/doctor.command.js';
import { addFetch } from './commands/fetch.command.js';
import { addJobs } from './commands/jobs.command.js';
import { addRebuild } from './commands/rebuild.command.js';
import { addSandbox } from './commands/sandbox.command.js';
import { addUp } from './commands/up.command.js';
import { addVerify } from './commands/verify.command.js';
import { addWorker } from './commands/worker.command.js';
import { createRunner, type Runner } from './context.js';
import { CommandError, EXIT, EXIT_MEANINGS, exitCodeOf, type ExitCode } from './exit-codes.js';
import { toAddress } from './option-values.js';
import { plain } from './output/text.js';
import { version } from './project.js';

export async function runCli(argv: string[]): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `nimbus jobs list | head`: the reader has what it wanted.
    process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.internal);
  });
  let code: ExitCode = EXIT.ok;
  try {
    loadDotEnv();
    await createProgram(createRunner(process.env, (given) => (code = given))).parseAsync(argv);
  } catch (error) {
    code = report(error, argv.includes('--json'));
  }
  process.exit(code);
}

export function createProgram(run: Runner): Command {
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
  const groups: [title: string, adders: ((program: Command, run: Runner) => void)[]][] = [
    ['Start here:', [addDemo, addUp, addDoctor]],
    ['Fetch and follow:', [addFetch, addJobs, addVerify]],
    ['Parts, one process each:', [addApi, addWorker, addSandbox]],
    ['Upkeep:', [addRebuild]],
  ];
  for (const [title, adders] of groups) {
    program.commandsGroup(title);
    for (const add of adders) add(program, run);
  }
  return program;
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
  if (error instanceof ConfigError)
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
