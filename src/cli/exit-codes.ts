/**
 * What the exit code of `nimbus` means, as one table: shown by `nimbus --help` and in docs/cli.md. 64 and up follow sysexits.h.
 */
import type { ErrorCode } from '../jobs/error-codes.js';

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  dataError: 65,
  unavailable: 69,
  internal: 70,
  temporary: 75,
  config: 78,
  interrupted: 130,
  unread: 141,
  terminated: 143,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_MEANINGS: [code: ExitCode, meaning: string][] = [
  [EXIT.ok, 'done'],
  [
    EXIT.failed,
    'a job failed or was cancelled, a file was not got or does not verify, a check of doctor failed',
  ],
  [EXIT.usage, 'the command line or the request cannot be understood'],
  [EXIT.dataError, 'a file that was given cannot be read as what it should be'],
  [EXIT.unavailable, 'something needed is not there: the API, Temporal, a port, a download'],
  [EXIT.internal, 'a bug in Nimbus'],
  [EXIT.temporary, 'busy: another process has it; try again later'],
  [EXIT.config, 'a variable of the environment cannot be used, or the directory that it names'],
  [EXIT.interrupted, 'stopped by Ctrl-C (SIGINT)'],
  [EXIT.unread, 'whoever read the output has gone (SIGPIPE)'],
  [EXIT.terminated, 'stopped by SIGTERM'],
];

const byErrorCode: Partial<Record<ErrorCode, ExitCode>> = {
  BadRequest: EXIT.usage,
  InvalidInput: EXIT.usage,
  PayloadTooLarge: EXIT.usage,
  Unauthorized: EXIT.config,
  NotFound: EXIT.failed,
  Conflict: EXIT.failed,
  EngineUnavailable: EXIT.unavailable,
  StoreUnavailable: EXIT.unavailable,
  SourceUnavailable: EXIT.unavailable,
  SourceThrottled: EXIT.temporary,
  StorageFull: EXIT.temporary,
  Internal: EXIT.internal,
};

export const exitCodeOf = (code: ErrorCode): ExitCode => byErrorCode[code] ?? EXIT.failed;

/** What stops a command, said to a person: what happened, what to do next, and with which code the process ends. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(
    message: string,
    readonly exitCode: ExitCode,
    readonly nextStep: string | null = null,
    /** The API asked to come again after so long; null when it did not. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}
