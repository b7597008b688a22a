// `npm start` and `npm run demo`: makes the checkout ready, then becomes `nimbus` with the arguments given. One process
// from npm's view, so that a signal to npm reaches what it is meant for.
import { fileURLToPath } from 'node:url';
import { run } from './lib/run.mjs';

const code = await run(process.execPath, [fileURLToPath(new URL('ready.mjs', import.meta.url))]);
if (code !== 0) process.exit(code);
await import('../bin/nimbus.mjs');
