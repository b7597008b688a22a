/** The transfer engine as plain JavaScript, the way the build leaves it, for child processes that tests kill. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Inside `node_modules`, so that packages resolve from there. */
export async function compileTransfer(): Promise<{ entry: string; remove: () => Promise<void> }> {
  const cache = join(root, 'node_modules', '.cache');
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, 'nimbus-test-'));
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  for (const folder of ['src/transfer', 'src/jobs']) {
    const names = await readdir(join(root, folder), { recursive: true });
    for (const name of names.filter((one) => one.endsWith('.ts')))
      await compileFile(join(root, folder, name), directory);
  }
  return {
    entry: join(directory, 'src/transfer/index.js'),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

async function compileFile(path: string, directory: string): Promise<void> {
  const { outputText } = ts.transpileModule(await readFile(path, 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  const target = join(directory, relative(root, path).replace(/\.ts$/, '.js'));
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, outputText);
}
