/** Every member of an archive against its CRC, in threads, bounded and abortable (F051, F054, F057–F059). */
import { constants } from 'node:fs';
import { mkdtemp, open, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkArchive, type ArchiveReport } from '../../../src/transfer/archive/check.js';
import { createMemberPool, type MemberPool } from '../../../src/transfer/archive/member-pool.js';
import type { Piece } from '../../../src/transfer/archive/member-thread.js';
import { bytesOf } from '../../support/transfer-kit.js';
import { makeZip, zipEnd, type ZipMember } from '../../support/zip.js';

let root: string;
let pool: MemberPool;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'nimbus-archive-'));
  pool = createMemberPool(2);
});
afterAll(async () => {
  await pool.close();
  await rm(root, { recursive: true, force: true });
});

const never = new AbortController().signal;
let count = 0;

async function withFile<T>(bytes: Buffer, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const path = join(root, `${count++}.zip`);
  await writeFile(path, bytes);
  const file = await open(path, constants.O_RDONLY);
  try {
    return await use(file);
  } finally {
    await file.close();
    await rm(path);
  }
}

const check = (zip: Buffer, signal = never): Promise<ArchiveReport> =>
  withFile(zip, (file) => checkArchive(file, zip.length, { signal, pool }));

const one = bytesOf(1000);
const two = bytesOf(5000, 2);
const members: ZipMember[] = [
  { name: 'stored', data: one },
  { name: 'deflated', data: Buffer.concat([two, Buffer.alloc(9000)]), deflate: true },
  { name: 'signed', data: two, descriptor: 'signed', deflate: true },
  { name: 'plain', data: one, descriptor: 'plain' },
  { name: 'wide', data: two, zip64: true, descriptor: 'signed' },
  { name: 'folder/', data: Buffer.alloc(0) },
  { name: 'folder/empty', data: Buffer.alloc(0), deflate: true },
];

describe('a sound archive', () => {
  it.each([
    ['as it is', {}],
    [
      'with wide ends, a comment and something before it',
      { zip64: true, comment: one, prefix: two },
    ],
  ])('has no findings, %s', async (_, options) => {
    const report = await check(makeZip(members, options));
    expect(report).toMatchObject({ findings: [], damaged: [], unread: 0, members: 7 });
  });
  it('F059 with more than 65,535 members is checked whole, and its one wrong byte is found', async () => {
    const many = Array.from({ length: 66_000 }, (_, at) => ({
      name: `m${at}`,
      data: one.subarray(0, 1 + (at % 3)),
    }));
    const zip = makeZip(many);
    expect((await check(zip)).findings).toEqual([]);
    const at = zip.indexOf('m65999') + 'm65999'.length;
    zip[at] = (zip[at] ?? 0) ^ 1;
    expect((await check(zip)).findings).toMatchObject([{ member: 'm65999', kind: 'crc' }]);
  });
  it('F059 with members beyond 4 GiB is checked there', async () => {
    const far = 5 * 1024 ** 3;
    const zip = makeZip(
      members.map((member) => ({ ...member, zip64: true })),
      { zip64: true },
    );
    const path = join(root, 'far.zip');
    const file = await open(path, 'w+');
    try {
      // Everything is moved by what lies before the archive, a hole in the file.
      await file.write(zip, 0, zip.length, far);
      const report = await checkArchive(file, far + zip.length, { signal: never, pool });
      expect(report).toMatchObject({ findings: [], members: members.length });
      await file.write(Buffer.from([one[500]! ^ 1]), 0, 1, far + zip.indexOf(one) + 500);
      const damaged = await checkArchive(file, far + zip.length, { signal: never, pool });
      expect(damaged.findings).toMatchObject([{ member: 'stored' }]);
      expect(damaged.damaged[0]?.start).toBe(far);
    } finally {
      await file.close();
      await rm(path);
    }
  });
  it.skipIf(!process.env.NIMBUS_TEST_LARGE)(
    'F059 with a member of more than 4 GiB is checked whole',
    { timeout: 60_000 },
    async () => {
      const bytes = 2 ** 32 + 5;
      const said = { bytes, compressedBytes: bytes, crc32: 0xb1c2a1a3 };
      const zip = makeZip([
        { name: 'big', data: Buffer.alloc(0), zip64: true, local: said, central: said },
      ]);
      const headerBytes = 30 + 3 + 20;
      const entry = zip.subarray(headerBytes, headerBytes + 46 + 3 + 28);
      const end = zipEnd({ entries: 1, size: entry.length, offset: headerBytes + bytes });
      const path = join(root, 'sparse.zip');
      const file = await open(path, 'w+');
      try {
        await file.write(zip, 0, headerBytes, 0);
        const tail = Buffer.concat([entry, end]);
        await file.write(tail, 0, tail.length, headerBytes + bytes);
        const total = headerBytes + bytes + tail.length;
        const report = await checkArchive(file, total, { signal: never, pool });
        expect(report).toMatchObject({ findings: [], unpackedBytes: bytes });
      } finally {
        await file.close();
        await rm(path);
      }
    },
  );
  it('packed in a way that is not known here is counted, not believed', async () => {
    const bzip: ZipMember = {
      name: 'a',
      data: one,
      local: { method: 12 },
      central: { method: 12 },
    };
    expect(await check(makeZip([bzip]))).toMatchObject({ unread: 1, findings: [] });
  });
});

describe('F051 a flipped byte', () => {
  const zip = makeZip(members);
  it('in a member is found, with the range to fetch again', async () => {
    for (const name of ['stored', 'deflated', 'wide']) {
      const damaged = Buffer.from(zip);
      const at = zip.indexOf(name) + 100;
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const { findings, damaged: ranges } = await check(damaged);
      expect(findings).toMatchObject([{ member: name, kind: 'crc' }]);
      expect(ranges.some(({ start, bytes }) => start <= at && at < start + bytes)).toBe(true);
    }
  });
  it('in one of two large members leaves the other out of what is fetched again', async () => {
    const large = makeZip([
      { name: 'left', data: bytesOf(400_000) },
      { name: 'right', data: bytesOf(400_000, 2) },
      { name: 'rest', data: bytesOf(400_000, 3) },
    ]);
    large[500_000] = (large[500_000] ?? 0) ^ 1;
    const { damaged } = await check(large);
    const total = damaged.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(damaged[0]?.start).toBeGreaterThan(400_000);
    expect(total).toBeLessThan(401_000);
  });
  it('anywhere is found and mended by the ranges, or lies in bytes that carry no data', async () => {
    const silent = silentBytes(zip);
    const carrying = Array.from(zip.keys()).filter((at) => !silent.has(at));
    const directoryAt = zip.indexOf('PK\x01\x02', 'latin1');
    const headers = carrying.filter((at) => at >= directoryAt || at < 36);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.constantFrom(...carrying), fc.constantFrom(...headers)),
        fc.integer({ min: 1, max: 255 }),
        async (at, mask) => {
          const damaged = Buffer.from(zip);
          damaged[at] = (damaged[at] ?? 0) ^ mask;
          const report = await check(damaged).catch((error: unknown) => error);
          if (report instanceof Error) expect(report).toMatchObject({ code: 'SourceRefused' });
          else {
            const { findings, damaged: ranges } = report as ArchiveReport;
            // Deflate can say one thing in several ways, and leaves bits of its last byte unused.
            if (findings.length === 0) expect(isDeflatedTheSame(damaged, zip)).toBe(true);
            else {
              for (const { start, bytes } of ranges) zip.copy(damaged, start, start, start + bytes);
              expect(damaged.equals(zip)).toBe(true);
            }
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});

/** Do the bytes differ inside one deflated member alone, and unpack to what they did? */
function isDeflatedTheSame(damaged: Buffer, zip: Buffer): boolean {
  return members
    .filter(({ deflate }) => deflate)
    .some(({ data }) => {
      const packed = deflateRawSync(data);
      const start = zip.indexOf(packed);
      const end = start + packed.length;
      const isElsewhere =
        !damaged.subarray(0, start).equals(zip.subarray(0, start)) ||
        !damaged.subarray(end).equals(zip.subarray(end));
      return !isElsewhere && inflateRawSync(damaged.subarray(start, end)).equals(data);
    });
}

/** Times, versions and attributes, which say nothing of the data; sizes and CRC that are left to a descriptor are not among them. */
function silentBytes(zip: Buffer): Set<number> {
  const silent = new Set<number>();
  const add = (at: number, bytes: number) => {
    for (let one = at; one < at + bytes; one++) silent.add(one);
  };
  let at = zip.indexOf('PK\x01\x02', 'latin1');
  while (zip.readUInt32LE(at) === 0x02014b50) {
    const local = zip.readUInt32LE(at + 42);
    const extra = zip.readUInt16LE(at + 28) + 46;
    const offset = local === 0xffffffff ? Number(zip.readBigUInt64LE(at + extra + 20)) : local;
    add(at + 4, 4);
    // Of the flags, that of the encoding of names, in which these are the same.
    add(at + 8, 2);
    add(at + 12, 4);
    add(at + 36, 6);
    add(offset + 4, 4);
    add(offset + 6, 2);
    add(offset + 10, 4);
    at += extra + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return silent;
}

describe('F057 what unpacks to more than it says', () => {
  const zeros = deflateRawSync(Buffer.alloc(64 * 1024 * 1024));
  it('is left at its stated length, in bounded memory', async () => {
    const zip = makeZip(
      Array.from({ length: 50 }, (_, at) => ({
        name: `${at}`,
        data: one,
        deflate: true,
        packed: zeros,
      })),
    );
    await check(makeZip(members));
    const before = process.memoryUsage.rss();
    const startMs = performance.now();
    const report = await check(zip);
    expect(report.findings).toHaveLength(50);
    expect(report.findings[0]).toMatchObject({
      kind: 'crc',
      message: expect.stringContaining('more bytes'),
    });
    // 50 times 64 MiB: unpacked whole they would take seconds, kept they would take 3 GiB.
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });
  it('is found too where it unpacks to less, or has something behind its last byte', async () => {
    const packed = deflateRawSync(one);
    const cases = {
      less: packed.subarray(0, -20),
      behind: Buffer.concat([packed, Buffer.alloc(5)]),
      farBehind: Buffer.concat([packed, Buffer.alloc(600_000)]),
      nothing: Buffer.alloc(0),
      noise: bytesOf(500, 5),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      const zip = makeZip([{ name, data: one, deflate: true, packed: bytes }]);
      const outcome = await check(zip).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'SourceRefused' });
      else
        expect((outcome as ArchiveReport).findings).toMatchObject([{ member: name, kind: 'crc' }]);
    }
  });
});

describe('F058 headers that disagree', () => {
  it.each<[string, Partial<ZipMember>]>([
    ['name', { local: { name: 'st0red' } }],
    ['method', { local: { method: 8 } }],
    ['CRC', { local: { crc32: 1 } }],
    ['size', { local: { bytes: 999 } }],
  ])('another %s is found, and only headers are fetched again', async (_, change) => {
    const zip = makeZip([{ name: 'stored', data: bytesOf(300_000), ...change }]);
    const { findings, damaged } = await check(zip);
    expect(findings).toMatchObject([{ member: 'stored', kind: 'crc' }]);
    expect(damaged.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(200);
  });
  it('a descriptor that disagrees is found', async () => {
    const zip = makeZip([{ name: 'a', data: one, descriptor: 'signed' }]);
    const at = zip.indexOf('PK\x07\x08', 'latin1') + 5;
    zip[at] = (zip[at] ?? 0) ^ 1;
    expect((await check(zip)).findings).toMatchObject([{ member: 'a', kind: 'crc' }]);
  });
});

/** A file of eight empty gigabytes, which takes seconds to read and no room. */
async function withHole<T>(use: (file: FileHandle) => Promise<T>): Promise<T> {
  const path = join(root, `hole-${count++}`);
  const hole = await open(path, 'w+');
  try {
    await hole.truncate(8 * 1024 ** 3);
    return await use(hole);
  } finally {
    await hole.close();
    await rm(path);
  }
}

const long: Piece = {
  start: 0,
  packedBytes: 8 * 1024 ** 3,
  isDeflated: false,
  bytes: 8 * 1024 ** 3,
  algorithm: 'md5',
};

describe('an abort', () => {
  it('ends the work at once, and the pool goes on for others', async () => {
    const control = new AbortController();
    await withHole(async (file) => {
      const checking = pool.check(file.fd, [long, long], control.signal);
      await sleep(100);
      const startMs = performance.now();
      control.abort();
      await expect(checking).rejects.toMatchObject({ code: 'Cancelled' });
      expect(performance.now() - startMs).toBeLessThan(5_000);
    });
    expect((await check(makeZip(members))).findings).toEqual([]);
  });
  it('ends what waits in line too, and nothing else', async () => {
    const single = createMemberPool(1);
    const control = new AbortController();
    const short = { ...long, packedBytes: 100, bytes: 100, algorithm: null };
    await withHole(async (file) => {
      const first = pool.check(file.fd, [long], control.signal);
      const busy = single.check(file.fd, [{ ...long, packedBytes: 300_000_000 }], never);
      const waits = single.check(file.fd, [long], control.signal);
      const after = single.check(file.fd, [short], never);
      control.abort();
      await expect(waits).rejects.toMatchObject({ code: 'Cancelled' });
      await expect(first).rejects.toMatchObject({ code: 'Cancelled' });
      expect(await busy).toMatchObject([{ bytes: 300_000_000 }]);
      expect(await after).toMatchObject([{ bytes: 100 }]);
    });
    await single.close();
  });
  it('before the beginning is an abort too', async () => {
    await expect(check(makeZip(members), AbortSignal.abort())).rejects.toMatchObject({
      code: 'Cancelled',
    });
  });
});

describe('what fails on the way', () => {
  it('a disk that gives back less than was written is the store, not the source', async () => {
    const zip = makeZip(members);
    await withFile(zip, async (file) =>
      withFile(Buffer.alloc(0), async (empty) => {
        const lying = { fd: empty.fd, read: file.read.bind(file) } as unknown as FileHandle;
        await expect(
          checkArchive(lying, zip.length, { signal: never, pool }),
        ).rejects.toMatchObject({ code: 'StoreUnavailable' });
      }),
    );
  });
  it('threads that are ended interrupt what they did and what waited', async () => {
    const single = createMemberPool(1);
    await withHole(async (file) => {
      const works = [1, 2].map(() => single.check(file.fd, [long], never));
      setTimeout(() => void single.close(), 50);
      for (const outcome of await Promise.allSettled(works))
        expect(outcome).toMatchObject({ reason: { code: 'Interrupted' } });
    });
  });
  it('no thread to be had is a failure of the store, and the next archive finds one', async () => {
    let missing = 1;
    const single = createMemberPool(1, (source, options) => {
      if (missing-- > 0) throw new Error('EAGAIN');
      return new Worker(source, options);
    });
    const piece = { ...long, packedBytes: 100, bytes: 100, algorithm: null };
    await withHole(async (file) => {
      const first = single.check(file.fd, [piece], never);
      await expect(first).rejects.toMatchObject({ code: 'StoreUnavailable' });
      expect(await single.check(file.fd, [piece], never)).toMatchObject([{ bytes: 100 }]);
    });
    await single.close();
  });
  it('the event loop goes on while members are read', async () => {
    const zip = makeZip(
      Array.from({ length: 20 }, (_, at) => ({
        name: `${at}`,
        data: Buffer.alloc(8 * 1024 * 1024, at),
        deflate: true,
      })),
    );
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    const startMs = performance.now();
    await check(zip);
    clearInterval(timer);
    expect(turns).toBeGreaterThan((performance.now() - startMs) / 5 / 4);
  });
});
