/**
 * Any sequence of cuts, lies, pauses, refusals and expiring tokens ends in the exact file or in a typed error, never in a
 * wrong file and never in a hang; and an honest server mends it all. `NIMBUS_FAULT_RUNS` asks for more runs than fit a
 * daily test, `NIMBUS_TEST_SEED` for the very ones that failed.
 */
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES, isServiceError, type ServiceError } from '../../../src/jobs/error-codes.js';
import type { Checksum } from '../../../src/jobs/product.js';
import { certificateFor, hasOpenssl, trust, type Identity } from '../../support/certificates.js';
import {
  FAULTS,
  greetingOf,
  kindsFor,
  resetsConnection,
  scripted,
  type Fault,
  type World,
} from '../../support/faults.js';
import { bytesOf, useKits, type Kit } from '../../support/transfer-kit.js';

const RUNS = Number(process.env.NIMBUS_FAULT_RUNS ?? 100);
const serve = useKits();
const LONGEST_ATTEMPT_MS = 20_000;
/** Once the server is honest, calls until the file is there: the first may find that the product "changed". */
const HONEST_CALLS = 3;

const pool = bytesOf(3_000_000);
const { blake3 } = createRequire(import.meta.url)('@napi-rs/blake-hash') as {
  blake3: (bytes: Buffer) => Buffer;
};

type Knowledge = 'md5' | 'blake3' | 'both' | 'length' | 'nothing';

function digestOf(algorithm: Checksum['algorithm'], bytes: Buffer): Checksum {
  const value =
    algorithm === 'blake3'
      ? blake3(bytes).toString('hex')
      : createHash(algorithm).update(bytes).digest('hex');
  return { algorithm, value };
}

function checksumsOf(file: Buffer, knows: Knowledge): Checksum[] {
  const known = {
    md5: ['md5'],
    blake3: ['blake3'],
    both: ['md5', 'blake3'],
    length: [],
    nothing: [],
  };
  return (known[knows] as Checksum['algorithm'][]).map((algorithm) => digestOf(algorithm, file));
}

const rarely = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { freq: 6, nil: undefined });
const cutAt = rarely(fc.double({ min: 0, max: 1, noNaN: true }));
const sliceBytes = rarely(fc.constantFrom(7, 100, 1460, 5000));

const scene = fc
  .record({
    size: fc.oneof(
      fc.integer({ min: 1, max: 150_000 }),
      fc.integer({ min: 150_000, max: 1_400_000 }),
    ),
    knows: fc.constantFrom<Knowledge>('md5', 'blake3', 'both', 'length', 'length', 'nothing'),
    knowsLength: fc.boolean(),
    isPinned: fc.boolean(),
    isDated: fc.boolean(),
    servesRanges: fc.constantFrom(true, true, true, false),
    connections: fc.integer({ min: 1, max: 8 }),
    takes: fc.constantFrom(null, null, null, 1, 2, 4),
  })
  .chain((fixed) => {
    const digest = !['length', 'nothing'].includes(fixed.knows);
    const length = fixed.knows === 'length' || (digest && fixed.knowsLength);
    const kinds = kindsFor({ digest, length });
    const quick = kinds.filter((kind) => !FAULTS[kind]?.slow);
    const slow = kinds.filter((kind) => FAULTS[kind]?.slow);
    const fault: fc.Arbitrary<Fault> = fc.record({
      kind: fc.oneof(
        { weight: 20, arbitrary: fc.constantFrom(...quick) },
        { weight: 2, arbitrary: fc.constant('the client is told to stop') },
        { weight: 1, arbitrary: fc.constantFrom(...slow) },
      ),
      share: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      amount: fc.nat(999_999),
      // where nothing is known of a file, one that is cut may pass for whole
      cutAt: digest || length ? cutAt : fc.constant(undefined),
      sliceBytes,
    });
    return fc.record({
      fixed: fc.constant({ ...fixed, knowsLength: length }),
      faults: fc.array(fault, { maxLength: 10 }),
    });
  });

let world: World;
let stop = new AbortController();

async function attempt(
  kit: Kit,
  directory: string,
  source: ReturnType<Kit['source']>,
): Promise<ServiceError | null> {
  stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('The transfer hangs')), LONGEST_ATTEMPT_MS);
  });
  const transfer = kit.fetch(source, {
    directory,
    signal: stop.signal,
    limits: { connectMs: 400, floorMs: 300, floorBytesPerSecond: 1000 },
  });
  try {
    const result = await Promise.race([transfer, hang]);
    const bytes = await readFile(result.path);
    expect(bytes.equals(world.file), 'what is verified is exact').toBe(true);
    expect(result.digests).toEqual(
      result.digests.map(({ algorithm }) => digestOf(algorithm, bytes)),
    );
    return null;
  } catch (error) {
    if (!isServiceError(error)) throw error;
    expect(ERROR_CODES).toHaveProperty(error.code);
    expect(error.code, error.stack).not.toBe('Internal');
    return error;
  } finally {
    clearTimeout(timer);
  }
}

/** Draws scenes and plays each, against plain HTTP or TLS. */
async function playScenes(runs: number, identity?: Identity): Promise<void> {
  const kit = await serve(
    scripted(() => world),
    {
      server: {
        ...(identity && { identity }),
        onConnection: () => (resetsConnection(world) ? 'reset' : (greetingOf(world) ?? 'accept')),
      },
    },
  );
  let run = 0;
  await fc.assert(
    fc.asyncProperty(scene, async ({ fixed, faults }) => {
      const { size, knows, knowsLength, isPinned, isDated, servesRanges, connections, takes } =
        fixed;
      const start = size % 1000;
      world = {
        file: pool.subarray(start, start + size),
        other: pool.subarray(start + 1_500_000, start + 1_500_000 + size),
        etag: isPinned ? '"one"' : null,
        lastModified: isDated ? 'Wed, 01 Jan 2025 00:00:00 GMT' : null,
        servesRanges,
        takes,
        faults: structuredClone(faults),
        validToken: 0,
        forbiddenHost: '127.0.0.1:9',
        onPause: () => stop.abort(),
      };
      let token = 0;
      const source = kit.source(world.file, {
        connections,
        checksums: checksumsOf(world.file, knows),
        expectedBytes: knowsLength ? size : null,
        headers: async () => ({ authorization: `Bearer ${token}` }),
        rejected: () => void token++,
      });
      const directory = join(kit.directory, String(++run));
      let error = await attempt(kit, directory, source);
      while (error && world.faults.length > 0) error = await attempt(kit, directory, source);
      for (let calls = 0; error && calls < HONEST_CALLS; calls++)
        error = await attempt(kit, directory, source);
      expect(error, 'an honest server mends it').toBeNull();
      expect(kit.server.peaks.get('/') ?? 0, 'connections').toBeLessThanOrEqual(connections);
      kit.server.peaks.clear();
    }),
    { numRuns: runs },
  );
}

const timeout = 10_000 + RUNS * 2_000;

describe('ends in the exact file or in a typed error, and an honest server mends it', () => {
  it('over plain HTTP', { timeout }, () => playScenes(RUNS));

  it.skipIf(!hasOpenssl)('over TLS (skipped without openssl)', { timeout }, async () => {
    const identity = certificateFor('IP:127.0.0.1');
    const distrust = trust(identity);
    try {
      await playScenes(Math.ceil(RUNS / 3), identity);
    } finally {
      distrust();
    }
  });
});
