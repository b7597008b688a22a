#!/usr/bin/env node
// The `nimbus` command. Everything is in src/cli; this file only says what to do when that is not built yet.
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/cli/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('nimbus: not built yet. Run: npm ci && npm run build');
  process.exit(69);
}
const { runCli } = await import(main);
await runCli(process.argv);
