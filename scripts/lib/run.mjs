// Child processes of the scripts: inherited output, signals passed on, and the exit code as the answer.
import { spawn } from 'node:child_process';

/** Exit code of the command; 128 + n when a signal ended it. Never rejects: a command that cannot be started is 127. */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'inherit', ...options });
    const pass = (signal) => child.kill(signal);
    process.on('SIGINT', pass).on('SIGTERM', pass);
    const end = (code) => {
      process.off('SIGINT', pass).off('SIGTERM', pass);
      resolve(code);
    };
    child.once('error', (error) => {
      console.error(`nimbus: cannot start ${command}: ${error.message}`);
      end(127);
    });
    child.once('exit', (code, signal) => end(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}

export const say = (line) => console.log(`nimbus: ${line}`);

/** Seconds since `startMs`, for people. */
export const since = (startMs) => `${((Date.now() - startMs) / 1000).toFixed(1)} s`;
