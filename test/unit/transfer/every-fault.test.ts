/**
 * Each fault of the catalogue by itself: as the answer to the first request or to a later one, to one connection and to
 * several, with a strong ETag and without. It ends in the exact file or in a typed error that says what is wrong, and an
 * honest server mends it.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isServiceError, type ServiceError } from '../../../src/jobs/error-codes.js';
import {
  FAULTS,
  greetingOf,
  KINDS,
  resetsConnection,
  scripted,
  type World,
} from '../../support/faults.js';
import type { TransferSource } from '../../../src/transfer/transfer.js';
import { bytesOf, useKits, type Kit } from '../../support/transfer-kit.js';

const file = bytesOf(300_000);
const other = bytesOf(300_000, 2);
const LIMITS = { connectMs: 300, floorMs: 300, floorBytesPerSecond: 1000 };
const serve = useKits();

interface Scene {
  name: string;
  connections: number;
  etag: string | null;
  /** Cuts before the fault, so that there is something to go on from. */
  after: number;
}
const scenes: Scene[] = [
  { name: 'first', connections: 1, etag: '"one"', after: 0 },
  { name: 'resumed', connections: 1, etag: '"one"', after: 1 },
  { name: 'unpinned', connections: 1, etag: null, after: 1 },
  { name: 'first-of-four', connections: 4, etag: null, after: 0 },
  { name: 'later-of-four', connections: 4, etag: '"one"', after: 3 },
];

/**
 * No more is known of the file than what it takes to tell that the answer is wrong: a digest would forgive the engine
 * whatever it believes on the way.
 */
function knowledgeFor(kind: string, isTold: boolean): Partial<TransferSource> {
  const by = FAULTS[kind]?.detectableBy;
  if (by === 'digest') return {};
  return { checksums: [], ...(by === 'anyone' && !isTold && { expectedBytes: null }) };
}

async function outlives(kit: Kit, kind: string, scene: Scene, world: World): Promise<void> {
  let stop = new AbortController();
  world.onPause = () => stop.abort();
  let token = 0;
  const source = kit.source(file, {
    url: kit.server.url(`/${scene.name}/file`),
    connections: scene.connections,
    ...knowledgeFor(kind, scene.after > 0),
    headers: async () => ({ authorization: `Bearer ${token}` }),
    rejected: () => void token++,
  });
  const directory = join(kit.directory, scene.name);
  const attempt = async (): Promise<ServiceError | null> => {
    stop = new AbortController();
    try {
      const result = await kit.fetch(source, { directory, signal: stop.signal, limits: LIMITS });
      expect((await kit.content(result)).equals(file), scene.name).toBe(true);
      return null;
    } catch (error) {
      if (!isServiceError(error) || error.code === 'Internal') throw error;
      return error;
    }
  };
  let error = await attempt();
  for (let calls = 0; error && calls < 3; calls++) error = await attempt();
  expect(error, scene.name).toBeNull();
  const peak = kit.server.peaks.get(`/${scene.name}/`) ?? 0;
  expect(peak, `connections of ${scene.name}`).toBeLessThanOrEqual(scene.connections);
}

describe('a server that once', () => {
  it.each(KINDS)('answers with: %s', async (kind) => {
    const worlds = new Map<string, World>();
    const kit = await serve(
      scripted(({ path }) => worlds.get(path.split('/')[1] ?? '')),
      {
        server: {
          onConnection: () => {
            if ([...worlds.values()].some(resetsConnection)) return 'reset';
            for (const world of worlds.values()) {
              const greeting = greetingOf(world);
              if (greeting) return greeting;
            }
            return 'accept';
          },
        },
      },
    );
    for (const [index, { name, etag, after }] of scenes.entries())
      worlds.set(name, {
        file,
        other,
        etag,
        lastModified: null,
        servesRanges: true,
        takes: null,
        faults: [
          ...Array.from({ length: after }, () => ({
            kind: 'cut by a clean end',
            share: 0.4,
            amount: 0,
          })),
          { kind, share: 0.6, amount: 7919 * (index + 1) },
        ],
        validToken: 0,
        forbiddenHost: '127.0.0.1:9',
      });
    await Promise.all(scenes.map((scene) => outlives(kit, kind, scene, worlds.get(scene.name)!)));
    expect([...worlds.values()].flatMap(({ faults }) => faults)).toEqual([]);
  });
});
