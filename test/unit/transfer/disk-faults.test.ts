/** Faults of the disk (F065, F067–F069, F072, F073): what is recorded as durable is durable, and errors are typed. */
import { createHash } from 'node:crypto';
import { link, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nodeFiles, type Files } from '../../../src/transfer/files.js';
import { honest, type Script } from '../../support/lying-server.js';
import { bytesOf, useKits, type Kit } from '../../support/transfer-kit.js';

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

/** Fails the nth call of one operation on files whose path matches, once. */
function failing(
  operation: 'write' | 'datasync' | 'rename' | 'open' | 'read',
  path: RegExp,
  code: string,
  nth = 0,
): Files {
  let left = nth;
  const strike = (where: string) => {
    if (path.test(where) && left-- === 0)
      throw Object.assign(new Error(code), { code, syscall: operation });
  };
  return {
    ...nodeFiles,
    async open(where, flags) {
      if (operation === 'open') strike(where);
      const handle = await nodeFiles.open(where, flags);
      return new Proxy(handle, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          return async (...args: unknown[]) => {
            if (name === operation) strike(where);
            return (value as (...all: unknown[]) => unknown).apply(target, args);
          };
        },
      });
    },
    async rename(from, to) {
      if (operation === 'rename') strike(to);
      await nodeFiles.rename(from, to);
    },
  };
}

describe('F065 no space left', () => {
  it.each([
    ['in the middle of a write', 'write', /part\./, 1],
    ['when flushing', 'datasync', /part\./, 0],
    ['in the journal', 'write', /journal/, 1],
    ['at the rename', 'rename', /verified$/, 0],
    ['taking the directory', 'open', /owner/, 0],
  ] as const)('%s: StorageFull, and the next call goes on', async (_, operation, path, nth) => {
    const kit = await serve(good, failing(operation, path, 'ENOSPC', nth));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({
      code: 'StorageFull',
      details: { errno: 'ENOSPC' },
    });
    await fetchExactly(kit);
    expect(await kit.listing()).toEqual(['journal', 'owner', 'verified']);
  });

  it('is the same for a quota', async () => {
    const kit = await serve(good, failing('write', /part\./, 'EDQUOT'));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'StorageFull' });
  });
});

it.each(['EROFS', 'EACCES', 'EIO', 'EMFILE', 'ESTALE'])(
  'F068 %s is StoreUnavailable',
  async (code) => {
    const kit = await serve(good, failing('write', /part\./, code, 1));
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
