import { createHash } from 'node:crypto';
import { access, link, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceError } from '../../../src/jobs/error-codes.js';
import { emptyMember, proveMember, type MemberOptions } from '../../../src/transfer/member.js';
import type { TransferResult } from '../../../src/transfer/transfer.js';

const content = Buffer.concat([
  Buffer.from('0000000c6a5020200d0a870a', 'hex'),
  Buffer.from('band '.repeat(100_000)),
]);
const sha3 = createHash('sha3-256').update(content).digest('hex');
const packing = { method: 'deflated' as const, bytes: content.length, crc32: crc32(content) };

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nimbus-member-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const options = (change: Partial<MemberOptions> = {}): MemberOptions => ({
  directory,
  packing: null,
  checksums: [],
  digests: [],
  signal: new AbortController().signal,
  ...change,
});

/** What the engine leaves. */
async function fetched(
  bytes: Buffer,
  level: TransferResult['checksum']['level'] = 'length',
): Promise<TransferResult> {
  const path = join(directory, 'verified');
  await writeFile(path, bytes);
  const checksum = { algorithm: 'sha256' as const, value: 'ab'.repeat(32) };
  return {
    path,
    bytes: bytes.length,
    checksum: { ...checksum, level },
    digests: [checksum],
    fileName: 'band.jp2',
    mediaType: 'application/octet-stream',
    bytesFetched: bytes.length,
    resumedFrom: 0,
  };
}

const failureOf = (promise: Promise<unknown>): Promise<ServiceError> =>
  promise.then(
    () => Promise.reject(new Error('It did not fail')),
    (error: ServiceError) => error,
  );
const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

describe('D18 a file out of a product', () => {
  it('with an address of its own keeps what the engine found, and is called after its manifest', async () => {
    const checksums = [{ algorithm: 'sha3-256' as const, value: sha3 }];
    const proven = await proveMember(await fetched(content, 'provider'), options({ checksums }));
    expect(proven.checksum.level).toBe('manifest');
    const plain = await proveMember(await fetched(content), options());
    expect(plain.checksum.level).toBe('length');
  });

  it('stored in an archive must have its CRC-32, or is dropped', async () => {
    const stored = { ...packing, method: 'stored' as const };
    const proven = await proveMember(await fetched(content), options({ packing: stored }));
    expect(proven.checksum.level).toBe('structure');
    const other = Buffer.from(content);
    other[77]! ^= 1;
    const damaged = await fetched(other);
    const error = await failureOf(proveMember(damaged, options({ packing: stored })));
    expect(error).toMatchObject({ code: 'ChecksumMismatch', kind: 'restart' });
    expect(await isThere(damaged.path)).toBe(false);
  });

  it('deflated is unpacked, proven by CRC-32 and digest, and has its own length and type', async () => {
    const packed = await fetched(deflateRawSync(content));
    const checksums = [{ algorithm: 'sha3-256' as const, value: sha3 }];
    const digests = ['blake3', 'md5'] as const;
    const proven = await proveMember(packed, options({ packing, checksums, digests }));
    expect(proven).toMatchObject({
      bytes: content.length,
      mediaType: 'image/jp2',
      checksum: { algorithm: 'sha3-256', value: sha3, level: 'manifest' },
    });
    expect(proven.digests.map(({ algorithm }) => algorithm).sort()).toEqual([
      'blake3',
      'md5',
      'sha3-256',
    ]);
    expect((await readFile(proven.path)).equals(content)).toBe(true);
    // whoever is killed before it is published need not fetch it again
    expect(await isThere(packed.path)).toBe(true);
    const unsigned = await fetched(deflateRawSync(content));
    expect((await proveMember(unsigned, options({ packing }))).checksum.level).toBe('structure');
  });

  it.each([
    ['F057 unpacks to more than is stated', { bytes: 1_000 }, undefined],
    ['unpacks to less', { bytes: content.length + 1 }, undefined],
    ['has another CRC-32', { crc32: 1 }, undefined],
    ['F055 has another digest than the manifest says', {}, 'cd'.repeat(32)],
  ])('that %s is dropped', async (_what, change, value) => {
    const packed = await fetched(deflateRawSync(content));
    const checksums = value === undefined ? [] : [{ algorithm: 'sha3-256' as const, value }];
    const wrong = options({ packing: { ...packing, ...change }, checksums });
    expect((await failureOf(proveMember(packed, wrong))).code).toBe('ChecksumMismatch');
    expect(await readdir(directory)).toEqual([]);
  });

  it('I1 what has been published is not written to by a later run', async () => {
    const once = async (signal: AbortSignal) =>
      proveMember(await fetched(deflateRawSync(content)), options({ packing, signal }));
    const proven = await once(new AbortController().signal);
    const published = join(directory, 'band.jp2');
    await link(proven.path, published);
    await failureOf(once(AbortSignal.abort()));
    await once(new AbortController().signal);
    expect((await readFile(published)).equals(content)).toBe(true);
  });

  it('that is no deflated stream at all is dropped', async () => {
    const packed = await fetched(Buffer.from('this is not deflated'));
    const error = await failureOf(proveMember(packed, options({ packing })));
    expect(error.code).toBe('ChecksumMismatch');
    expect(await isThere(packed.path)).toBe(false);
  });

  it('stops when it is told to, and keeps what was fetched', async () => {
    const packed = await fetched(deflateRawSync(content));
    const signal = AbortSignal.abort();
    for (const method of ['stored', 'deflated'] as const) {
      const stopped = proveMember(packed, options({ packing: { ...packing, method }, signal }));
      expect((await failureOf(stopped)).code).toBe('Cancelled');
    }
    expect(await isThere(packed.path)).toBe(true);
  });

  it('of no bytes needs no request, and is proven too', async () => {
    const nothing = createHash('md5').digest('hex');
    const checksums = [{ algorithm: 'md5' as const, value: nothing }];
    const made = await emptyMember('empty.xml', options({ checksums }));
    expect(made).toMatchObject({ bytes: 0, checksum: { value: nothing, level: 'manifest' } });
    expect((await readFile(made.path)).length).toBe(0);
    const wrong = [{ algorithm: 'md5' as const, value: 'ab'.repeat(16) }];
    const error = await failureOf(emptyMember('empty.xml', options({ checksums: wrong })));
    expect(error.code).toBe('ChecksumMismatch');
  });
});
