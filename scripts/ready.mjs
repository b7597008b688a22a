// Makes a checkout ready to run: right Node, dependencies installed, product built. Says what it does while it does it,
// does nothing when nothing is needed, and ends non-zero with a next step otherwise. Needs nothing but Node.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const needed = [20, 19];

process.exit(await ready());

async function ready() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < needed[0] || (major === needed[0] && minor < needed[1])) {
    console.error(
      `nimbus: Node ${needed.join('.')} or newer is needed, this is ${process.version} (${process.execPath}).\n` +
        'nimbus: Install a newer one from https://nodejs.org or with your version manager (for example: nvm install 20), then run this again.',
    );
    return 1;
  }
  const { withLock } = await import('./lib/lock.mjs');
  const { say } = await import('./lib/run.mjs');
  return withLock(
    join(root, '.cache/ready.lock'),
    () => say('waiting for another process that is preparing this checkout'),
    async () => (await install(say)) || (await build()),
  );
}

async function install(say) {
  const { fingerprint, readMark, writeMark } = await import('./lib/fingerprint.mjs');
  const { run, since } = await import('./lib/run.mjs');
  const mark = join(root, 'node_modules/.nimbus-installed');
  const wanted = fingerprint(root, ['package-lock.json']);
  if (readMark(mark) === wanted) return 0;
  if (installedByHand()) {
    writeMark(mark, wanted);
    return 0;
  }
  say(
    existsSync(join(root, 'node_modules'))
      ? 'dependencies changed: installing them again (npm ci)'
      : 'installing dependencies (npm ci): about a minute, once',
  );
  const startMs = Date.now();
  const npm = process.env.npm_execpath;
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const code = npm?.endsWith('.js')
    ? await run(process.execPath, [npm, ...args], { cwd: root })
    : await run('npm', args, { cwd: root });
  if (code !== 0) {
    console.error(
      `nimbus: npm ci failed with code ${code}, see above. Check that the npm registry can be reached (npm ping), then run this again.`,
    );
    return code;
  }
  writeMark(mark, wanted);
  say(`dependencies installed after ${since(startMs)}`);
  return 0;
}

/** npm's own list of what lies in node_modules, written last, holds every package of the lock file in its version. */
function installedByHand() {
  const made = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(made)) return false;
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const installed = packages(made);
  return Object.entries(packages(join(root, 'package-lock.json'))).every(
    ([path, { version, optional }]) =>
      path === '' || installed[path]?.version === version || (optional && !installed[path]),
  );
}

async function build() {
  const { run } = await import('./lib/run.mjs');
  return run(process.execPath, [join(root, 'scripts/build.mjs'), '--if-stale'], { cwd: root });
}
