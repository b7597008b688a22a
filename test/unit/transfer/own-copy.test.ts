/** What is gone on with where the earlier owner cannot be proven dead: after a reboot, in another container. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readJournal } from '../../../src/transfer/journal.js';
import { failingFiles, type Plan } from '../../support/failing-files.js';
import { honest } from '../../support/lying-server.js';
import { bytesOf, useKits, type Kit } from '../../support/transfer-kit.js';

const MIB = 1024 * 1024;
const limits = { blockBytes: 4 * MIB };
const file = bytesOf(8 * MIB);
const etag = '"one"';
const serve = useKits();

const partsOf = async (kit: Kit) =>
  (await readdir(kit.directory)).filter((name) => name.startsWith('part.'));

/** Seven MiB of eight are there, and the machine was started anew since. */
async function rebooted(plan: () => Plan = () => () => undefined) {
  const partsSeen: string[][] = [];
  const kit = await serve(
    async (request) => {
      const answer = honest(request, file, { etag });
      if (request.index === 0) return { ...answer, body: file.subarray(0, 7 * MIB), then: 'end' };
      partsSeen.push(await partsOf(kit));
      return answer;
    },
    { files: failingFiles((operation) => plan()(operation)) },
  );
  await expect(
    kit.fetch(kit.source(file), { limits: { ...limits, triesWithoutProgress: 1 } }),
  ).rejects.toMatchObject({ code: 'SourceUnavailable' });
  const path = join(kit.directory, 'owner');
  const record = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...record, boot: 'an earlier one', released: false }));
  const [part] = (await partsOf(kit)) as [string];
  return { kit, part, partsSeen };
}

async function exactly(kit: Kit, changes = {}) {
  const result = await kit.fetch(kit.source(file), { limits, ...changes });
  expect((await kit.content(result)).equals(file)).toBe(true);
  return result;
}

it('F069 what the disk has lost is fetched again, and nothing else', async () => {
  const { kit, part, partsSeen } = await rebooted();
  const path = join(kit.directory, part);
  const { blocks } = readJournal(await readFile(join(kit.directory, 'journal')));
  const lost = blocks.filter(({ offset }) => [1, 3, 5].includes(Math.floor(offset / MIB)));
  const bytes = await readFile(path);
  for (const { offset } of lost) bytes.fill(0, offset, offset + 4096);
  await writeFile(path, bytes);
  const lostBytes = lost.reduce((sum, { length }) => sum + length, 0);
  expect(lostBytes).toBeGreaterThan(0);
  const { bytesFetched } = await exactly(kit);
  expect(bytesFetched).toBeLessThan(MIB + lostBytes + (lost.length + 2) * 64 * 1024);
  expect(kit.notes.filter(({ type }) => type === 'retried')).toHaveLength(0);
  // The old one is gone before the first byte comes.
  expect(partsSeen.map((parts) => parts.length)).toEqual(partsSeen.map(() => 1));
  expect(partsSeen[0]).not.toEqual([part]);
});

it('goes on from the copy however the directory is spelled', async () => {
  const { kit } = await rebooted();
  const { bytesFetched } = await exactly(kit, { directory: `${kit.directory}/./` });
  expect(bytesFetched).toBeLessThan(2 * MIB);
  expect(await kit.listing()).toEqual(['journal', 'verified']);
});

it('F065 where there is no room for a copy, the file begins anew in the place of the old one', async () => {
  let isFull = false;
  const { kit, part } = await rebooted(() => ({ name, path }) => {
    const isOfCopy = isFull && name === 'write' && /part\./.test(path) && !path.endsWith(part);
    if (!isOfCopy) return undefined;
    isFull = false;
    return 'ENOSPC';
  });
  isFull = true;
  const { resumedFrom } = await exactly(kit);
  expect(isFull).toBe(false);
  expect(resumedFrom).toBe(0);
  expect(await kit.listing()).toEqual(['journal', 'verified']);
});

describe('F087 while it is copied', () => {
  it('an abort is heard, and leaves what was there', async () => {
    const stop = new AbortController();
    let isCopying = false;
    const { kit, part } = await rebooted(() => ({ name, path }) => {
      if (isCopying && name === 'write' && /part\./.test(path)) stop.abort();
      return undefined;
    });
    isCopying = true;
    await expect(
      kit.fetch(kit.source(file), { limits, signal: stop.signal }),
    ).rejects.toMatchObject({ code: 'Cancelled' });
    expect(await partsOf(kit)).toEqual([part]);
    isCopying = false;
    const { bytesFetched } = await exactly(kit);
    expect(bytesFetched).toBeLessThan(2 * MIB);
  });
});
