// A versitygw that runs on this machine: from the PATH, else from the user's cache, else built into it by `go install`,
// once. Plain JavaScript, so that `npm test` can have it built before the tests, saying so, and the tests find it there.
import { mkdirSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';

const VERSION = '1.8.0';
const MODULE = `github.com/versity/versitygw/cmd/versitygw@v${VERSION}`;

/** @param cache the module src/cli/local/cache, from the sources or from the build */
export async function findVersitygw(cache, context) {
  const { env, signal } = context;
  const installed = cache.onPath('versitygw', env);
  if (installed && (await cache.runs(installed, env))) return installed;
  const cached = join(cache.cacheDirectory(env), `versitygw-${VERSION}`, 'bin', 'versitygw');
  const goInstall = {
    what: `versitygw ${VERSION}, an S3 server for tests, to be built by go install: some minutes, once`,
    async make(target, scratch) {
      const bin = join(scratch, 'bin');
      mkdirSync(bin);
      await cache.step('go', ['install', MODULE], { env: { ...env, GOBIN: bin }, signal });
      await rename(join(bin, 'versitygw'), target);
    },
  };
  return await cache.obtain(cached, [goInstall], context);
}
