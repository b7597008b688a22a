/** Digests that follow a file: from memory and from disk, in any order, saved half-way and gone on with. */
import { createHash } from 'node:crypto';
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ChecksumAlgorithm } from '../../../src/jobs/product.js';
import { createHashPool, type HashJob, type HashPool } from '../../../src/transfer/hash-pool.js';
import type { Slab } from '../../../src/transfer/slabs.js';
import { bytesOf } from '../../support/transfer-kit.js';

const PIECE = 256 * 1024;
const content = bytesOf(12 * PIECE + 1234);
const never = new AbortController().signal;
const hex = (algorithm: string, bytes: Buffer) => createHash(algorithm).update(bytes).digest('hex');

let pool: HashPool;
let directory: string;
let file: FileHandle;
let released: number;

beforeEach(async () => {
  pool = createHashPool(1);
  directory = await mkdtemp(join(tmpdir(), 'nimbus-digest-'));
  file = await open(join(directory, 'part'), 'w+');
  released = 0;
});

afterEach(async () => {
  await pool.close();
  await file.close();
  await rm(directory, { recursive: true, force: true });
});

const follow = (algorithms: ChecksumAlgorithm[], more = {}) =>
  pool.follow({ fd: file.fd, algorithms, ...more });

const write = (start: number, end: number) =>
  file.write(content, start, end - start, start).then(() => undefined);

/** The piece at `position` in a slab whose first holder lets go at once, as the writer does when it is written. */
function offerFor(job: HashJob, position: number, isBlock: boolean, bytes = content) {
  const slab: Slab = pool.slabs.take(() => released++);
  const length = bytes.copy(slab.memory, 100, position, Math.min(position + PIECE, bytes.length));
  const digest = job.offer({ position, slab, start: 100, length, isBlock });
  slab.release();
  return digest;
}

/** The thread has come to so many pieces that it is asked for their XXH64. */
async function untilUp(): Promise<void> {
  for (let xxh64: string | null = null; xxh64 === null;) {
    const job = follow(['md5']);
    xxh64 = await offerFor(job, 0, true);
    await job.cancel();
  }
}

function offer(job: HashJob, position: number, bytes = content): void {
  void offerFor(job, position, false, bytes);
}

const pieces = Array.from({ length: 13 }, (_, i) => i * PIECE);

it('pieces in order need no read: the file may hold nothing', async () => {
  const job = follow(['sha256', 'md5']);
  for (const start of pieces) offer(job, start);
  job.advance(content.length);
  expect(await job.digests(content.length, never)).toEqual([
    { algorithm: 'sha256', value: hex('sha256', content) },
    { algorithm: 'md5', value: hex('md5', content) },
  ]);
  expect(released).toBe(pieces.length);
});

it.each([
  ['backwards', [...pieces].reverse()],
  ['all but the first', pieces.slice(1)],
  ['the first and the last', [pieces[0]!, pieces[12]!]],
  [
    'every other one, then the rest',
    [...pieces.filter((_, i) => i % 2), ...pieces.filter((_, i) => i % 2 === 0)],
  ],
  ['some of them long ago', [pieces[3]!, ...pieces.slice(0, 2), ...pieces.slice(5)]],
])(
  'pieces out of order (%s): the rest is read, and every slab comes back once',
  async (_, order) => {
    const job = follow(['sha256']);
    for (const start of order) offer(job, start);
    await write(0, content.length);
    job.advance(content.length);
    const [found] = await job.digests(content.length, never);
    expect(found?.value).toBe(hex('sha256', content));
    expect(released).toBe(order.length);
  },
);

it.each([[['md5']], [['sha256']], [['sha256', 'md5']]] as [ChecksumAlgorithm[]][])(
  'bytes that are next get their XXH64 from the thread (%s), others none',
  async (algorithms) => {
    expect(await offerFor(follow(algorithms), 0, true), 'while the thread starts').toBeNull();
    await untilUp();
    const job = follow(algorithms);
    const others = [follow(['md5']), follow(['md5'])];
    const wanted = pieces.map((start) =>
      pool.digestOfBlock(content.subarray(start, start + PIECE)),
    );
    const ahead = offerFor(job, PIECE, true);
    const first = offerFor(job, 0, true);
    const unasked = offerFor(job, 2 * PIECE, false);
    expect(await Promise.all([ahead, first, unasked])).toEqual([null, wanted[0], null]);
    const beside = others.map((other) => offerFor(other, 0, true));
    const rest = pieces.slice(3).map((start) => offerFor(job, start, true));
    expect(await Promise.all(rest)).toEqual(wanted.slice(3));
    expect(await Promise.all(beside)).toEqual([wanted[0], wanted[0]]);
    job.advance(content.length);
    const digests = await job.digests(content.length, never);
    expect(digests.map(({ value }) => value)).toEqual(algorithms.map((one) => hex(one, content)));
    await Promise.all(others.map((other) => other.cancel()));
  },
);

it('bytes that the thread will not come to are said to have no XXH64', async () => {
  await untilUp();
  const BUSY_BYTES = 4 * 1024 * 1024;
  await file.truncate(BUSY_BYTES);
  // as long as the thread reads for others, it does not come to more
  for (let i = 0; i < 16; i++) follow(['sha512']).advance(BUSY_BYTES);
  const job = follow(['md5']);
  const unread = offerFor(job, 0, true);
  await pool.close();
  expect(await unread).toBeNull();
  expect(await offerFor(job, PIECE, true)).toBeNull();
});

it('what is let go of is read from the file instead', async () => {
  const job = follow(['sha256']);
  const wrong = bytesOf(content.length, 9);
  for (const start of [3, 4, 7].map((i) => i * PIECE)) offer(job, start, wrong);
  job.letGo();
  expect(released).toBe(3);
  await write(0, content.length);
  job.advance(content.length);
  expect((await job.digests(content.length, never))[0]?.value).toBe(hex('sha256', content));
  expect(released).toBe(3);
});

it('what was forgotten is not read: the file may be shorter now', async () => {
  const job = follow(['sha256']);
  await write(0, 3 * PIECE);
  job.advance(3 * PIECE);
  offer(job, 3 * PIECE, bytesOf(content.length, 9));
  job.forget(100, 200);
  expect(released).toBe(1);
  await file.truncate(200);
  job.advance(200);
  expect((await job.digests(200, never))[0]?.value).toBe(hex('sha256', content.subarray(0, 200)));
});

it('a job that is cancelled gives every slab back, once', async () => {
  const job = follow(['sha256']);
  for (const start of [0, 1, 2, 5, 6].map((i) => i * PIECE)) offer(job, start);
  await job.cancel();
  await job.cancel();
  expect(released).toBe(5);
  offer(job, 3 * PIECE);
  expect(released).toBe(6);
});

it('an abort ends the wait for what never comes', async () => {
  const job = follow(['sha256']);
  const abort = new AbortController();
  const digests = job.digests(content.length, abort.signal);
  abort.abort();
  await expect(digests).rejects.toMatchObject({ code: 'Cancelled' });
  await job.cancel();
});

it('a thread that ends fails its jobs, and gives their slabs back', async () => {
  const job = follow(['sha256']);
  offer(job, 5 * PIECE);
  const digests = job.digests(content.length, never);
  const failed = expect(digests).rejects.toMatchObject({ code: 'StoreUnavailable' });
  await pool.close();
  await failed;
  expect(released).toBe(1);
  expect(await job.checkpoint()).toBeNull();
  await job.cancel();
});

it('a saved state goes on in another thread without the bytes before it', async () => {
  const cut = 7 * PIECE;
  const first = follow(['md5']);
  await write(0, cut);
  first.advance(cut);
  await expect.poll(() => first.handed).toBeGreaterThan(0);
  const saved = (await first.checkpoint())!;
  await first.cancel();
  expect(saved.upTo).toBe(first.handed);
  const other = createHashPool(1);
  try {
    // Whoever read the prefix again would find other bytes there.
    await file.write(Buffer.alloc(saved.upTo, 0xee), 0, saved.upTo, 0);
    await write(saved.upTo, content.length);
    const checkpoint = JSON.parse(JSON.stringify(saved)) as typeof saved;
    const second = other.follow({ fd: file.fd, algorithms: ['md5'], checkpoint });
    expect(second.handed).toBe(saved.upTo);
    second.advance(content.length);
    expect((await second.digests(content.length, never))[0]?.value).toBe(hex('md5', content));
  } finally {
    await other.close();
  }
});

it('a saved state that cannot be loaded is made again from the file', async () => {
  await write(0, content.length);
  const states = { md5: Buffer.from('of another version').toString('base64') };
  const checkpoint = { upTo: 7 * PIECE, states };
  const job = follow(['md5'], { checkpoint });
  job.advance(content.length);
  expect((await job.digests(content.length, never))[0]?.value).toBe(hex('md5', content));
});

it('a digest that is asked for twice is computed once', async () => {
  const job = follow(['sha256', 'md5', 'sha256', 'md5']);
  for (const start of pieces) offer(job, start);
  expect(await job.digests(content.length, never)).toEqual([
    { algorithm: 'sha256', value: hex('sha256', content) },
    { algorithm: 'md5', value: hex('md5', content) },
  ]);
});

it('a job goes on behind its own checkpoint', async () => {
  const job = follow(['md5']);
  for (const start of pieces.slice(0, 5)) offer(job, start);
  expect(await job.checkpoint()).toMatchObject({ upTo: 5 * PIECE });
  for (const start of pieces.slice(5)) offer(job, start);
  expect(await job.checkpoint()).toMatchObject({ upTo: content.length });
  expect((await job.digests(content.length, never))[0]?.value).toBe(hex('md5', content));
});

it('what cannot be saved is not', async () => {
  const job = follow(['md5', 'sha256']);
  offer(job, 0);
  expect(await job.checkpoint()).toBeNull();
  await job.cancel();
});

it('a state that lacks one of the digests is not gone on from', async () => {
  const saving = follow(['md5']);
  for (const start of pieces.slice(0, 5)) offer(saving, start);
  const checkpoint = await saving.checkpoint();
  await saving.cancel();
  await write(0, content.length);
  const job = follow(['sha256', 'md5'], { checkpoint });
  job.advance(content.length);
  expect(await job.digests(content.length, never)).toEqual([
    { algorithm: 'sha256', value: hex('sha256', content) },
    { algorithm: 'md5', value: hex('md5', content) },
  ]);
});

const blocksOf = (bytes: Buffer) =>
  pieces.map((offset) => {
    const block = bytes.subarray(offset, offset + PIECE);
    return { offset, length: block.length, xxh64: pool.digestOfBlock(block) };
  });

it('blocks of an earlier process are checked on the way, and the first damaged one is named', async () => {
  const written = blocksOf(content);
  await write(0, content.length);
  for (const damaged of [4, 9])
    await file.write(Buffer.from([0, 1, 2]), 0, 3, damaged * PIECE + 77);
  const job = follow(['sha256'], { written });
  job.advance(content.length);
  await job.digests(content.length, never);
  expect(job.damaged[0]?.offset).toBe(4 * PIECE);
});

it('what was forgotten and came anew is not held against what had been there, and the rest still is', async () => {
  const before = Buffer.from(content);
  before.fill(7, 3 * PIECE, 5 * PIECE);
  await write(0, content.length);
  for (const damaged of [[], [8]]) {
    for (const piece of damaged) await file.write(Buffer.from([0, 1, 2]), 0, 3, piece * PIECE + 77);
    const job = follow(['sha256'], { written: blocksOf(before) });
    job.advance(2 * PIECE);
    job.forget(3 * PIECE, 5 * PIECE);
    job.advance(content.length);
    await job.digests(content.length, never);
    expect(job.damaged.map(({ offset }) => offset)).toEqual(damaged.length > 0 ? [8 * PIECE] : []);
  }
});

it('checks a block that takes several reads', async () => {
  const bytes = Buffer.from(Array.from({ length: 600_001 }, (_, i) => (i * 197 + 31) % 256));
  // of the reference implementation
  const written = [{ offset: 0, length: bytes.length, xxh64: '3e2e783bd7a2e09d' }];
  for (const damaged of [null, 599_999]) {
    if (damaged !== null) bytes[damaged]! ^= 1;
    await file.write(bytes, 0, bytes.length, 0);
    const job = follow(['sha256'], { written });
    job.advance(bytes.length);
    await job.digests(bytes.length, never);
    expect(job.damaged.length > 0).toBe(damaged !== null);
  }
});

it('no thread to be had fails the job, with a type, and the next one finds a thread', async () => {
  let missing = true;
  const poor = createHashPool(1, (source, options) => {
    if (missing) throw new Error('EAGAIN');
    return new Worker(source, options);
  });
  try {
    await write(0, content.length);
    const job = poor.follow({ fd: file.fd, algorithms: ['md5'] });
    const slab = poor.slabs.take(() => undefined);
    expect(await job.offer({ position: 0, slab, start: 0, length: 10, isBlock: false })).toBeNull();
    job.advance(content.length);
    const failure = { code: 'StoreUnavailable' };
    await expect(job.digests(content.length, never)).rejects.toMatchObject(failure);
    expect(await job.checkpoint()).toBeNull();
    await job.cancel();
    missing = false;
    const next = poor.follow({ fd: file.fd, algorithms: ['md5'] });
    next.advance(content.length);
    expect(await next.digests(content.length, never)).toEqual([
      { algorithm: 'md5', value: hex('md5', content) },
    ]);
  } finally {
    await poor.close();
  }
});
