// Sources → dist: the TypeScript compiler, one bundle of the workflows for the worker, and the `nimbus` command in few
// files, because it starts sooner than from a hundred. Built aside and swapped in whole, one build at a time, so
// that nobody ever runs a half-built product. `--if-stale`: only when sources changed.
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fingerprint, readMark, writeMark } from './lib/fingerprint.mjs';
import { withLock } from './lib/lock.mjs';
import { run, say, since } from './lib/run.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = [
  'src',
  'workflows',
  'activities',
  'tsconfig.json',
  'package.json',
  'scripts/build.mjs',
];
const dist = join(root, 'dist');

process.exit(
  await withLock(
    join(root, '.cache/build.lock'),
    () => say('waiting for another build of this checkout'),
    async () => {
      const wanted = fingerprint(root, sources);
      if (process.argv.includes('--if-stale') && readMark(join(dist, '.built-from')) === wanted)
        return 0;
      return build(wanted);
    },
  ),
);

async function build(wanted) {
  const startMs = Date.now();
  const fresh = join(root, `.cache/dist-${process.pid}`);
  say('building (TypeScript, workflow bundle): about half a minute, only after a change');
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const code = await run(process.execPath, [tsc, '-p', 'tsconfig.json', '--outDir', fresh], {
      cwd: root,
    });
    if (code !== 0) {
      console.error('nimbus: the TypeScript compiler refused the sources, see above.');
      return code;
    }
    await bundleWorkflows(fresh);
    await bundleCommand(fresh);
    writeMark(join(fresh, '.built-from'), wanted);
    swap(fresh);
    say(`built after ${since(startMs)}`);
    return 0;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function bundleWorkflows(fresh) {
  const workflowsPath = join(fresh, 'workflows/index.js');
  if (!existsSync(workflowsPath)) return;
  const { bundleWorkflowCode } = await import('@temporalio/worker');
  const quiet = {
    log() {},
    trace() {},
    debug() {},
    info() {},
    warn: console.warn,
    error: console.error,
  };
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: quiet });
  writeFileSync(join(fresh, 'workflow-bundle.js'), code);
}

/** As deep below dist as what it is made of: paths that are relative to a module hold in both. */
async function bundleCommand(fresh) {
  const { build } = await import('esbuild');
  await build({
    entryPoints: [join(fresh, 'src/cli/main.js')],
    outdir: join(fresh, 'program/cli'),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    logLevel: 'warning',
  });
}

function swap(fresh) {
  const old = join(root, `.cache/dist-old-${process.pid}`);
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(fresh, dist);
  rmSync(old, { recursive: true, force: true });
}
