/**
 * A Python environment with the clients that the sandbox is judged by, made on demand and kept in the user's cache.
 * The only step of the tests that may use the network; where it cannot be made, the reason is returned.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const packages = ['eodag==4.10.1', 'cdsetool==0.3.3'];

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

export function run(
  command: string,
  args: string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; timeoutMs: number },
): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env,
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    });
    const ran: Ran = { code: null, stdout: '', stderr: '' };
    child.stdout.on('data', (part: Buffer) => (ran.stdout += part.toString()));
    child.stderr.on('data', (part: Buffer) => (ran.stderr += part.toString()));
    child.on('error', (error) => resolve({ ...ran, stderr: String(error) }));
    child.on('close', (code) => resolve({ ...ran, code }));
  });
}

/** The environment's Python, or why there is none. */
export async function clientsPython(): Promise<{ python: string } | { reason: string }> {
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const folder = join(cache, 'nimbus', 'clients-venv');
  const python = join(folder, 'bin', 'python');
  const mark = join(folder, `ready-${packages.join('-')}`);
  if (existsSync(mark)) return { python };
  mkdirSync(join(cache, 'nimbus'), { recursive: true });
  const made = await run('python3', ['-m', 'venv', folder], {
    env: process.env,
    timeoutMs: 120_000,
  });
  if (made.code !== 0) {
    rmSync(folder, { recursive: true, force: true });
    return { reason: `python3 -m venv failed: ${lastLine(made)}` };
  }
  const install = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...packages];
  const installed = await run(python, install, { env: process.env, timeoutMs: 540_000 });
  if (installed.code !== 0) return { reason: `pip install failed: ${lastLine(installed)}` };
  writeFileSync(mark, '');
  return { python };
}

function lastLine({ stdout, stderr }: Ran): string {
  return (stderr.trim() || stdout.trim()).split('\n').at(-1) ?? 'no output';
}
