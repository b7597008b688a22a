/** Writes past the page cache: whole pages directly, the rest not, and everything the slow way where that is refused. */
import { constants } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeFiles, type Files } from '../../../src/transfer/files.js';
import { Owner } from '../../../src/transfer/owner.js';
import { openPart, type PartFile } from '../../../src/transfer/part-file.js';
import { PAGE_BYTES, SlabPool } from '../../../src/transfer/slabs.js';
import { bytesOf } from '../../support/transfer-kit.js';

const content = bytesOf(256 * 1024);
const pool = new SlabPool();
const { O_DIRECT } = constants;

interface Write {
  isDirect: boolean;
  position: number;
  length: number;
}

/** Tells of every write; `refusal` fails those that are direct, as the kernel would. */
function watched(writes: Write[], refusal: (isOpen: boolean) => string | null = () => null): Files {
  const fail = (code: string) => Object.assign(new Error(code), { code, syscall: 'write' });
  return {
    ...nodeFiles,
    async open(path, flags) {
      const isDirect = O_DIRECT !== undefined && (flags & O_DIRECT) !== 0;
      const refused = isDirect ? refusal(true) : null;
      if (refused) throw fail(refused);
      const handle = await nodeFiles.open(path, flags);
      return new Proxy(handle, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (name === 'write' && path.includes('part.'))
            return async (data: Uint8Array, offset: number, length: number, position: number) => {
              const failure = isDirect ? refusal(false) : null;
              if (failure) throw fail(failure);
              writes.push({ isDirect, position, length });
              return await target.write(data, offset, length, position);
            };
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
  };
}

let root: string;
let parts: PartFile[];
let count = 0;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'nimbus-part-'));
  parts = [];
});
afterEach(async () => {
  for (const part of parts) await part.close();
  await rm(root, { recursive: true, force: true });
});

async function openIn(parent: string, files: Files): Promise<PartFile> {
  const directory = join(parent, String(count++));
  await mkdir(directory);
  const owner = await Owner.take(files, directory);
  const part = await openPart(files, directory, owner);
  await owner.release();
  parts.push(part);
  return part;
}

/** Writes [start, end) of the content from a slab in which it lies `skew` bytes off its page. */
async function write(part: PartFile, start: number, end: number, skew = 0): Promise<void> {
  const slab = pool.take(() => undefined);
  const at = (start % PAGE_BYTES) + skew;
  content.copy(slab.memory, at, start, end);
  await part.write(slab.memory.subarray(at, at + end - start), start, slab.offset! + at);
  slab.release();
}

/** Nothing but whole pages is written directly. */
function assertAligned(writes: Write[]): void {
  for (const { position, length } of writes.filter(({ isDirect }) => isDirect))
    expect([position % PAGE_BYTES, length % PAGE_BYTES]).toEqual([0, 0]);
}

const spans = fc
  .tuple(fc.nat(content.length), fc.nat(content.length))
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
const places = [tmpdir(), '/dev/shm'];

describe.each(places)('in %s', (place) => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(place, 'nimbus-part-')).catch(() => root);
  });
  afterEach(async () => {
    if (directory !== root) await rm(directory, { recursive: true, force: true });
  });

  it('any bytes from anywhere in memory arrive, and only whole pages go directly', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(spans, fc.constantFrom(0, 0, 1, 512)), { maxLength: 5 }),
        async (all) => {
          const writes: Write[] = [];
          const part = await openIn(directory, watched(writes));
          const expected = Buffer.alloc(content.length);
          await part.lengthen(content.length);
          for (const [[start, end], skew] of all) {
            await write(part, start, end, skew);
            content.copy(expected, start, start, end);
          }
          expect((await readFile(part.path)).equals(expected)).toBe(true);
          assertAligned(writes);
          const bytes = writes.reduce((sum, { length }) => sum + length, 0);
          expect(bytes).toBe(all.reduce((sum, [[start, end]]) => sum + end - start, 0));
        },
      ),
      { numRuns: 25 },
    );
  });
});

it('head and tail of a piece that lies askew go their own way, the pages between directly', async ({
  skip,
}) => {
  const writes: Write[] = [];
  const part = await openIn(root, watched(writes));
  await write(part, 100, 3 * PAGE_BYTES + 50);
  skip(!writes.some(({ isDirect }) => isDirect), 'no direct writes on this file system');
  expect(writes).toEqual([
    { isDirect: false, position: 100, length: PAGE_BYTES - 100 },
    { isDirect: true, position: PAGE_BYTES, length: 2 * PAGE_BYTES },
    { isDirect: false, position: 3 * PAGE_BYTES, length: 50 },
  ]);
});

it.each(['when the file is opened', 'at the first write'])(
  'where direct writes are refused %s, everything is written otherwise',
  async (when) => {
    const writes: Write[] = [];
    const files = watched(writes, (isOpen) =>
      isOpen === (when === 'when the file is opened') ? 'EINVAL' : null,
    );
    const part = await openIn(root, files);
    await part.lengthen(content.length);
    const quarter = content.length / 4;
    await Promise.all([0, 1, 2, 3].map((i) => write(part, i * quarter, (i + 1) * quarter)));
    expect((await readFile(part.path)).equals(content)).toBe(true);
    expect(writes.every(({ isDirect }) => !isDirect)).toBe(true);
  },
);

it('another failure of a direct write is one', async ({ skip }) => {
  const part = await openIn(
    root,
    watched([], (isOpen) => (isOpen ? null : 'ENOSPC')),
  );
  const failure: unknown = await write(part, 0, PAGE_BYTES).catch((error: unknown) => error);
  skip(failure === undefined, 'no direct writes on this file system');
  expect(failure).toMatchObject({ code: 'StorageFull' });
});

it('lengthening never cuts, cutting does', async () => {
  const part = await openIn(root, nodeFiles);
  await part.lengthen(10_000);
  await part.lengthen(5_000);
  expect((await readFile(part.path)).length).toBe(10_000);
  await part.cut(5_000);
  expect((await readFile(part.path)).length).toBe(5_000);
});

it('cutting takes off what was written beyond the length it had when it was opened', async () => {
  const part = await openIn(root, nodeFiles);
  await part.lengthen(5_000);
  await write(part, 0, 20_000);
  await part.cut(5_000);
  expect((await readFile(part.path)).length).toBe(5_000);
});
