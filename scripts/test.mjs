// `npm test`: everything but soak and chaos, ending in one line `N passed, N failed, N skipped` that is true to what ran.
// Format, lint and types count as one check each, every test as one. `npm test -- unit lint` runs only these parts
// (format, lint, types, unit, contract, e2e); any other word filters test files by name.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, say, since } from './lib/run.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const tool = (path, ...args) => [process.execPath, [join(root, 'node_modules', path), ...args]];
const checks = {
  format: tool('prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.'),
  lint: tool('eslint/bin/eslint.js', '.'),
  types: tool('typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.test.json'),
};
/** What a word stands for: the projects of vitest.config.ts, those that run by themselves included. */
const projects = {
  unit: ['unit', 'unit-alone'],
  contract: ['contract', 'contract-alone'],
  e2e: ['e2e', 'e2e-alone'],
};

const options = parse(process.argv.slice(2));
const tally = { passed: 0, failed: 0, skipped: 0, skips: {}, failures: [] };
let interrupted = null;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (interrupted = signal));

process.exit(await main());

async function main() {
  await everything().catch((error) => fail(error.stack ?? String(error)));
  if (interrupted) fail(`stopped by ${interrupted}`);
  if (tally.passed + tally.failed === 0) fail('nothing ran');
  for (const [why, count] of Object.entries(tally.skips)) say(`skipped ${count}: ${why}`);
  for (const failure of tally.failures) say(`failed: ${failure}`);
  const line = `${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`;
  if (options.closingLineFile) writeFileSync(options.closingLineFile, `${line}\n`);
  console.log(line);
  return tally.failed === 0 ? 0 : 1;
}

async function everything() {
  if ((await run(process.execPath, [join(root, 'scripts/ready.mjs')], { cwd: root })) !== 0)
    return fail('the checkout could not be made ready, see above');
  if (!interrupted) await Promise.all(options.checks.map(check));
  if (options.projects.length === 0 || interrupted) return;
  if (options.projects.some((project) => project !== 'unit')) await provision();
  if (!interrupted) await tests();
}

async function check(name) {
  const startMs = Date.now();
  say(`${name} …`);
  const code = await run(...checks[name], { cwd: root });
  if (code !== 0) return fail(`${name} (npm run ${name === 'format' ? 'format:check' : name})`);
  tally.passed += 1;
  say(`${name} passed (${since(startMs)})`);
}

/** Fetched once, before the tests, so that no test's time limit pays for it. Without them the tests say what is missing. */
async function provision() {
  const local = (file) => import(new URL(`../dist/src/cli/${file}`, import.meta.url).href);
  const { findTemporal } = await local('local/temporal-server.js');
  const { findMongod } = await local('local/mongod.js');
  const { createNotes } = await local('output/notes.js');
  const abort = new AbortController();
  const stop = () => abort.abort(new Error('interrupted'));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const context = { env: process.env, notes: createNotes(process.stdout), signal: abort.signal };
  say('looking for a Temporal server, a mongod and a versitygw');
  say(`Temporal: ${(await findTemporal(context)) ?? 'none can be had on this machine'}`);
  say(`mongod: ${(await findMongod(context)) ?? 'none can be had on this machine'}`);
  const { findVersitygw } = await import('../test/support/find-versitygw.mjs');
  const versitygw = await findVersitygw(await local('local/cache.js'), context);
  say(`versitygw: ${versitygw ?? 'none can be had on this machine'}`);
  process.off('SIGINT', stop).off('SIGTERM', stop);
}

async function tests() {
  const scratch = mkdtempSync(join(tmpdir(), 'nimbus-test-'));
  const file = join(scratch, 'tally.json');
  try {
    say(`tests: ${[...options.projects, ...options.filters].join(' ')} …`);
    const chosen = options.projects
      .flatMap((project) => projects[project])
      .map((project) => `--project=${project}`);
    const runner = join(root, 'scripts/lib/vitest-tally.mjs');
    const code = await run(process.execPath, [runner, file, ...chosen, ...options.filters], {
      cwd: root,
    });
    const result = readTally(file);
    if (!result) return fail(`vitest ended with code ${code} before all tests had run`);
    for (const key of ['passed', 'failed', 'skipped']) tally[key] += result[key];
    Object.assign(tally.skips, result.skips);
    if (result.failed > 0) tally.failures.push(`${result.failed} in the tests, see above`);
    else if (result.reason === 'interrupted') fail('the tests were interrupted');
    else if (code !== 0) fail(`vitest ended with code ${code} although no test failed`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function readTally(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

function fail(what) {
  tally.failed += 1;
  tally.failures.push(what);
}

function parse(args) {
  const words = args.filter((arg) => !arg.startsWith('--'));
  const known = [...Object.keys(checks), ...Object.keys(projects)];
  const filters = words.filter((word) => !known.includes(word));
  const named = words.filter((word) => known.includes(word));
  const all = words.length === 0;
  const pick = (names) => names.filter((name) => all || named.includes(name));
  const chosen = pick(Object.keys(projects));
  return {
    closingLineFile: args.find((arg) => arg.startsWith('--closing-line='))?.slice(15),
    checks: pick(Object.keys(checks)),
    projects: chosen.length === 0 && filters.length > 0 ? Object.keys(projects) : chosen,
    filters,
  };
}
