/** Where the project lies and which version it is: package.json is two folders above src/cli, three above dist/program/cli. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root =
  ['../../', '../../../']
    .map((path) => new URL(path, import.meta.url))
    .find((folder) => existsSync(new URL('package.json', folder))) ??
  new URL('./', import.meta.url);

export const version = (
  JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string }
).version;

/** The `nimbus` program, to start it again as another process. */
export const nimbusProgram = fileURLToPath(new URL('bin/nimbus.mjs', root));
