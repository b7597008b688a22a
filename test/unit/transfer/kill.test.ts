/** F077 a process that is killed at any point: the next one goes on, the file is exact, and little is served twice. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compileTransfer } from '../../support/compiled-transfer.mjs';
import { honest } from '../../support/lying-server.js';
import { bytesOf, createKit, md5, type Kit } from '../../support/transfer-kit.js';

const BLOCK = 1024 * 1024;
const file = bytesOf(6_000_000);
const childPath = fileURLToPath(new URL('../../support/transfer-child.mjs', import.meta.url));

let compiled: Awaited<ReturnType<typeof compileTransfer>>;
beforeAll(async () => {
  compiled = await compileTransfer();
});
afterAll(() => compiled.remove());
let kit: Kit | undefined;
afterEach(async () => {
  await kit?.close();
  kit = undefined;
});

function start(kit: Kit, directory: string): ChildProcess {
  const child = fork(childPath);
  const { key, url, trustedHosts, plainHttpHosts, expectedBytes, checksums, fallbackName } =
    kit.source(file);
  child.send({
    entry: compiled.entry,
    source: { key, url, trustedHosts, plainHttpHosts, expectedBytes, checksums, fallbackName },
    options: { directory, limits: { blockBytes: BLOCK } },
  });
  return child;
}

describe.each([
  ['with a strong ETag', '"one"'],
  ['without a validator', null],
])('SIGKILL in the middle, %s', (_, etag) => {
  it('leaves what the next process goes on from', async () => {
    kit = await createKit((request) => ({
      ...honest(request, file, { etag }),
      sliceBytes: 64 * 1024,
      everyMs: 15,
    }));
    const points = Array.from({ length: 3 }, () => Math.random()).map(
      (share, index) => ((index + share) * file.length) / 3,
    );
    for (const point of points) {
      const child = start(kit, kit.directory);
      const ended = once(child, 'exit');
      while (kit.server.bytesSent() < point && child.exitCode === null)
        await new Promise((resolve) => setTimeout(resolve, 5));
      child.kill('SIGKILL');
      await ended;
    }
    const [outcome] = (await once(start(kit, kit.directory), 'message')) as [{ path: string }];
    expect(outcome).toMatchObject({ bytes: file.length, checksum: { value: md5(file) } });
    expect((await kit.content(outcome as never)).equals(file)).toBe(true);
    expect(kit.server.bytesSent()).toBeLessThanOrEqual(file.length + points.length * BLOCK);
  });
});
