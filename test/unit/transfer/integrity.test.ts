/** What a whole file is worth (F051–F054, F061): digests, structure, length. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checksumAlgorithms, type Checksum } from '../../../src/jobs/product.js';
import { chunked, honest } from '../../support/lying-server.js';
import { bytesOf, useKits, md5 } from '../../support/transfer-kit.js';
import { storedZip } from '../../support/zip.js';

const file = bytesOf(300_000);
const flipped = Buffer.from(file);
flipped[123_456] = (flipped[123_456] ?? 0) ^ 1;
const serve = useKits();

function digestOf(algorithm: Checksum['algorithm'], bytes: Buffer): string {
  if (algorithm !== 'blake3') return createHash(algorithm).update(bytes).digest('hex');
  const { blake3 } = createRequire(import.meta.url)('@napi-rs/blake-hash') as {
    blake3: (bytes: Buffer) => Buffer;
  };
  return blake3(bytes).toString('hex');
}

it.each(checksumAlgorithms)('verifies %s', async (algorithm) => {
  const kit = await serve((request) => honest(request, file));
  const checksum = { algorithm, value: digestOf(algorithm, file) };
  const result = await kit.fetch(kit.source(file, { checksums: [checksum] }));
  expect(result.checksum).toEqual({ ...checksum, level: 'provider' });
});

it('computes what is asked for besides, and verifies all that is announced', async () => {
  const kit = await serve((request) => honest(request, file));
  const announced = (['md5', 'blake3'] as const).map((algorithm) => ({
    algorithm,
    value: digestOf(algorithm, file),
  }));
  const result = await kit.fetch(kit.source(file, { checksums: announced }), {
    digests: ['sha256', 'md5'],
  });
  expect(result.checksum).toMatchObject({ algorithm: 'blake3' });
  expect(new Set(result.digests)).toEqual(
    new Set([...announced, { algorithm: 'sha256', value: digestOf('sha256', file) }]),
  );
});

describe('F051 a flipped bit', () => {
  it('is fetched again', async () => {
    const kit = await serve((request) => honest(request, request.index === 0 ? flipped : file));
    const result = await kit.fetch(kit.source(file));
    expect((await kit.content(result)).equals(file)).toBe(true);
  });
  it('another one each time ends as a mismatch after three copies, keeping nothing', async () => {
    const kit = await serve((request) => honest(request, bytesOf(file.length, request.index + 9)));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({
      code: 'ChecksumMismatch',
      details: { algorithm: 'md5', expected: md5(file), bytes: file.length },
    });
    expect(kit.server.requests).toHaveLength(3);
    expect(await kit.listing()).not.toContain('verified');
  });
  it('one digest right and the other, where it is asked for, wrong is a contradiction', async () => {
    const kit = await serve((request) => honest(request, file));
    const checksums: Checksum[] = [
      { algorithm: 'blake3', value: digestOf('blake3', file) },
      { algorithm: 'md5', value: md5(flipped) },
    ];
    const failure = kit.fetch(kit.source(file, { checksums }), { digests: ['md5'] });
    await expect(failure).rejects.toMatchObject({ details: { algorithm: 'md5' } });
  });
});

describe('F051 a bad copy is no fault of the disk', () => {
  const scenes = [2, 5000, 300_000].flatMap((size) =>
    [-size + 1, -1, 0, 1, 500].map((longer) => ({ size, longer })),
  );
  it.each(scenes)(
    'of $size bytes and $longer more: the same call brings the right one',
    async ({ size, longer }) => {
      const right = file.subarray(0, size);
      const wrong = bytesOf(size + longer, 5);
      const kit = await serve((request) => {
        if (request.index === 0) return honest(request, wrong);
        return request.index === 1 ? { head: '', then: 'end' } : honest(request, right);
      });
      const result = await kit.fetch(kit.source(right, { expectedBytes: null }));
      expect((await kit.content(result)).equals(right)).toBe(true);
      expect(JSON.stringify(kit.notes)).not.toMatch(/gave back|file ends/);
    },
  );
});

describe('F052 two equal copies contradict the announced digest', () => {
  it('is disputed, and the bytes are kept aside', async () => {
    const kit = await serve((request) => honest(request, flipped));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({
      code: 'ChecksumDisputed',
      details: { expected: md5(file), actual: md5(flipped), kept_as: 'disputed-1' },
    });
    expect(kit.server.requests).toHaveLength(2);
    const kept = await readFile(join(kit.directory, 'disputed-1'));
    expect(kept.equals(flipped)).toBe(true);
  });
  it('remembers the first copy across calls', async () => {
    let down = false;
    const kit = await serve((request) => {
      if (request.index === 1) down = true;
      return down ? { status: 404, headers: { 'content-length': '0' } } : honest(request, flipped);
    });
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'SourceGone' });
    down = false;
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'ChecksumDisputed' });
    expect(kit.server.requests).toHaveLength(3);
  });
});

describe('F053 odd checksums', () => {
  it.each([
    ['upper case', [{ algorithm: 'md5', value: md5(file).toUpperCase() }], 'provider'],
    ['empty', [{ algorithm: 'md5', value: '' }], 'length'],
    ['of another length', [{ algorithm: 'md5', value: 'abc' }], 'length'],
    ['unknown algorithm', [{ algorithm: 'crc64', value: '0123456789abcdef' }], 'length'],
    ['none', [], 'length'],
  ])('%s', async (_, checksums, level) => {
    const kit = await serve((request) => honest(request, file));
    const result = await kit.fetch(kit.source(file, { checksums: checksums as Checksum[] }));
    expect(result.checksum.level).toBe(level);
    expect(result.digests.length).toBeGreaterThan(0);
  });
});

describe('without a digest', () => {
  const zip = storedZip({ 'a/one.bin': bytesOf(5000), 'a/two.bin': bytesOf(7000, 3) });
  const unproven = { checksums: [] };
  /** In its directory. */
  const damaged = Buffer.from(zip);
  damaged[zip.lastIndexOf('PK\x01\x02')]! ^= 1;

  it('a sound zip counts by its structure, whatever size the catalogue has', async () => {
    const kit = await serve((request) => honest(request, zip));
    const result = await kit.fetch(kit.source(zip, { ...unproven, expectedBytes: 99_999 }));
    expect(result).toMatchObject({
      checksum: { level: 'structure' },
      mediaType: 'application/zip',
    });
  });
  it('a stump of a zip is refused', async () => {
    const kit = await serve((request) => honest(request, zip.subarray(0, 6000)));
    const failure = kit.fetch(kit.source(zip, unproven));
    await expect(failure).rejects.toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('archive is broken'),
    });
  });
  it('a chunked zip that ended early is fetched until it is sound', async () => {
    const kit = await serve((request) => ({
      headers: { 'transfer-encoding': 'chunked' },
      body: chunked(request.index === 0 ? zip.subarray(0, 6000) : zip),
    }));
    const result = await kit.fetch(kit.source(zip, { ...unproven, expectedBytes: null }));
    expect(result.checksum.level).toBe('structure');
  });
  it('F051 a bad copy after a cut is fetched again where it is damaged', async () => {
    const kit = await serve((request) => {
      const answer = honest(request, request.index < 2 ? damaged : zip, { etag: '"one"' });
      return request.index === 0
        ? { ...answer, body: answer.body.subarray(0, 9000), then: 'end' }
        : answer;
    });
    const result = await kit.fetch(kit.source(zip, { ...unproven, expectedBytes: null }));
    expect(await kit.content(result)).toEqual(zip);
  });
  it('F051 one that is bad each time is refused, however many cuts lie between', async () => {
    const kit = await serve((request) => {
      const answer = honest(request, damaged, { etag: '"one"' });
      return request.index % 2
        ? answer
        : { ...answer, body: answer.body.subarray(0, answer.body.length - 30), then: 'end' };
    });
    const failure = kit.fetch(kit.source(zip, { ...unproven, expectedBytes: null }));
    await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
    expect(kit.server.requests.length).toBeLessThan(8);
  });
  it('four bytes announced as 900 MB are refused, and nothing is kept', async () => {
    const kit = await serve((request) => honest(request, Buffer.from('nope')));
    const failure = kit.fetch(kit.source(file, { ...unproven, expectedBytes: 900_000_000 }));
    await expect(failure).rejects.toMatchObject({
      code: 'SourceRefused',
      details: { bytes: 4, expected_bytes: 900_000_000 },
    });
    const names = await kit.listing();
    const [part = ''] = names.filter((name) => name.startsWith('part.'));
    expect(names).not.toContain('verified');
    expect((await readFile(join(kit.directory, part))).length).toBeLessThanOrEqual(4);
  });
  it('a length that nobody contradicts counts as length', async () => {
    const kit = await serve((request) => honest(request, file));
    const result = await kit.fetch(kit.source(file, { ...unproven, expectedBytes: null }));
    expect(result.checksum.level).toBe('length');
  });
});

it('F054 a digest that agrees with a stump of a zip is a broken source', async () => {
  const stump = storedZip({ 'a.bin': bytesOf(50_000) }).subarray(0, 20_000);
  const kit = await serve((request) => honest(request, stump));
  const failure = kit.fetch(kit.source(stump, { expectedBytes: 900_000 }));
  await expect(failure).rejects.toMatchObject({ code: 'SourceRefused' });
});
