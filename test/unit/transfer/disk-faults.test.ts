/** Faults of the disk (F065, F067–F076): what is recorded as durable is durable, and errors are typed. */
import { createHash } from 'node:crypto';
import { existsSync, truncateSync } from 'node:fs';
import { link, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { nodeFiles, type Files } from '../../../src/transfer/files.js';
import { failingFiles, failingOnce, type Plan } from '../../support/failing-files.js';
import { seeded } from '../../support/faults.js';
import { honest, type Script } from '../../support/lying-server.js';
import { BLOCK_BYTES, bytesOf, useKits, type Kit } from '../../support/transfer-kit.js';

const file = bytesOf(700_000);
const etag = '"one"';
const good: Script = (request) => honest(request, file, { etag });
const serveOn = useKits();

const serve = (script: Script, files: Files = nodeFiles): Promise<Kit> =>
  serveOn(script, { files });

async function fetchExactly(kit: Kit) {
  const result = await kit.fetch(kit.source(file));
  expect((await kit.content(result)).equals(file)).toBe(true);
  return result;
}

describe('F065 no space left', () => {
  it.each([
    ['in the middle of a write', 'write', /part\./, 1],
    ['when flushing', 'datasync', /part\./, 0],
    ['in the journal', 'write', /journal/, 0],
    ['at the rename', 'rename', /verified$/, 0],
    ['taking the directory', 'open', /owner/, 0],
  ] as const)('%s: StorageFull, and the next call goes on', async (_, operation, path, nth) => {
    // nobody waits for the journal: a transfer that is over before it fails has no need of it
    const slowly: Script = (request) => ({
      ...honest(request, file, { etag }),
      sliceBytes: 50_000,
      everyMs: 10,
    });
    const kit = await serve(slowly, failingOnce(operation, path, 'ENOSPC', nth));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({
      code: 'StorageFull',
      details: { errno: 'ENOSPC' },
    });
    await fetchExactly(kit);
    expect(await kit.listing()).toEqual(['journal', 'verified']);
  });

  it('other transfers of the same engine are unharmed', async () => {
    const kit = await serve(
      good,
      failingFiles(({ name, path }) =>
        name === 'write' && /full\/part\./.test(path) ? 'ENOSPC' : undefined,
      ),
    );
    const [full, fine] = await Promise.allSettled(
      ['full', 'fine'].map((name) =>
        kit.fetch(kit.source(file), { directory: join(kit.directory, name) }),
      ),
    );
    expect(full).toMatchObject({ reason: { code: 'StorageFull' } });
    expect(fine).toMatchObject({ value: { bytes: file.length } });
  });
  it('is the same for a quota', async () => {
    const kit = await serve(good, failingOnce('write', /part\./, 'EDQUOT'));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'StorageFull' });
  });
});

it.each(['EROFS', 'EACCES', 'EPERM', 'EIO', 'ENXIO', 'ENODEV', 'EBUSY'])(
  'F068 %s is StoreUnavailable, and the next call goes on',
  async (code) => {
    const kit = await serve(good, failingOnce('write', /part\./, code, 1));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({
      code: 'StoreUnavailable',
      details: { errno: code },
    });
    await fetchExactly(kit);
  },
);

it('F067 goes on after a short write', async () => {
  const files: Files = {
    ...nodeFiles,
    writeAll: (handle, data, position) =>
      nodeFiles.writeAll(
        {
          ...handle,
          fd: handle.fd,
          write: (bytes, offset, length, at) =>
            handle.write(bytes, offset, Math.min(length, 1000), at),
        },
        data,
        position,
      ),
  };
  await fetchExactly(await serve(good, files));
});

/** Fetches the first half and is then left alone; returns what lies in the directory. */
async function halfway(kit: Kit): Promise<{ part: string }> {
  const failure = kit.fetch(kit.source(file), { limits: { triesWithoutProgress: 1 } });
  await expect(failure).rejects.toMatchObject({ code: 'SourceUnavailable' });
  const [name = ''] = (await kit.listing()).filter((one) => one.startsWith('part.'));
  return { part: join(kit.directory, name) };
}

const halfThenAll: Script = (request) => {
  const answer = honest(request, file, { etag });
  return request.index === 0
    ? { ...answer, body: answer.body.subarray(0, 400_000), then: 'end' }
    : answer;
};

it.each([1, 4])(
  'while the disk does not answer, no more than a block is read ahead of it (%i connections)',
  async (connections) => {
    let letGo: (nothing: undefined) => void = () => undefined;
    const isOver = new Promise<undefined>((resolve) => (letGo = resolve));
    const large = bytesOf(4 * 1024 * 1024);
    const blockBytes = 1024 * 1024;
    const kit = await serveOn((request) => honest(request, large, { etag }), {
      connections,
      files: failingFiles(({ name, path }) =>
        name === 'write' && /part\./.test(path) ? isOver : undefined,
      ),
    });
    let read = 0;
    const take = (bytes: number) => ((read += bytes), 0);
    const result = kit.fetch(kit.source(large), {
      limits: { blockBytes },
      bandwidth: { take },
    });
    await expect.poll(() => read).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(read).toBeLessThanOrEqual(blockBytes);
    expect(read).toBeGreaterThanOrEqual(blockBytes / 2);
    letGo(undefined);
    expect((await kit.content(await result)).equals(large)).toBe(true);
  },
);

it('F067 fetches again what the disk did not keep as it was written', async () => {
  const kit = await serve(halfThenAll);
  const { part } = await halfway(kit);
  const bytes = await readFile(part);
  bytes.fill(0, 100_000, 100_010);
  await writeFile(part, bytes);
  await fetchExactly(kit);
  expect(kit.notes).toContainEqual(
    expect.objectContaining({ reason: 'The disk gave back other bytes than were written' }),
  );
});

it('F067 what could not be flushed is not believed by the next call, though it can be read', async () => {
  const slowly: Script = (request) => ({
    ...honest(request, file, { etag }),
    ...(request.index === 0 && { sliceBytes: 50_000, everyMs: 10 }),
  });
  const kit = await serve(slowly, failingOnce('datasync', /part\./, 'EIO'));
  await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'StoreUnavailable' });
  const { bytesFetched } = await fetchExactly(kit);
  expect(bytesFetched).toBe(file.length);
});

it('F067 what comes in the place of damage is progress', async () => {
  let most = 600_000;
  const kit = await serve((request) => {
    const answer = honest(request, file, { etag });
    return { ...answer, body: answer.body.subarray(0, most), then: 'end' };
  });
  const { part } = await halfway(kit);
  const bytes = await readFile(part);
  bytes.fill(0, 0, 10);
  await writeFile(part, bytes);
  most = BLOCK_BYTES;
  const limits = { triesWithoutProgress: 3 };
  const result = await kit.fetch(kit.source(file), { limits });
  expect((await kit.content(result)).equals(file)).toBe(true);
});

it('F067 EIO when reading back what is compared with the answer: StoreUnavailable, then it goes on', async () => {
  let isBroken = true;
  const unpinnedHalf: Script = (request) => {
    const answer = honest(request, file);
    return request.index === 0 ? { ...answer, body: answer.body.subarray(0, 400_000) } : answer;
  };
  const kit = await serve(
    unpinnedHalf,
    failingFiles(({ name, path }) =>
      isBroken && name === 'read' && /part\./.test(path) ? 'EIO' : undefined,
    ),
  );
  await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({
    code: 'StoreUnavailable',
    details: { errno: 'EIO' },
  });
  isBroken = false;
  await fetchExactly(kit);
});

describe('F068, F074, F076 any operation fails in any way', () => {
  const codes = ['EIO', 'ENOSPC', 'EMFILE', 'ESTALE', 'EROFS', 'EINVAL', 'ENOMEM', 'ETIMEDOUT'];
  const unpinned: Script = (request) => {
    const answer = honest(request, file);
    return request.index === 0 ? { ...answer, body: answer.body.subarray(0, 400_000) } : answer;
  };
  it.each([
    ['in one go', good, { blockBytes: 512 * 1024 }],
    ['in one go, and not recorded', good, { blockBytes: file.length }],
    ['after a cut', unpinned, { blockBytes: 512 * 1024 }],
    ['after a cut, and not recorded', unpinned, { blockBytes: file.length }],
  ])('%s: a typed error, and the next call brings the exact file', async (_, script, limits) => {
    const ran: string[] = [];
    let plan: Plan = ({ name }) => void ran.push(name);
    const starts = new Set<number>();
    const kit = await serve(
      (request) => {
        // each transfer finds the server as it was for the first one
        const index = starts.has(request.index) ? 0 : request.index - Math.max(0, ...starts);
        return script({ ...request, index });
      },
      failingFiles((operation) => plan(operation)),
    );
    const fetchInto = async (name: string) => {
      starts.add(kit.server.requests.length);
      return kit.fetch(kit.source(file), { directory: join(kit.directory, name), limits });
    };
    await fetchInto('counted');
    const operations = ran.length;
    expect(operations).toBeGreaterThan(10);
    for (let nth = 0; nth < operations; nth++) {
      const code = codes[nth % codes.length] as string;
      let left = nth;
      plan = () => (left-- === 0 ? code : undefined);
      const directory = String(nth);
      const error: unknown = await fetchInto(directory).then(
        () => null,
        (caught: unknown) => caught,
      );
      plan = () => undefined;
      if (error !== null)
        expect(error, `${code} at ${nth}`).toMatchObject({
          code: expect.stringMatching(/^(StorageFull|StoreUnavailable)$/),
        });
      const result = await fetchInto(directory);
      expect((await kit.content(result)).equals(file)).toBe(true);
    }
  });
});

describe('F069 a power cut', () => {
  it.each([
    ['with a strong ETag', etag],
    ['without a validator', null],
  ])('at any moment, %s: what the journal promises is there', async (_, tag) => {
    const random = seeded(tag === null ? 7 : 8);
    let plan: Plan = () => undefined;
    const kit = await serve(
      (request) => ({ ...honest(request, file, { etag: tag }), sliceBytes: 32 * 1024, everyMs: 1 }),
      failingFiles((operation) => plan(operation)),
    );
    for (let round = 0; round < 20; round++) {
      const directory = join(kit.directory, String(round));
      const rebooted = join(kit.directory, `${round}-rebooted`);
      let left = Math.floor(random() * 60);
      const image = new Map<string, Buffer>();
      let isOff = false;
      plan = () => {
        if (left-- > 0) return undefined;
        if (!isOff)
          for (const [name, bytes] of kit.watched.afterPowerCut(directory, random))
            image.set(name, bytes);
        isOff = true;
        return 'EIO';
      };
      await kit.fetch(kit.source(file), { directory }).catch(() => undefined);
      plan = () => undefined;
      // what the dead process could not tidy up is judged where the next one found it
      await rm(directory, { recursive: true });
      await mkdir(rebooted);
      for (const [name, bytes] of image) await writeFile(join(rebooted, name), bytes);
      const result = await kit.fetch(kit.source(file), { directory: rebooted });
      expect((await kit.content(result)).equals(file)).toBe(true);
    }
  });
});

it('F069 what is promised is found again after a power cut: who owns which file outlives it', async () => {
  const kit = await serve((request) => ({
    ...honest(request, file, { etag }),
    ...(request.index === 0 && { sliceBytes: 20_000, everyMs: 50 }),
  }));
  const stop = new AbortController();
  const first = kit.fetch(kit.source(file), { signal: stop.signal }).catch(() => undefined);
  let image = new Map<string, Buffer>();
  while (!image.get('journal')?.includes('"flushed"')) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    image = kit.watched.afterPowerCut(kit.directory, () => 0);
  }
  stop.abort();
  await first;
  const rebooted = `${kit.directory}-rebooted`;
  await mkdir(rebooted);
  for (const [name, bytes] of image) await writeFile(join(rebooted, name), bytes);
  const result = await kit.fetch(kit.source(file), { directory: rebooted });
  expect(result.resumedFrom).toBeGreaterThan(0);
});

it('F069 flushes in good time also what is fetched again after a copy was wrong', async () => {
  let flushes = 0;
  const kit = await serve(
    (request) =>
      request.index === 0
        ? honest(request, bytesOf(file.length, 2))
        : { ...honest(request, file), sliceBytes: 20_000, everyMs: 45 },
    failingFiles(({ name, path }) => {
      if (name === 'datasync' && /part\./.test(path)) flushes++;
      return undefined;
    }),
  );
  await fetchExactly(kit);
  expect(flushes).toBeGreaterThan(2);
});

it('F069 a journal of another partial file says nothing of this one', async () => {
  const kit = await serve(halfThenAll);
  const { part } = await halfway(kit);
  const owner = join(kit.directory, 'owner');
  const record = JSON.parse(await readFile(owner, 'utf8')) as object;
  await writeFile(owner, JSON.stringify({ ...record, part: 'part.0123' }));
  await writeFile(join(kit.directory, 'part.0123'), await readFile(part));
  expect(await fetchExactly(kit)).toMatchObject({ resumedFrom: 0 });
});

it('F087 an abort while the whole file is proven keeps it, recorded or not', async () => {
  const stop = new AbortController();
  const kit = await serve(
    good,
    failingFiles(({ name, path }) => {
      if (name === 'datasync' && /part\./.test(path)) stop.abort();
      return undefined;
    }),
  );
  const limits = { blockBytes: file.length };
  await expect(kit.fetch(kit.source(file), { signal: stop.signal, limits })).rejects.toMatchObject({
    code: 'Cancelled',
  });
  expect(await fetchExactly(kit)).toMatchObject({ resumedFrom: file.length, bytesFetched: 0 });
});

it('F069 believes no more of the journal than the file has bytes', async () => {
  const kit = await serve(halfThenAll);
  const { part } = await halfway(kit);
  await writeFile(part, (await readFile(part)).subarray(0, 1000));
  const result = await fetchExactly(kit);
  expect(result.resumedFrom).toBeLessThanOrEqual(1000);
});

it('F069 starts over without a journal', async () => {
  const kit = await serve(halfThenAll);
  await halfway(kit);
  await rm(join(kit.directory, 'journal'));
  expect(await fetchExactly(kit)).toMatchObject({ resumedFrom: 0 });
});

describe('F072 an attacker prepared the directory', () => {
  it('refuses a directory that is a link', async () => {
    const kit = await serve(good);
    const elsewhere = join(dirname(kit.directory), 'elsewhere');
    await mkdir(elsewhere);
    await symlink(elsewhere, kit.directory);
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });
  it.each(['journal', 'owner', 'verified'])('does not follow a link named %s', async (name) => {
    const kit = await serve(good);
    kit.allow({ unproven: true });
    await mkdir(kit.directory);
    const victim = join(dirname(kit.directory), 'victim');
    await writeFile(victim, 'precious');
    await symlink(victim, join(kit.directory, name));
    await kit.fetch(kit.source(file)).catch(() => undefined);
    expect(await readFile(victim, 'utf8')).toBe('precious');
  });
  it('does not write through a second name of the partial file', async () => {
    const kit = await serve(halfThenAll);
    const { part } = await halfway(kit);
    const victim = join(dirname(kit.directory), 'victim');
    await link(part, victim);
    const before = createHash('md5')
      .update(await readFile(victim))
      .digest('hex');
    await fetchExactly(kit);
    expect(
      createHash('md5')
        .update(await readFile(victim))
        .digest('hex'),
    ).toBe(before);
  });
});

it('F073 starts from the truth on disk when the partial is deleted during the run', async () => {
  const kit = await serve(async (request) => {
    const answer = honest(request, file, { etag });
    return request.index === 0 ? { ...answer, sliceBytes: 20_000, everyMs: 20 } : answer;
  });
  let isDeleted = false;
  const result = await kit.fetch(kit.source(file), {
    onProgress: ({ bytes }) => {
      if (bytes === 0 || isDeleted) return;
      isDeleted = true;
      void kit
        .listing()
        .then((names) => names.find((name) => name.startsWith('part.')) ?? '')
        .then((name) => rm(join(kit.directory, name)));
    },
  });
  expect(isDeleted).toBe(true);
  expect((await kit.content(result)).equals(file)).toBe(true);
  expect(kit.notes).toContainEqual(
    expect.objectContaining({ reason: 'The partial file was removed' }),
  );
});

it.each([1, -1])(
  'F073 whoever changes the length of the partial file by %i does not change what is verified',
  async (change) => {
    let isChanged = false;
    const kit = await serve(
      good,
      failingFiles(({ name, path }) => {
        if (name !== 'datasync' || !/part\./.test(path) || isChanged) return undefined;
        isChanged = true;
        truncateSync(path, file.length + change);
        return undefined;
      }),
    );
    await fetchExactly(kit);
    expect(isChanged).toBe(true);
  },
);

it.each(['owner', 'part'])(
  'F071 goes on when whoever was done with the directory has just removed it: %s',
  async (name) => {
    const kit = await serve(good, failingOnce('open', new RegExp(name), 'ENOENT'));
    await fetchExactly(kit);
  },
);

describe('F070 another device', () => {
  it('a rename that would cross devices is typed, and the next call goes on', async () => {
    const kit = await serve(good, failingOnce('rename', /verified$/, 'EXDEV'));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await fetchExactly(kit);
  });
  it('never renames out of the directory it was given', async () => {
    const kit = await serve(good);
    await fetchExactly(kit);
    for (const path of kit.watched.touched) expect([path, dirname(path)]).toContain(kit.directory);
  });
});

describe('F073 somebody deletes', () => {
  it('the verified file, before its caller published it: it is fetched again', async () => {
    const kit = await serve(good);
    const { path } = await fetchExactly(kit);
    await rm(path);
    await fetchExactly(kit);
    expect(kit.server.requests).toHaveLength(2);
  });
  it('the journal, during the run: the file is right all the same', async () => {
    const kit = await serve((request) => ({
      ...honest(request, file, { etag }),
      sliceBytes: 20_000,
      everyMs: 5,
    }));
    const journal = join(kit.directory, 'journal');
    const begun = vi.waitUntil(() => existsSync(journal), { interval: 1, timeout: 10_000 });
    const deleted = begun.then(() => rm(journal));
    const result = await kit.fetch(kit.source(file)).catch(() => kit.fetch(kit.source(file)));
    await deleted;
    expect((await kit.content(result)).equals(file)).toBe(true);
  });
  it('the whole directory, during the run: a typed error or the file, and the next call mends it', async () => {
    const kit = await serve((request) => ({
      ...honest(request, file, { etag }),
      sliceBytes: 20_000,
      everyMs: 5,
    }));
    const deleted = new Promise((resolve) => setTimeout(resolve, 60)).then(() =>
      // what is created meanwhile is removed as well
      rm(kit.directory, { recursive: true, maxRetries: 20, retryDelay: 1 }),
    );
    const error: unknown = await kit.fetch(kit.source(file)).then(
      () => null,
      (caught: unknown) => caught,
    );
    await deleted;
    if (error !== null)
      expect(error).toMatchObject({
        code: expect.stringMatching(/^(StoreUnavailable|Interrupted)$/),
      });
    await fetchExactly(kit);
  });
});

it('F074 too many open files when connecting is tried again', async () => {
  const { connect } = net;
  const kit = await serve(good);
  let failures = 2;
  net.connect = ((...args: Parameters<typeof net.createConnection>) => {
    const socket: net.Socket = Reflect.apply(connect, net, args);
    if (failures-- > 0)
      socket.destroy(Object.assign(new Error('EMFILE'), { code: 'EMFILE', syscall: 'connect' }));
    return socket;
  }) as typeof net.connect;
  try {
    await fetchExactly(kit);
  } finally {
    net.connect = connect;
  }
  expect(failures).toBeLessThan(0);
});

describe('F075 names', () => {
  it.each([
    ['of 300 characters', `${'x'.repeat(300)}.zip`],
    ['of 300 characters of several bytes', `${'漢'.repeat(300)}.zip`],
    ['that lead elsewhere', '../../../etc/passwd'],
  ])('%s stay data: files in the directory have short names of our own', async (_, name) => {
    const encoded = encodeURIComponent(name);
    const kit = await serve((request) =>
      honest(request, file, {
        headers: { 'content-disposition': `attachment; filename*=UTF-8''${encoded}` },
      }),
    );
    const result = await fetchExactly(kit);
    expect(Buffer.byteLength(result.fileName)).toBeLessThanOrEqual(255);
    expect(result.fileName).not.toContain('/');
    expect(await kit.listing()).toEqual(['journal', 'verified']);
  });
  it('too long for the file system is typed', async () => {
    const kit = await serve(good);
    const directory = join(kit.directory, 'x'.repeat(300));
    await expect(kit.fetch(kit.source(file), { directory })).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
  });
});

describe('F076 a network file system', () => {
  it.each(['open', 'write', 'datasync', 'rename', 'look'])(
    'a stale handle at %s: StoreUnavailable, and the next call goes on',
    async (operation) => {
      let isStale = true;
      let seen = 0;
      const kit = await serve(
        good,
        failingFiles(({ name }) =>
          isStale && name === operation && seen++ > 0 ? 'ESTALE' : undefined,
        ),
      );
      await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'StoreUnavailable' });
      isStale = false;
      await fetchExactly(kit);
    },
  );
  it('a stale handle at what an earlier owner left: StoreUnavailable, and the next call goes on', async () => {
    const kit = await serve(good, failingOnce('readSmall', /owner$/, 'ESTALE'));
    await mkdir(kit.directory);
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await fetchExactly(kit);
  });
  it('slow flushes are no fault of the server: no retry, and progress is told', async () => {
    const kit = await serve(
      good,
      failingFiles(async ({ name }) => {
        if (name === 'datasync') await new Promise((resolve) => setTimeout(resolve, 500));
        return undefined;
      }),
    );
    const told: number[] = [];
    const result = await kit.fetch(kit.source(file), {
      limits: { idleMs: 200, headersMs: 2000, floorMs: 200, floorBytesPerSecond: 100_000 },
      onProgress: ({ bytes }) => told.push(bytes),
    });
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(kit.notes).toEqual([]);
    expect(told.at(-1)).toBe(file.length);
  });
  it('an abort does not wait for more than the flush under way', async () => {
    const stop = new AbortController();
    let abortedMs = Infinity;
    const kit = await serve(
      good,
      failingFiles(async ({ name }) => {
        if (name !== 'datasync') return undefined;
        stop.abort();
        abortedMs = Math.min(abortedMs, performance.now());
        await new Promise((resolve) => setTimeout(resolve, 200));
        return undefined;
      }),
    );
    await expect(kit.fetch(kit.source(file), { signal: stop.signal })).rejects.toMatchObject({
      code: 'Cancelled',
    });
    expect(performance.now() - abortedMs).toBeLessThan(2000);
  });
});

it('F065 with no room for another file the directory is given back all the same, and nothing is copied', async () => {
  let room: 'before' | 'none' | 'again' = 'before';
  const parts = new Set<string>();
  const files = failingFiles(({ name, path }) => {
    if (name === 'open' && /part\./.test(path)) parts.add(path);
    const isOfPart = name === 'write' && /part\./.test(path);
    if (isOfPart && room === 'before') room = 'none';
    const isNew = name === 'open' && path.endsWith('.tmp');
    return room === 'none' && (isOfPart || isNew) ? 'ENOSPC' : undefined;
  });
  const kit = await serve(good, files);
  await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'StorageFull' });
  room = 'again';
  await fetchExactly(kit);
  expect(parts.size).toBe(1);
});

it('a length beyond what a file can have, said each time, is the server’s fault', async () => {
  const headers = { 'content-length': '999999999999999' };
  const kit = await serve(() => ({ headers, body: file.subarray(0, 10_000), then: 'end' }));
  await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({
    code: 'SourceRefused',
    message: expect.stringContaining('more than a file can have'),
  });
});

it.each([0, 1, 300_000, file.length - 1])(
  'F069 a verified file that was cut to %i bytes since is fetched again',
  async (bytes) => {
    const kit = await serve(good);
    const source = kit.source(file, { checksums: [], expectedBytes: null });
    const { path } = await kit.fetch(source);
    truncateSync(path, bytes);
    const result = await kit.fetch(source);
    expect((await kit.content(result)).equals(file)).toBe(true);
  },
);

it.each(['content-length', 'content-range'])(
  'a %s beyond what a file can have is not a full disk, and asked for again',
  async (name) => {
    const absurd = '999999999999999';
    const body = file.subarray(0, 10_000);
    const kit = await serve((request) => {
      if (request.index > 0) return good(request);
      if (name === 'content-length') return { headers: { [name]: absurd }, body, then: 'end' };
      return {
        status: 206,
        headers: { [name]: `bytes 0-9999/${absurd}`, 'content-length': '10000' },
        body,
      };
    });
    const result = await kit.fetch(kit.source(file, { connections: 2 }));
    expect((await kit.content(result)).equals(file)).toBe(true);
  },
);
