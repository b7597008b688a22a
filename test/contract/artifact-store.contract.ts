/** What every artifact store keeps to. An adapter's test calls this with a way to make an empty one. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ArtifactStore } from '../../src/artifacts/artifact-store.js';
import type { TransferResult } from '../../src/transfer/transfer.js';

export interface StoreUnderTest {
  store: ArtifactStore;
  /** Reads a final file as a user would. */
  read: (path: string) => Promise<Buffer>;
  remove: () => Promise<void>;
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** A verified transfer of these bytes, as the engine leaves it. */
export async function verifiedTransfer(
  store: ArtifactStore,
  key: string,
  bytes: Buffer,
): Promise<TransferResult> {
  const directory = store.partialDirectory(key);
  await mkdir(directory, { recursive: true });
  const path = join(directory, 'verified');
  await writeFile(path, bytes);
  const checksum = { algorithm: 'sha256' as const, value: sha256(bytes) };
  return {
    path,
    bytes: bytes.length,
    checksum: { ...checksum, level: 'provider' },
    digests: [checksum],
    fileName: 'file.bin',
    mediaType: 'application/octet-stream',
    bytesFetched: bytes.length,
    resumedFrom: 0,
  };
}

export function describeArtifactStore(name: string, create: () => Promise<StoreUnderTest>): void {
  describe(`an artifact store: ${name}`, () => {
    const one = Buffer.from('one');
    const two = Buffer.from('two');
    const signal = new AbortController().signal;
    let under: StoreUnderTest;
    let store: ArtifactStore;
    beforeEach(async () => {
      under = await create();
      store = under.store;
      await store.prepare();
    });
    afterEach(() => under.remove());

    const publish = async (bytes: Buffer, path: string, replace?: boolean) =>
      store.publish(await verifiedTransfer(store, 'key', bytes), path, 'key', { replace });

    it('can be prepared twice', async () => {
      await expect(store.prepare()).resolves.toBeUndefined();
    });

    it('publishes under the final name, and nothing before', async () => {
      const transfer = await verifiedTransfer(store, 'key', one);
      await expect(store.open('a/b/file.bin')).rejects.toMatchObject({ code: 'NotFound' });
      const artifact = await store.publish(transfer, 'a/b/file.bin', 'key');
      expect(artifact).toEqual({
        path: 'a/b/file.bin',
        bytes: 3,
        checksum: { algorithm: 'sha256', value: sha256(one), level: 'provider' },
        digests: [{ algorithm: 'sha256', value: sha256(one) }],
        media_type: 'application/octet-stream',
      });
      expect(await under.read('a/b/file.bin')).toEqual(one);
      await expect(readFile(transfer.path)).rejects.toThrow(/ENOENT/);
    });

    it('F082 publishing the same bytes twice is success, also when the partial is gone', async () => {
      const first = await publish(one, 'file.bin');
      expect(await publish(one, 'file.bin')).toEqual(first);
      const gone = await verifiedTransfer(store, 'key', one);
      await store.discard('key');
      expect(await store.publish(gone, 'file.bin', 'key')).toEqual(first);
    });

    it('never overwrites other bytes by accident', async () => {
      await publish(one, 'file.bin');
      await expect(publish(two, 'file.bin')).rejects.toMatchObject({ code: 'Conflict' });
      expect(await under.read('file.bin')).toEqual(one);
    });

    it('replaces them when told to', async () => {
      await publish(one, 'file.bin');
      expect(await publish(two, 'file.bin', true)).toMatchObject({ bytes: 3 });
      expect(await under.read('file.bin')).toEqual(two);
    });

    it('of two that publish other bytes at once, one wins and one is told', async () => {
      const transfers = [
        await verifiedTransfer(store, 'key one', one),
        await verifiedTransfer(store, 'key two', two),
      ];
      const outcomes = await Promise.allSettled(
        transfers.map((transfer, i) => store.publish(transfer, 'file.bin', `key ${i}`)),
      );
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    });

    it('says when verified bytes have vanished', async () => {
      const transfer = await verifiedTransfer(store, 'key', one);
      await store.discard('key');
      await expect(store.publish(transfer, 'file.bin', 'key')).rejects.toMatchObject({
        code: 'StoreUnavailable',
      });
    });

    it('gives each key a directory of its own, whatever the key holds', () => {
      const keys = ['a/b', 'a/c', '../../etc', 'é'.repeat(5000), '', 'A/B'];
      const directories = keys.map((key) => store.partialDirectory(key));
      expect(new Set(directories).size).toBe(keys.length);
      for (const directory of directories) expect(directory).not.toContain('..');
      expect(store.partialDirectory('a/b')).toBe(directories[0]);
    });

    it('discards nothing without harm', async () => {
      await expect(store.discard('nothing')).resolves.toBeUndefined();
    });

    it('knows an intact file from one that is missing, short or altered', async () => {
      const artifact = await publish(one, 'file.bin');
      for (const how of ['size', 'digest'] as const) {
        expect(await store.isIntact(artifact, how, signal)).toBe(true);
        expect(await store.isIntact({ ...artifact, path: 'no.bin' }, how, signal)).toBe(false);
        expect(await store.isIntact({ ...artifact, bytes: 4 }, how, signal)).toBe(false);
      }
      await publish(two, 'other.bin');
      const altered = { ...artifact, path: 'other.bin' };
      expect(await store.isIntact(altered, 'size', signal)).toBe(true);
      expect(await store.isIntact(altered, 'digest', signal)).toBe(false);
    });

    it('remembers what it holds of a product', async () => {
      const artifacts = [await publish(one, 'file.bin')];
      const held = {
        provider: 'copernicus',
        product_id: '../odd id/π',
        artifacts,
        stored_at: '2025-01-01T00:00:00Z',
        stored_by: 'job-1',
      };
      expect(await store.getHeld('copernicus', '../odd id/π')).toBeNull();
      await store.putHeld(held);
      expect(await store.getHeld('copernicus', '../odd id/π')).toEqual(held);
      expect(await store.getHeld('usgs', '../odd id/π')).toBeNull();
    });

    it('keeps records, replaces them, and lists them by folder', async () => {
      await store.putRecord('jobs/1/b.json', { a: [1, null] });
      await store.putRecord('jobs/1/a.json', 'old');
      await store.putRecord('jobs/1/a.json', 'new');
      await store.putRecord('jobs/10/a.json', 0);
      expect(await store.getRecord('jobs/1/b.json')).toEqual({ a: [1, null] });
      expect(await store.getRecord('jobs/1/a.json')).toBe('new');
      expect(await store.listRecords('jobs/1')).toEqual(['jobs/1/a.json', 'jobs/1/b.json']);
      expect(await store.listRecords('jobs/1/')).toHaveLength(2);
      expect(await store.listRecords('')).toHaveLength(3);
      expect(await store.listRecords('nothing')).toEqual([]);
      await expect(store.getRecord('jobs/2')).rejects.toMatchObject({ code: 'NotFound' });
    });

    it('one record written by many at once is one of theirs', async () => {
      const values = Array.from({ length: 20 }, (_, i) => ({ i, pad: 'x'.repeat(5000) }));
      await Promise.all(values.map((value) => store.putRecord('same.json', value)));
      expect(values).toContainEqual(await store.getRecord('same.json'));
      expect(await store.listRecords('')).toEqual(['same.json']);
    });

    it('writes a small public file, and a repeat replaces it', async () => {
      await store.putFile('jobs/1/manifest.json', '{}', 'application/json');
      const put = await store.putFile('jobs/1/manifest.json', '{"é":1}', 'application/json');
      expect(put).toEqual({ bytes: 8, sha256: sha256(Buffer.from('{"é":1}')) });
      expect((await under.read('jobs/1/manifest.json')).toString()).toBe('{"é":1}');
    });

    it.each([
      '',
      '.',
      '..',
      '../x',
      'a/../../x',
      '/etc/passwd',
      'a//b',
      'a/',
      'a\\b',
      'a\0b',
      'a\nb',
      '.nimbus/held',
      '.partial/x',
      'a/.hidden',
      'x'.repeat(256),
      'x/'.repeat(2000) + 'x',
    ])('F119 serves and takes nothing at %j', async (path) => {
      await expect(store.open(path)).rejects.toMatchObject({ code: 'NotFound' });
      await expect(publish(one, path)).rejects.toMatchObject({ code: 'InvalidInput' });
      await expect(store.putFile(path, '', 'text/plain')).rejects.toMatchObject({
        code: 'InvalidInput',
      });
      await expect(store.putRecord(path, 1)).rejects.toMatchObject({ code: 'InvalidInput' });
      await expect(store.getRecord(path)).rejects.toMatchObject({ code: 'NotFound' });
    });

    it('gives any stretch of a file, and an empty one too', async () => {
      const bytes = Buffer.from('0123456789'.repeat(100_000));
      await publish(bytes, 'a/file.bin');
      const file = await store.open('a/file.bin');
      expect((await buffer(file.read())).equals(bytes)).toBe(true);
      const stretch = await buffer(file.read({ start: 70_001, end: 900_003 }));
      expect(stretch.equals(bytes.subarray(70_001, 900_003))).toBe(true);
      expect(await buffer(file.read({ start: 5, end: 5 }))).toHaveLength(0);
      const empty = await publish(Buffer.alloc(0), 'a/empty.bin');
      expect(await buffer((await store.open('a/empty.bin')).read())).toHaveLength(0);
      expect(await store.isIntact(empty, 'digest', signal)).toBe(true);
    });

    it('names files so that the names lead back to them', () => {
      const address = store.addressOf('a/file.bin');
      expect(store.pathOf(address)).toBe('a/file.bin');
      expect(store.pathOf('a/file.bin')).toBe('a/file.bin');
      expect(store.pathOf('s3://there-is-no-such-bucket/a/file.bin')).toBeNull();
    });

    it('can be reached', async () => {
      await expect(store.ping()).resolves.toBeUndefined();
    });

    it('a publication that is cancelled before it begins changes nothing', async () => {
      const transfer = await verifiedTransfer(store, 'key', one);
      const options = { signal: AbortSignal.abort() };
      await expect(store.publish(transfer, 'file.bin', 'key', options)).rejects.toMatchObject({
        code: 'Cancelled',
      });
      await expect(store.open('file.bin')).rejects.toMatchObject({ code: 'NotFound' });
      expect(await store.publish(transfer, 'file.bin', 'key')).toMatchObject({ bytes: 3 });
    });

    it('serves no folder', async () => {
      await publish(one, 'a/file.bin');
      await expect(store.open('a')).rejects.toMatchObject({ code: 'NotFound' });
      await expect(store.open('a/file.bin/x')).rejects.toMatchObject({ code: 'NotFound' });
      expect(await store.open('a/file.bin')).toMatchObject({ bytes: 3 });
    });

    it('a folder cannot go where a file is', async () => {
      await publish(one, 'a');
      await expect(publish(two, 'a/b')).rejects.toMatchObject({ code: 'Conflict' });
    });

    it('knows how much room is left', async () => {
      expect(await store.freeBytes()).toBeGreaterThan(0);
    });

    it('F066 promises room for what fits, refuses what does not, and takes it back', async () => {
      const first = store.partialDirectory('one');
      const second = store.partialDirectory('two');
      const bytes = Math.floor((await store.freeBytes()) * 0.6);
      const release = await store.reserve(first, bytes);
      await expect(store.reserve(second, bytes)).rejects.toMatchObject({
        code: 'StorageFull',
        details: { needed_bytes: bytes, reserved_bytes: bytes },
      });
      await release();
      await store.reserve(second, bytes);
      await store.discard('two');
      await store.reserve(first, bytes);
      await store.reserve(second, null);
    });
  });
}
