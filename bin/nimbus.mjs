#!/usr/bin/env node
// The `nimbus` command. Everything is in src/cli; this file only says what to do when that is not built yet.
import { existsSync } from 'node:fs';
import module from 'node:module';

const main = new URL('../dist/program/cli/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('nimbus: not built yet. Run: npm ci && npm run build');
  process.exit(69);
}
// From Node 22.1 on, what was compiled once is kept; Node 20 has no such thing.
module.enableCompileCache?.();
const { runCli } = await import(main);
await runCli(process.argv);
