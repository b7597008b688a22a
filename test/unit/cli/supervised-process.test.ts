/** Real programs: that they come back, end with us and leave nothing is the point. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { supervise, type ProcessSpec } from '../../../src/cli/local/supervised-process.js';

const directory = mkdtempSync(join(tmpdir(), 'nimbus-supervise-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;
/** A program that writes `ready` when it runs and `ended` when TERM let it end. */
function program(overrides: Partial<ProcessSpec> & { script?: string } = {}): ProcessSpec & {
  mark: string;
} {
  const mark = join(directory, `mark-${(count += 1)}`);
  const script =
    overrides.script ??
    `const fs = require('fs');
     process.on('SIGTERM', () => { fs.appendFileSync(process.argv[1], 'ended '); process.exit(0); });
     setInterval(() => {}, 1000); fs.appendFileSync(process.argv[1], 'ready ');`;
  return {
    name: 'program',
    command: process.execPath,
    args: ['-e', script, mark],
    logFile: join(directory, `log-${count}`),
    graceMs: 2_000,
    isReady: () => Promise.resolve(existsSync(mark)),
    readyTimeoutMs: 10_000,
    restart: true,
    ...overrides,
    mark,
  };
}

/** A zombie runs no more: it only waits for init to collect it. */
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    const stat = `/proc/${pid}/stat`;
    return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, 'utf8'));
  } catch {
    return false;
  }
};

describe('supervise', () => {
  it('ends the program with TERM and waits for it', async () => {
    const spec = program();
    const child = supervise(spec, () => {});
    await child.start();
    const pid = child.pid()!;
    await child.stop();
    expect(readFileSync(spec.mark, 'utf8')).toBe('ready ended ');
    expect(isAlive(pid)).toBe(false);
    expect(child.pid()).toBeNull();
  });

  it('starts a killed program again and says so', async () => {
    const said: string[] = [];
    const spec = program();
    const child = supervise(spec, (line) => said.push(line));
    await child.start();
    await child.kill('SIGKILL');
    await vi.waitFor(() => expect(readFileSync(spec.mark, 'utf8')).toBe('ready ready '), 5_000);
    expect(said).toEqual([expect.stringMatching(/^program was killed: starting it again in/)]);
    await child.stop();
  });

  it('kills a program that ignores TERM after the grace', async () => {
    const spec = program({
      graceMs: 300,
      script: `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); require('fs').writeFileSync(process.argv[1], '');`,
    });
    const child = supervise(spec, () => {});
    await child.start();
    const pid = child.pid()!;
    await child.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('tells the end of the log of a program that does not start', async () => {
    const spec = program({ script: `console.error('no such table'); process.exit(3)` });
    await expect(supervise(spec, () => {}).start()).rejects.toMatchObject({
      exitCode: 69,
      message: expect.stringMatching(/program ended with code 3\n {2}\| no such table/),
    });
  });

  it('ends the program when its parent is killed without a word', async () => {
    const mark = join(directory, 'orphan');
    const parentScript = join(directory, 'parent.mjs');
    const module = join(process.cwd(), 'src/cli/local/supervised-process.ts');
    const built = await import('vite').then((vite) =>
      vite.build({
        logLevel: 'silent',
        build: {
          ssr: module,
          outDir: join(directory, 'built'),
          rollupOptions: { output: { entryFileNames: 'supervise.mjs' } },
        },
      }),
    );
    expect(built).toBeTruthy();
    writeFileSync(
      parentScript,
      `import { supervise } from './built/supervise.mjs';
       const script = ${JSON.stringify(program().args[1])};
       const child = supervise({ name: 'p', command: process.execPath, args: ['-e', script, ${JSON.stringify(mark)}],
         logFile: ${JSON.stringify(join(directory, 'orphan.log'))}, graceMs: 2000, readyTimeoutMs: 10000, restart: true,
         isReady: async () => (await import('node:fs')).existsSync(${JSON.stringify(mark)}) }, () => {});
       await child.start();
       console.log(child.pid());
       setInterval(() => {}, 1000);`,
    );
    const parent = spawn(process.execPath, [parentScript], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = Number(
      await new Promise<string>((resolve) =>
        parent.stdout.once('data', (data: Buffer) => resolve(String(data))),
      ),
    );
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), 5_000);
    expect(readFileSync(mark, 'utf8')).toBe('ready ended ');
  });
});
