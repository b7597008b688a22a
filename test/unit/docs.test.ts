/** What the documentation says of the code, as far as a machine can compare the two. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { allOperations } from '../../src/api/operations.js';
import { EXIT_MEANINGS } from '../../src/cli/exit-codes.js';
import { storedEventTypes } from '../../src/jobs/event.js';
import { jobStates } from '../../src/jobs/job.js';
import { verificationLevels } from '../../src/jobs/product.js';

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const read = (page: string): string => readFileSync(page, 'utf8');

/** The anchor that a heading gets on a code host. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

describe('the documentation', () => {
  it.each(pages)('leads somewhere with every link of %s', (page) => {
    const links = [...read(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)];
    const broken = links.filter(([, path, anchor]) => {
      const target = path === '' ? page : join(dirname(page), path!);
      if (!existsSync(target)) return true;
      if (anchor === undefined) return false;
      const headings = [...read(target).matchAll(/^#+ (.+)$/gm)].map(([, text]) => text!);
      return !headings.map(anchorOf).includes(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });

  it('shows every route, event, state and level', () => {
    const api = read('docs/api.md').replaceAll('$JOB', '{id}');
    const routes = allOperations.map(({ path }) => path.replace('/{path}', '/'));
    const missing = [...routes, ...storedEventTypes, ...jobStates].filter(
      (it) => !api.includes(it),
    );
    // The page of a problem is linked from the problem itself.
    expect(missing).toEqual(['/problems/{code}']);
    const levels = verificationLevels.filter(
      (level) => !read('docs/architecture.md').includes(`| \`${level}\` |`),
    );
    expect(levels).toEqual([]);
  });

  it('lists the exit codes as the command line means them', () => {
    const rows = [...read('docs/cli.md').matchAll(/^\| (\d+) \| (.+) \|$/gm)];
    const plain = (text: string): string => text.replaceAll('`', '').replace(/ \(SIG\w+\)/, '');
    expect(rows.map(([, code, meaning]) => [Number(code), plain(meaning!)])).toEqual(
      EXIT_MEANINGS.map(([code, meaning]) => [code, plain(meaning)]),
    );
  });
});
