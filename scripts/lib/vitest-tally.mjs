// Runs vitest and writes down what became of every test, so that the closing line of `npm test` counts what ran and
// nothing else. Arguments: the file to write, then names of projects and filters of files.
import { writeFileSync } from 'node:fs';
import { startVitest } from 'vitest/node';

const [tallyFile, ...args] = process.argv.slice(2);
const projects = args.filter((arg) => arg.startsWith('--project=')).map((arg) => arg.slice(10));
const filters = args.filter((arg) => !arg.startsWith('--'));

const counter = {
  onTestRunEnd(modules, unhandledErrors, reason) {
    const tally = { passed: 0, failed: 0, skipped: 0, skips: {}, reason };
    tally.failed += unhandledErrors.length;
    for (const module of modules) {
      // A file that could not be loaded, or a hook of its own that failed, is a failure beside its tests.
      tally.failed += module.errors().length;
      for (const suite of module.children.allSuites()) tally.failed += suite.errors().length;
      for (const test of module.children.allTests()) count(tally, test, module);
    }
    writeFileSync(tallyFile, JSON.stringify(tally));
  },
};

function count(tally, test, module) {
  const { state, note } = test.result();
  if (state === 'passed') tally.passed += 1;
  else if (state === 'failed') tally.failed += 1;
  else {
    tally.skipped += 1;
    const why = note ?? reasonInName(test) ?? `no reason given (${module.relativeModuleId})`;
    tally.skips[why] = (tally.skips[why] ?? 0) + 1;
  }
}

/** `describe.skipIf(…)('… (skipped without ../shared)')`: the nearest name that ends in brackets tells why. */
function reasonInName(node) {
  for (let at = node; at?.name !== undefined; at = at.parent) {
    const match = /\((?:skipped|needs)?[:,]? ?([^()]+)\)$/.exec(at.name);
    if (match) return match[1];
  }
  return undefined;
}

const vitest = await startVitest('test', filters, {
  run: true,
  watch: false,
  passWithNoTests: false,
  ...(projects.length > 0 ? { project: projects } : {}),
  reporters: ['default', counter],
});
await vitest?.close();
