/** What a whole copy is worth, and what is told of one that is worth nothing (F051–F061 as the engine sees them). */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMemberPool, type MemberPool } from '../../../src/transfer/archive/member-pool.js';
import { mediaTypeOf } from '../../../src/transfer/media-type.js';
import { judge, type Copy, type Verdict } from '../../../src/transfer/verify.js';
import { bytesOf, md5 } from '../../support/transfer-kit.js';
import { makeZip, storedZip } from '../../support/zip.js';

let root: string;
let pool: MemberPool;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'nimbus-judge-'));
  pool = createMemberPool(1);
});
afterAll(async () => {
  await pool.close();
  // Nothing that was judged is unpacked anywhere.
  expect(readdirSync(root)).toEqual([]);
  await rm(root, { recursive: true, force: true });
});

let count = 0;
/** As the engine calls it: MD5 and SHA-256 computed, the type by content, the length stated by the server. */
async function judged(bytes: Buffer, change: Partial<Copy> = {}): Promise<Verdict> {
  const path = join(root, `${count++}`);
  await writeFile(path, bytes);
  const file = await open(path);
  try {
    return await judge({
      file,
      bytes: bytes.length,
      mediaType: mediaTypeOf(bytes.subarray(0, 512)),
      digests: [
        { algorithm: 'md5', value: md5(bytes) },
        { algorithm: 'sha256', value: createHash('sha256').update(bytes).digest('hex') },
      ],
      announced: [],
      expectedBytes: null,
      isTotalKnown: true,
      pool,
      ...change,
    });
  } finally {
    await file.close();
    await rm(path);
  }
}

const announcing = (bytes: Buffer): Partial<Copy> => ({
  announced: [{ algorithm: 'md5', value: md5(bytes) }],
});
const flip = (bytes: Buffer, at: number): Buffer => {
  const flipped = Buffer.from(bytes);
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  return flipped;
};
const levelOf = (verdict: Verdict): string =>
  verdict.kind === 'verified' ? verdict.checksum.level : verdict.error.message;
const covers = (verdict: Verdict, at: number): boolean =>
  'damaged' in verdict &&
  verdict.damaged.some(({ start, bytes }) => start <= at && at < start + bytes);

const band = bytesOf(300_000);
const files = { 'P.SAFE/B02.jp2': band, 'P.SAFE/B03.jp2': bytesOf(200_000, 3) };
const plain = storedZip(files);

function safeZip(changes: Record<string, Buffer | null> = {}): Buffer {
  const objects = Object.entries(files).map(
    ([path, bytes]) => `<dataObject><byteStream size="${bytes.length}">
      <fileLocation href="${path.replace('P.SAFE', '.')}"/>
      <checksum checksumName="MD5">${md5(bytes)}</checksum></byteStream></dataObject>`,
  );
  const document = Buffer.from(`<x:XFDU xmlns:x="urn">${objects.join('')}</x:XFDU>`);
  const all = { 'P.SAFE/manifest.safe': document, ...files, ...changes };
  return makeZip(Object.entries(all).flatMap(([name, data]) => (data ? [{ name, data }] : [])));
}

const flags = { flags: 1 };
const encrypted = makeZip([{ name: 'a', data: band, local: flags, central: flags }]);

describe('levels', () => {
  it.each<[string, Buffer, Partial<Copy>, string]>([
    ['an announced digest', plain, announcing(plain), 'provider'],
    ['a manifest whose digests agree', safeZip(), {}, 'manifest'],
    ['a zip without a manifest', plain, {}, 'structure'],
    [
      'a zip with something before it, announced as one',
      Buffer.concat([band, plain]),
      { name: 'a.zip' },
      'structure',
    ],
    ['a file of the stated length', band, {}, 'length'],
    [
      'a file of the length in the catalogue',
      band,
      { expectedBytes: 300_000, isTotalKnown: false },
      'length',
    ],
    ['a file of no stated length', band, { isTotalKnown: false }, 'none'],
    [
      'a zip packed in an unknown way',
      makeZip([{ name: 'a', data: band, local: { method: 93 }, central: { method: 93 } }]),
      {},
      'length',
    ],
    ['an encrypted zip', encrypted, {}, 'length'],
    ['an encrypted zip with its digest', encrypted, announcing(encrypted), 'provider'],
  ])('%s', async (_, bytes, change, level) => {
    expect(levelOf(await judged(bytes, change))).toBe(level);
  });
  it('is judged by those announced digests that were computed', async () => {
    const announced = [
      { algorithm: 'blake3' as const, value: '0'.repeat(64) },
      { algorithm: 'md5' as const, value: md5(band) },
    ];
    expect(await judged(band, { announced })).toMatchObject({
      kind: 'verified',
      checksum: { algorithm: 'md5', level: 'provider' },
    });
    await expect(judged(band, { announced: announced.slice(0, 1) })).rejects.toMatchObject({
      code: 'Internal',
    });
  });
});

describe('F051 F052 an announced digest contradicts a zip', () => {
  it('the damaged range is told, and mends the copy', async () => {
    const at = plain.indexOf(files['P.SAFE/B03.jp2']) + 100_000;
    const damaged = flip(plain, at);
    const verdict = await judged(damaged, announcing(plain));
    expect(verdict).toMatchObject({
      kind: 'mismatch',
      error: { code: 'ChecksumMismatch', details: { expected: md5(plain), actual: md5(damaged) } },
    });
    expect(covers(verdict, at)).toBe(true);
    if (verdict.kind !== 'mismatch') return;
    expect(verdict.damaged.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(201_000);
    for (const { start, bytes } of verdict.damaged)
      plain.copy(damaged, start, start, start + bytes);
    expect(damaged.equals(plain)).toBe(true);
  });
  it('no range is told where the archive agrees with itself, and the error says that it does', async () => {
    expect(await judged(safeZip(), announcing(band))).toMatchObject({
      kind: 'mismatch',
      damaged: [],
      error: { details: { findings_total: 0, manifest: { listed: 2, proven: 2 } } },
    });
  });
  it('the end is told where the directory cannot be read', async () => {
    for (const back of [3, 12, 40]) {
      const at = plain.length - back;
      const verdict = await judged(flip(plain, at), announcing(plain));
      expect(verdict.kind).toBe('mismatch');
      expect(covers(verdict, at)).toBe(true);
    }
  });
  it('nothing is told of what is no zip', async () => {
    const verdict = await judged(flip(band, 7), announcing(band));
    expect(verdict).toMatchObject({ kind: 'mismatch', damaged: [] });
  });
});

describe('without a digest', () => {
  it('F051 a flipped byte in a member is a mismatch with its range, and twice the same is a broken source', async () => {
    const at = plain.indexOf(band) + 5;
    const verdict = await judged(flip(plain, at));
    expect(verdict).toMatchObject({
      kind: 'mismatch',
      error: { code: 'ChecksumMismatch', message: expect.stringContaining('B02.jp2') },
      whenRepeated: { code: 'SourceRefused', message: expect.stringContaining('source is broken') },
    });
    expect(covers(verdict, at)).toBe(true);
  });
  it('F055 a member that its manifest contradicts is a mismatch, and twice the same is a dispute', async () => {
    const verdict = await judged(safeZip({ 'P.SAFE/B02.jp2': flip(band, 9) }));
    expect(verdict).toMatchObject({
      kind: 'mismatch',
      error: {
        code: 'ChecksumMismatch',
        message: expect.stringContaining('the manifest lists'),
        details: { findings: [{ member: 'P.SAFE/B02.jp2', kind: 'digest' }] },
      },
    });
    expect(verdict).not.toHaveProperty('whenRepeated');
    expect(verdict).toHaveProperty('damaged.length', 1);
  });
  it('F055 a listed file that is not there is a mismatch that no range can mend', async () => {
    expect(await judged(safeZip({ 'P.SAFE/B03.jp2': null }))).toMatchObject({
      kind: 'mismatch',
      damaged: [],
      error: { details: { findings: [{ member: 'P.SAFE/B03.jp2', kind: 'missing' }] } },
    });
  });
  it('a directory that cannot be read is refused, with the bytes at fault', async () => {
    const at = plain.length - 50;
    const verdict = await judged(flip(plain, at));
    expect(verdict).toMatchObject({ kind: 'refused', error: { code: 'SourceRefused' } });
    expect(covers(verdict, at)).toBe(true);
  });
  it('a zip that ended early is incomplete where nobody said how long it is', async () => {
    expect(await judged(plain.subarray(0, 250_000), { isTotalKnown: false })).toMatchObject({
      kind: 'incomplete',
    });
  });
});

describe('F054 the digest agrees, and the source is broken', () => {
  const broken = { kind: 'refused', error: { code: 'SourceRefused' }, damaged: [] };
  it('with a stump cut anywhere', async () => {
    for (const length of [5, 100_000, plain.length - 1]) {
      const stump = plain.subarray(0, length);
      const verdict = await judged(stump, announcing(stump));
      expect(verdict).toMatchObject(broken);
      expect(levelOf(verdict)).toMatch(/The source is broken: its md5 agrees, but the archive/);
    }
  });
  it('with a well-formed stump, by the size in the catalogue', async () => {
    const stump = storedZip({ 'P.SAFE/MTD.xml': bytesOf(17_000) });
    const verdict = await judged(stump, { ...announcing(stump), expectedBytes: 778_000 });
    expect(verdict).toMatchObject(broken);
    expect(levelOf(verdict)).toMatch(/17\d+ bytes where the catalogue has 778000/);
  });
  it('with a well-formed stump, by its own manifest, whatever the catalogue says', async () => {
    const stump = safeZip({ 'P.SAFE/B02.jp2': null });
    const verdict = await judged(stump, { ...announcing(stump), expectedBytes: stump.length });
    expect(verdict).toMatchObject(broken);
    expect(levelOf(verdict)).toMatch(/300000 of the 500000 bytes/);
  });
  it('but not with a size that counts other things than the bytes sent', async () => {
    const packed = makeZip([{ name: 'a', data: Buffer.alloc(900_000), deflate: true }]);
    for (const expectedBytes of [900_000, 5_000_000, 1, null])
      expect(levelOf(await judged(packed, { ...announcing(packed), expectedBytes }))).toBe(
        'provider',
      );
  });
  it('nor because a small listed file is missing', async () => {
    const zip = safeZip({ 'P.SAFE/B03.jp2': null });
    expect(levelOf(await judged(zip, announcing(zip)))).toBe('provider');
  });
});

describe('F056 F057 F058 F060 what would do harm when unpacked is refused, whatever its digest', () => {
  it.each<[string, Buffer]>([
    ['a way out', storedZip({ '../evil': band })],
    ['a link', makeZip([{ name: 'a', data: Buffer.from('/etc'), mode: 0o120777 }])],
    ['a bomb', makeZip([{ name: 'a', data: band, deflate: true, central: { bytes: 1e12 } }])],
    ['two files of one name', storedZip({ 'a/B': band, 'A/b': band })],
    [
      'a manifest with entities',
      safeZip({ 'P.SAFE/manifest.safe': Buffer.from('<!DOCTYPE x><x/>') }),
    ],
  ])('%s', async (_, zip) => {
    for (const change of [{}, announcing(zip)])
      expect(await judged(zip, change)).toMatchObject({
        kind: 'refused',
        error: { code: 'SourceRefused' },
      });
  });
});

describe('F061 a .zip that is none', () => {
  const tar = Buffer.alloc(10_240);
  tar.write('P.SAFE/a.jp2', 0);
  tar.write('ustar\0', 257);
  const oldTar = Buffer.alloc(10_240);
  oldTar.write('P.SAFE/a.jp2', 0);
  oldTar.write('0000644\0', 100);
  oldTar.write(
    `${(oldTar.subarray(0, 512).reduce((sum, byte) => sum + byte, 0) + 8 * 32).toString(8).padStart(6, '0')}\0 `,
    148,
  );
  const cog = Buffer.concat([Buffer.from('II*\0'), band]);
  const page = Buffer.from(
    '<?xml version="1.0"?>\n<!DOCTYPE html><html><body>Log in</body></html>',
  );
  const named = { name: 'S2A_MSIL2A.SAFE.zip' };
  const cases: [string, Buffer, string][] = [
    ['a tar', tar, 'application/x-tar'],
    ['a tar without its magic', oldTar, 'application/x-tar'],
    ['a COG', cog, 'image/tiff'],
    ['a page', page, 'text/html'],
    ['a gzip', gzipSync(band), 'application/gzip'],
    ['noise', band, 'application/octet-stream'],
  ];
  it.each(cases)(
    '%s is refused where a zip was promised, by its content',
    async (_, bytes, type) => {
      const verdict = await judged(bytes, named);
      expect(verdict).toMatchObject({
        kind: 'refused',
        error: { code: 'SourceRefused', details: { media_type: type } },
      });
      expect(levelOf(verdict)).toContain(`${type} where a zip was announced`);
    },
  );
  it.each(cases)(
    '%s is what it is where its digest or its length proves it, or no zip was promised',
    async (_, bytes) => {
      expect(levelOf(await judged(bytes, { ...named, ...announcing(bytes) }))).toBe('provider');
      expect(levelOf(await judged(bytes, { ...named, expectedBytes: bytes.length }))).toBe(
        'length',
      );
      expect(levelOf(await judged(bytes, { name: 'product.SAFE' }))).toBe('length');
    },
  );
  it.each([
    ['PK\x07\x08PK\x03\x04', 'application/zip'],
    ['PK00PK\x03\x04', 'application/zip'],
    ['BZh9', 'application/x-bzip2'],
    ['\xfd7zXZ\0', 'application/x-xz'],
    ['\x28\xb5\x2f\xfd', 'application/zstd'],
    ['7z\xbc\xaf\x27\x1c', 'application/x-7z-compressed'],
    ['GRIB\0\0\0\x02', 'application/x-grib'],
    ['<?xml version="1.0"?><!-- a --><!-- b --><html lang="en">', 'text/html'],
    ['<?xml version="1.0"?><!-- <html> --><EOF>', 'application/xml'],
    ['<body>', 'text/html'],
  ])('%j is %s', (text, type) => expect(mediaTypeOf(Buffer.from(text, 'latin1'))).toBe(type));
  it('noise that may go on is not given up', async () => {
    const change = { ...named, isTotalKnown: false };
    expect(await judged(band, change)).toMatchObject({ kind: 'incomplete' });
    expect(await judged(page, change)).toMatchObject({ kind: 'refused' });
  });
});

it('an abort ends the judging with Cancelled', async () => {
  await expect(judged(plain, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'Cancelled',
  });
});
