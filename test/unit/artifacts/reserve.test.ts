/** F066: room is promised before the first byte, between promises, processes and crashes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createReservations, type Disk } from '../../../src/artifacts/local/reserve.js';
import { isServiceError } from '../../../src/jobs/error-codes.js';
import { compileTransfer } from '../../support/compiled-transfer.mjs';

const MIB = 1024 * 1024;
let partials: string;
beforeEach(async () => {
  partials = await mkdtemp(join(tmpdir(), 'nimbus-reserve-'));
});
afterEach(() => rm(partials, { recursive: true, force: true }));

const at = (name: string) => join(partials, name);
/** One process of its own, as far as the code can tell. */
const ledger = (disk: Disk | (() => Disk), marginBytes: number | null = 0) =>
  createReservations({
    partials,
    marginBytes,
    disk: async () => (typeof disk === 'function' ? disk() : disk),
  });
const free = (freeBytes: number, totalBytes = 100 * MIB): Disk => ({ freeBytes, totalBytes });
const outcome = async (reserved: Promise<unknown>) =>
  await reserved.then(
    () => 'granted',
    (error: unknown) => (isServiceError(error) ? error.code : String(error)),
  );

describe('F066 room on the disk', () => {
  it('is refused before the first byte, saying how much is missing and what frees it', async () => {
    const { reserve } = ledger(free(10 * MIB), 2 * MIB);
    await reserve(at('a'), 5 * MIB);
    const error: unknown = await reserve(at('b'), 4 * MIB).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'StorageFull',
      details: {
        needed_bytes: 4 * MIB,
        free_bytes: 10 * MIB,
        reserved_bytes: 5 * MIB,
        margin_bytes: 2 * MIB,
      },
    });
    expect((error as Error).message).toBe(
      'No room for 5 MB more: 11 MB are free, of which 6 MB are promised to transfers under way ' +
        'and 3 MB stay free. Goes on when transfers end or files are removed',
    );
    expect(await readdir(partials)).toEqual(['a']);
    await expect(reserve(at('b'), 3 * MIB)).resolves.toBeTypeOf('function');
  });

  it('is given back by its holder, and with the directory', async () => {
    const { reserve } = ledger(free(10 * MIB));
    const release = await reserve(at('a'), 6 * MIB);
    expect(await outcome(reserve(at('b'), 6 * MIB))).toBe('StorageFull');
    await release();
    await release();
    await reserve(at('b'), 6 * MIB);
    await rm(at('b'), { recursive: true });
    expect(await outcome(reserve(at('a'), 6 * MIB))).toBe('granted');
  });

  it('survives a crash, and is asked for anew by whoever goes on', async () => {
    await ledger(free(10 * MIB)).reserve(at('a'), 6 * MIB);
    const later = ledger(free(10 * MIB));
    expect(await outcome(later.reserve(at('b'), 6 * MIB))).toBe('StorageFull');
    expect(await outcome(later.reserve(at('a'), 7 * MIB))).toBe('granted');
    expect((await readdir(at('a'))).length).toBe(1);
    expect(await outcome(ledger(free(5 * MIB)).reserve(at('a'), 6 * MIB))).toBe('StorageFull');
  });

  it('counts blocks that are allocated, not the length of a preallocated file', async () => {
    const { reserve } = ledger(free(10 * MIB));
    await reserve(at('a'), 8 * MIB);
    await writeFile(join(at('a'), 'part.1'), Buffer.alloc(3 * MIB, 1));
    await truncate(join(at('a'), 'part.1'), 8 * MIB);
    await writeFile(join(at('a'), 'disputed-0'), Buffer.alloc(8 * MIB, 1));
    // The disk is told to have 10 MiB free still: 5 are owed.
    expect(await outcome(reserve(at('b'), 6 * MIB))).toBe('StorageFull');
    expect(await outcome(reserve(at('b'), 4 * MIB))).toBe('granted');
  });

  it('is asked for only as far as the bytes are not there yet', async () => {
    await mkdir(at('a'));
    await writeFile(join(at('a'), 'part.1'), Buffer.alloc(3 * MIB, 1));
    expect(await outcome(ledger(free(4 * MIB)).reserve(at('a'), 8 * MIB))).toBe('StorageFull');
    expect(await outcome(ledger(free(5 * MIB)).reserve(at('a'), 8 * MIB))).toBe('granted');
    await writeFile(join(at('a'), 'verified'), Buffer.alloc(8 * MIB, 1));
    expect(await outcome(ledger(free(0), 5 * MIB).reserve(at('a'), 8 * MIB))).toBe('granted');
  });

  it('of unknown size promises nothing, and wants no more than the margin free', async () => {
    expect(await outcome(ledger(free(2 * MIB), 2 * MIB).reserve(at('a'), null))).toBe('granted');
    expect(await outcome(ledger(free(MIB), 2 * MIB).reserve(at('b'), null))).toBe('StorageFull');
    const { reserve } = ledger(free(10 * MIB));
    await reserve(at('a'), null);
    expect(await outcome(reserve(at('b'), 10 * MIB))).toBe('granted');
  });

  it('leaves 2 % of the disk free unless told otherwise, and never more than 1 GiB', async () => {
    const small = ledger(free(10 * MIB, 100 * MIB), null);
    expect(await outcome(small.reserve(at('a'), 8 * MIB + 1))).toBe('StorageFull');
    expect(await outcome(small.reserve(at('a'), 8 * MIB))).toBe('granted');
    const large = ledger(free(2048 * MIB, 1e15), null);
    expect(await outcome(large.reserve(at('b'), 1016 * MIB + 1))).toBe('StorageFull');
    expect(await outcome(large.reserve(at('b'), 1016 * MIB))).toBe('granted');
  });

  it('is not held by somebody who died while asking', async () => {
    await mkdir(at('a'));
    const mark = join(at('a'), `room.asked.${8 * MIB}`);
    await writeFile(mark, '');
    const long = new Date(Date.now() - 60_000);
    await utimes(mark, long, long);
    expect(await outcome(ledger(free(10 * MIB)).reserve(at('b'), 8 * MIB))).toBe('granted');
    expect(await outcome(ledger(free(10 * MIB)).reserve(at('c'), 8 * MIB))).toBe('StorageFull');
  });

  it('waits for somebody who asks, and has it when that one steps back', async () => {
    await mkdir(at('a'));
    const mark = join(at('a'), `room.asked.${8 * MIB}`);
    await writeFile(mark, '');
    const reserved = outcome(ledger(free(10 * MIB)).reserve(at('b'), 8 * MIB));
    setTimeout(() => void rm(mark), 200);
    expect(await reserved).toBe('granted');
  });

  it('says that there is none when somebody keeps asking', async () => {
    await mkdir(at('a'));
    await writeFile(join(at('a'), `room.asked.${8 * MIB}`), '');
    const startMs = performance.now();
    expect(await outcome(ledger(free(10 * MIB)).reserve(at('b'), 8 * MIB))).toBe('StorageFull');
    expect(performance.now() - startMs).toBeLessThan(4_000);
    expect(await readdir(partials)).toEqual(['a']);
  });

  it('is never promised twice, and never refused where it is', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 2, maxLength: 12 });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(sizes, fc.boolean(), async (mebibytes, oneProcess) => {
        const folder = at(`run-${run++}`);
        const disk = async () => free(10 * MIB);
        const create = () => createReservations({ partials: folder, marginBytes: 0, disk });
        const shared = create();
        const outcomes = await Promise.all(
          mebibytes.map((size, i) =>
            outcome((oneProcess ? shared : create()).reserve(join(folder, `${i}`), size * MIB)),
          ),
        );
        const granted = mebibytes.filter((_, i) => outcomes[i] === 'granted');
        const used = granted.reduce((sum, size) => sum + size, 0);
        expect(used).toBeLessThanOrEqual(10);
        for (const [i, size] of mebibytes.entries())
          if (outcomes[i] !== 'granted') expect(size).toBeGreaterThan(10 - used);
      }),
      { numRuns: 40 },
    );
  });
});

describe('F066 between processes', () => {
  const script = fileURLToPath(new URL('../../support/reserve-child.mjs', import.meta.url));
  let compiled: Awaited<ReturnType<typeof compileTransfer>>;
  let children: ChildProcess[];
  beforeEach(async () => {
    compiled = await compileTransfer(['src/artifacts']);
    children = [];
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    await compiled.remove();
  });

  /** Asks at `startMs`, writes what it was promised bit by bit, and stays. Says `granted` or the error's code. */
  async function start(name: string, bytes: number, diskBytes: number, startMs: number) {
    const code = join(dirname(compiled.entry), '../artifacts/local/reserve.js');
    const args = [code, partials, name, bytes, diskBytes, startMs].map(String);
    const child = spawn(process.execPath, [script, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, said: said.toString().trim() };
  }

  it('as many get room as there is room for, also while they write and when one is killed', async () => {
    const startMs = Date.now() + 3_000;
    const started = await Promise.all(
      Array.from({ length: 10 }, (_, i) => start(`t${i}`, 2 * MIB, 9 * MIB, startMs)),
    );
    const granted = started.filter(({ said }) => said === 'granted');
    const expected = [...Array(4).fill('granted'), ...Array(6).fill('StorageFull')];
    expect(started.map(({ said }) => said).sort()).toEqual(expected.sort());

    // Its room stays its own, until its directory goes.
    granted[0]!.child.kill('SIGKILL');
    await once(granted[0]!.child, 'exit');
    expect((await start('late', 2 * MIB, 9 * MIB, 0)).said).toBe('StorageFull');
    const name = `t${started.indexOf(granted[0]!)}`;
    await rm(at(name), { recursive: true });
    expect((await start('late', 2 * MIB, 9 * MIB, 0)).said).toBe('granted');
  }, 60_000);
});
