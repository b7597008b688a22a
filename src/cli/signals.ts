/**
 * Being told to stop. The first SIGINT or SIGTERM aborts a signal, on which the command winds down in order; a second
 * one ends the process at once, which every part of Nimbus survives. npm and a terminal both pass a Ctrl-C on, so a
 * repeat within half a second is the same wish.
 */
import { EXIT, type ExitCode } from './exit-codes.js';

export type StopSignal = 'SIGINT' | 'SIGTERM';

export interface Stop {
  readonly signal: AbortSignal;
  /** Which one came; null while none has. */
  which(): StopSignal | null;
  /** Exit code of a command that was stopped; `whenAsked` where stopping is its normal end. */
  exitCode(): ExitCode;
}

const SAME_WISH_MS = 500;

export function listenForStop(onSecond: () => void): Stop {
  const controller = new AbortController();
  let first: { signal: StopSignal; atMs: number } | null = null;
  const exitCode = (): ExitCode =>
    first?.signal === 'SIGTERM' ? EXIT.terminated : EXIT.interrupted;
  const onSignal = (signal: StopSignal): void => {
    if (first === null) {
      first = { signal, atMs: performance.now() };
      controller.abort(new Error(`stopped by ${signal}`));
    } else if (performance.now() - first.atMs > SAME_WISH_MS) {
      onSecond();
      process.exit(exitCode());
    }
  };
  process.on('SIGINT', () => onSignal('SIGINT')).on('SIGTERM', () => onSignal('SIGTERM'));
  return { signal: controller.signal, which: () => first?.signal ?? null, exitCode };
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener('abort', () => resolve(), { once: true }),
  );
}
