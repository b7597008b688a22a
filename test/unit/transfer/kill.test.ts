/** F077 a process that is killed at any point: the next one goes on, the file is exact, and little is served twice. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileTransfer, type CompiledTransfer } from '../../support/compiled-transfer.mjs';
import {
  FAULTS,
  KINDS,
  resetsConnection,
  scripted,
  seeded,
  type World,
} from '../../support/faults.js';
import { honest } from '../../support/lying-server.js';
import { bytesOf, md5, useKits, type Kit } from '../../support/transfer-kit.js';

const BLOCK = 1024 * 1024;
const file = bytesOf(6_000_000);
const childPath = fileURLToPath(new URL('../../support/transfer-child.mjs', import.meta.url));
const serve = useKits();

let compiled: CompiledTransfer;
beforeAll(async () => {
  compiled = await compileTransfer();
});
afterAll(() => compiled.remove());

function start(kit: Kit, connections: number, limits: object): ChildProcess {
  const child = fork(childPath);
  const { headers: _, rejected: __, translate: ___, ...source } = kit.source(file, { connections });
  child.send({ entry: compiled.entry, source, options: { directory: kit.directory, limits } });
  return child;
}

/**
 * Kills a process of its own once the server has sent so much; it may end before by itself.
 * @returns the bytes that it had not read yet: a busy machine may be slow to let it
 */
async function killAt(kit: Kit, bytes: number, child: ChildProcess): Promise<number> {
  const ended = once(child, 'exit');
  while (kit.server.bytesSent() < bytes && child.exitCode === null)
    await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill('SIGSTOP');
  const unread = kit.server.unreadBytes() + kit.server.writableBytes();
  child.kill('SIGKILL');
  await ended;
  return unread;
}

describe.each([
  ['with a strong ETag', '"one"'],
  ['without a validator', null],
])('SIGKILL in the middle, %s', (_, etag) => {
  it.each([1, 4])(
    'leaves what the next process goes on from, with %i connections',
    async (connections) => {
      const kit = await serve((request) => ({
        ...honest(request, file, { etag }),
        sliceBytes: 64 * 1024,
        everyMs: 10 * connections,
      }));
      const points = Array.from({ length: 3 }, () => Math.random()).map(
        (share, index) => ((index + share) * file.length) / 3,
      );
      const limits = { blockBytes: BLOCK };
      let unread = 0;
      for (const point of points)
        unread += await killAt(kit, point, start(kit, connections, limits));
      const [outcome] = (await once(start(kit, connections, limits), 'message')) as [
        { path: string },
      ];
      expect(outcome).toMatchObject({ bytes: file.length, checksum: { value: md5(file) } });
      expect((await kit.content(outcome as never)).equals(file)).toBe(true);
      expect(kit.server.bytesSent()).toBeLessThanOrEqual(
        file.length + points.length * BLOCK + unread,
      );
      expect(await kit.listing()).toEqual(['journal', 'verified']);
    },
  );
});

describe('SIGKILL while the server lies', () => {
  const quick = KINDS.filter((kind) => !FAULTS[kind]?.slow);
  it.each([1, 2, 3].map((seed) => seed + Math.floor(Math.random() * 1e6) * 10))(
    'still ends in the exact file (seed %i)',
    async (seed) => {
      const random = seeded(seed);
      const world: World = {
        file,
        other: bytesOf(file.length, 2),
        etag: random() < 0.5 ? '"one"' : null,
        lastModified: null,
        servesRanges: random() < 0.8,
        faults: Array.from({ length: 8 }, () => ({
          kind: quick[Math.floor(random() * quick.length)] as string,
          share: random(),
          amount: Math.floor(random() * 1e6),
        })),
        takes: null,
        validToken: 0,
        forbiddenHost: '127.0.0.1:9',
      };
      const kinds = world.faults.map(({ kind }) => kind).join(', ');
      // the child has one token, and cannot get another
      world.faults = world.faults.filter(({ kind }) => kind !== 'token expires');
      const answer = scripted(() => world);
      const kit = await serve(async (request) => ({ everyMs: 5, ...(await answer(request)) }), {
        server: { onConnection: () => (resetsConnection(world) ? 'reset' : 'accept') },
      });
      const connections = 1 + Math.floor(random() * 8);
      const limits = { blockBytes: BLOCK / 4, idleMs: 500, headersMs: 500, floorMs: 500 };
      for (let kill = 0; kill < 3; kill++)
        await killAt(
          kit,
          kit.server.bytesSent() + random() * file.length * 0.5,
          start(kit, connections, limits),
        );
      let outcome: { path?: string; code?: string } = {};
      for (let calls = 0; outcome.path === undefined && calls < 12; calls++)
        [outcome] = (await once(start(kit, connections, limits), 'message')) as [typeof outcome];
      expect(outcome, kinds).toHaveProperty('path');
      expect((await kit.content(outcome as never)).equals(file), kinds).toBe(true);
    },
    60_000,
  );
});
