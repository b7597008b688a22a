// The transfer engine, and whatever of test/support is asked for, as plain JavaScript the way the build leaves it: for
// processes that are started, measured and killed without a test runner.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));
const FOLDERS = ['src/transfer', 'src/jobs', 'test/support'];

/**
 * Inside `node_modules`, so that packages resolve from there.
 * @param {string[]} more folders and files that are wanted besides
 */
export async function compileTransfer(more = []) {
  const cache = join(root, 'node_modules', '.cache');
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, 'nimbus-test-'));
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  for (const path of [...FOLDERS, ...more]) {
    const names = path.endsWith('.ts')
      ? ['']
      : await readdir(join(root, path), { recursive: true });
    for (const file of names.map((name) => join(root, path, name)))
      if (file.endsWith('.ts') && !file.endsWith('.d.ts')) await compileFile(file, directory);
  }
  const urlOf = (path) => pathToFileURL(join(directory, path.replace(/\.ts$/, '.js'))).href;
  return {
    entry: join(directory, 'src/transfer/index.js'),
    urlOf,
    load: (path) => import(urlOf(path)),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

async function compileFile(path, directory) {
  const { outputText } = ts.transpileModule(await readFile(path, 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  const target = join(directory, relative(root, path).replace(/\.ts$/, '.js'));
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, outputText);
}
