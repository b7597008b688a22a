/** The directory of a zip: every form is read, every lie is refused, and little is read of what is refused (F056–F059). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { locateData, readDirectory } from '../../../src/transfer/archive/directory.js';
import type { ByteReader } from '../../../src/transfer/archive/reader.js';
import { hasShared, sharedPath } from '../../support/shared.js';
import { bytesOf } from '../../support/transfer-kit.js';
import {
  makeZip,
  memoryReader,
  storedZip,
  zipEnd,
  type ZipMember,
  type ZipOptions,
} from '../../support/zip.js';

const one = bytesOf(1000);
const two = bytesOf(5000, 2);
const plain: ZipMember[] = [
  { name: 'P.SAFE/one.bin', data: one },
  { name: 'P.SAFE/sub/two.bin', data: two, deflate: true },
];

const namesOf = async (zip: Buffer): Promise<string[]> =>
  (await readDirectory(memoryReader(zip))).map(({ name }) => name);

const refusal = (fault: string, message: string | RegExp = '') =>
  expect.objectContaining({
    code: 'SourceRefused',
    message: expect.stringMatching(message),
    details: expect.objectContaining({ fault }),
  });

async function expectRefused(zip: Buffer, fault: string, message: string | RegExp = '') {
  const failure: unknown = await readDirectory(memoryReader(zip)).catch((error: unknown) => error);
  expect(failure).toEqual(refusal(fault, message));
}

/** The members' data, as found where the directory and the local headers say. */
async function dataOf(zip: Buffer): Promise<Buffer[]> {
  const reader = memoryReader(zip);
  const members = await readDirectory(reader);
  const places = await Promise.all(members.map((member) => locateData(reader, member)));
  return places.map(({ start, bytes }) => zip.subarray(start, start + bytes));
}

describe('a sound directory', () => {
  it('says what each member is and where it lies', async () => {
    const zip = makeZip(plain);
    const members = await readDirectory(memoryReader(zip));
    expect(members).toMatchObject([
      { name: 'P.SAFE/one.bin', method: 0, bytes: 1000, compressedBytes: 1000, headerOffset: 0 },
      { name: 'P.SAFE/sub/two.bin', method: 8, bytes: 5000 },
    ]);
    expect((await dataOf(zip))[0]).toEqual(one);
  });
  it('of no members is sound', async () => {
    expect(await namesOf(storedZip({}))).toEqual([]);
  });
  it('is had for one read, and a member for one more', async () => {
    const reader = memoryReader(makeZip([...plain, { name: 'big.bin', data: bytesOf(300_000) }]));
    const [member] = await readDirectory(reader);
    expect(reader.reads).toBe(1);
    expect(reader.bytesRead).toBeLessThan(70_000);
    if (member) await locateData(reader, member);
    expect(reader.reads).toBe(2);
    expect(reader.bytesRead).toBeLessThan(71_000);
  });
  it('tolerates folders that are named twice, links of no member, and unknown extra fields', async () => {
    const zip = makeZip([
      { name: 'a/', data: Buffer.alloc(0), mode: 0o040755 },
      { name: 'a/', data: Buffer.alloc(0), mode: 0o040755 },
      { name: 'a/b', data: one, extra: Buffer.from([0x34, 0x12, 2, 0, 7, 7]) },
    ]);
    expect(await namesOf(zip)).toEqual(['a/', 'a/', 'a/b']);
  });
  it.skipIf(!hasShared)('of a real product is read as its makers wrote it', async () => {
    const zip = readFileSync(
      sharedPath(
        'scenes/sentinel-2-l1c-31TDH/S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911.zip',
      ),
    );
    const members = await readDirectory(memoryReader(zip));
    expect(members.map(({ bytes }) => bytes)).toEqual([0, 0, 0, 2_488_555, 370_717, 44_319]);
    expect((await dataOf(zip)).map(({ length }) => length)).toEqual([
      0, 0, 0, 2_427_877, 35_669, 7_747,
    ]);
  });
});

describe('F054 a stump', () => {
  const zip = makeZip(plain);
  it('cut anywhere is refused', async () => {
    for (let length = 0; length < zip.length; length += 7)
      await expect(readDirectory(memoryReader(zip.subarray(0, length)))).rejects.toMatchObject({
        code: 'SourceRefused',
      });
  });
});

describe('F056 names that lead out of the folder', () => {
  it.each([
    ['../evil', 'leads out'],
    ['a/../../evil', 'leads out'],
    ['a/..', 'leads out'],
    ['/etc/evil', 'is absolute'],
    ['C:/evil', 'names a drive'],
    ['c:evil', 'names a drive'],
    ['..\\evil', 'backslash'],
    ['a\\b', 'backslash'],
    ['a\0.txt', 'control characters'],
    ['a\nb', 'control characters'],
    ['', 'is no name'],
    ['.', 'is no name'],
    [`${'d/'.repeat(65)}x`, 'folders deep'],
    ['n'.repeat(5000), 'too long'],
  ])('%j is refused', async (name, why) => {
    await expectRefused(makeZip([...plain, { name, data: one }]), 'unsafe', why);
  });
  it('a symbolic link and a file through it are refused', async () => {
    const link = { name: 'out', data: Buffer.from('/etc'), mode: 0o120777 };
    await expectRefused(makeZip([link]), 'unsafe', 'symbolic link');
    await expectRefused(
      makeZip([link, { name: 'out/passwd', data: one }]),
      'unsafe',
      'symbolic link',
    );
    await expectRefused(makeZip([{ ...link, host: 19 }]), 'unsafe', 'symbolic link');
  });
  it('a file through another file is refused', async () => {
    const members = [
      { name: 'out', data: one },
      { name: 'out/passwd', data: one },
    ];
    await expectRefused(makeZip(members), 'unsafe', 'folder that is a file');
    await expectRefused(makeZip(members.reverse()), 'unsafe', 'a file and a folder');
  });
  it.each([0o020644, 0o060644, 0o140644])('a special file (%o) is refused', async (mode) => {
    await expectRefused(makeZip([{ name: 'a', data: one, mode }]), 'unsafe', 'special file');
  });
  it('what was read from a pipe when the archive was made is a file', async () => {
    expect(await namesOf(makeZip([{ name: '-', data: one, mode: 0o010600 }]))).toEqual(['-']);
  });
  it('a second name that unpackers may prefer is judged too', async () => {
    const evil = Buffer.from('../evil');
    const extra = Buffer.alloc(9 + evil.length);
    extra.writeUInt16LE(0x7075, 0);
    extra.writeUInt16LE(5 + evil.length, 2);
    extra[4] = 1;
    evil.copy(extra, 9);
    await expectRefused(makeZip([{ name: 'good', data: one, extra }]), 'unsafe', 'leads out');
  });
  it('names of one file or another with dots and colons inside are fine', async () => {
    const names = ['a..b/..c', 'time_12:30.nc', 'é/ü.xml', './x', 'ab:c'];
    expect(await namesOf(makeZip(names.map((name) => ({ name, data: one }))))).toEqual(names);
  });
});

describe('F057 bombs', () => {
  it('a thousand bytes that claim ten gigabytes are refused', async () => {
    const member = { name: 'a', data: one, deflate: true, central: { bytes: 10 * 1024 ** 3 } };
    await expectRefused(makeZip([member]), 'bomb', 'cannot unpack');
  });
  it('more than 200 times the archive, over all members, is refused', async () => {
    const packed = Buffer.alloc(300_000, 1);
    const members = Array.from({ length: 40 }, (_, at) => ({
      name: `${at}`,
      data: one,
      deflate: true,
      packed,
      central: { bytes: 300_000 * 1000 },
    }));
    await expectRefused(makeZip(members), 'bomb', '12000000000 bytes from');
  });
  it('members that share bytes are refused', async () => {
    const shared = makeZip([
      plain[0] as ZipMember,
      { name: 'again', data: one, central: { headerOffset: 0 } },
    ]);
    await expectRefused(shared, 'bomb', 'shares bytes');
    const inside = makeZip([
      { name: 'a', data: two },
      { name: 'b', data: one, central: { headerOffset: 40 } },
    ]);
    await expectRefused(inside, 'bomb', 'shares bytes');
  });
  it('ten million members are refused by what the end says, before the directory is read', async () => {
    const bytes = 600_000_000;
    const end = zipEnd({ entries: 10_000_000, size: 500_000_000, offset: 99_999_000 });
    const reader = virtual(bytes, [[bytes - end.length, end]]);
    await expect(readDirectory(reader)).rejects.toEqual(refusal('bomb', '10000000 members'));
    expect(reader.bytesRead()).toBeLessThan(100_000);
  });
  it('ten million members behind an end that says one are refused before the directory is read', async () => {
    const bytes = 600_000_000;
    const end = zipEnd(
      { entries: 1, size: 500_000_000, offset: bytes - 500_000_098 },
      { zip64: true },
    );
    const reader = virtual(bytes, [[bytes - end.length, end]]);
    await expect(readDirectory(reader)).rejects.toEqual(refusal('bomb', 'too large'));
    expect(reader.bytesRead()).toBeLessThan(100_000);
  });
  it('a directory of many long names is read in bounded memory', async () => {
    const zip = makeZip(
      Array.from({ length: 30_000 }, (_, at) => ({
        name: `${at}/${'n'.repeat(1000)}`,
        data: one.subarray(0, 0),
      })),
    );
    const before = process.memoryUsage.rss();
    expect(await namesOf(zip)).toHaveLength(30_000);
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1024 * 1024);
  });
  it('an archive inside the archive is data and nothing else', async () => {
    const bomb = makeZip([{ name: 'a', data: one, deflate: true, central: { bytes: 10 ** 10 } }]);
    expect(await namesOf(makeZip([{ name: 'inner.zip', data: bomb }]))).toEqual(['inner.zip']);
  });
});

describe('F058 headers that disagree, and names that are one file', () => {
  it.each<[string, Partial<ZipMember>]>([
    ['name', { local: { name: 'P.SAFE/0ne.bin' } }],
    ['length of the name', { local: { name: 'other' } }],
    ['method', { local: { method: 8 } }],
    ['CRC', { local: { crc32: 1 } }],
    ['size', { local: { bytes: 999 } }],
    ['packed size', { local: { compressedBytes: 999 } }],
    ['encryption', { local: { flags: 1 } }],
  ])('another %s in the local header is refused where the member is read', async (_, change) => {
    const zip = makeZip([{ ...(plain[0] as ZipMember), ...change }, plain[1] as ZipMember]);
    expect(await namesOf(zip)).toEqual(['P.SAFE/one.bin', 'P.SAFE/sub/two.bin']);
    await expect(dataOf(zip)).rejects.toEqual(refusal('damaged', 'one.bin'));
  });
  it.each([
    ['twice', ['a/b', 'a/b']],
    ['in another case', ['a/File.xml', 'a/file.XML']],
    ['composed otherwise', ['\u00e9', 'e\u0301']],
    ['with a dot in between', ['a/b', 'a/./b']],
  ])('a name that is there %s is refused', async (_, names) => {
    const zip = makeZip(names.map((name) => ({ name, data: one })));
    await expectRefused(zip, 'unsafe', 'is there twice');
  });
  it('a stored member of two lengths and a folder with bytes are refused', async () => {
    await expectRefused(makeZip([{ name: 'a', data: one, central: { bytes: 999 } }]), 'damaged');
    await expectRefused(makeZip([{ name: 'a/', data: one }]), 'damaged', 'holds bytes');
  });
  it('an archive that can be read in two ways is refused', async () => {
    const inner = storedZip({ other: one });
    const outer = makeZip(plain, { comment: Buffer.concat([inner]) });
    await expectRefused(outer, 'damaged', 'two');
  });
  it('a part of an archive on several disks is refused', async () => {
    await expectRefused(makeZip([{ name: 'a', data: one, central: { disk: 2 } }]), 'damaged');
    await expectRefused(makeZip(plain, { end: { disk: 1 } }), 'damaged');
  });
  it('an encrypted member is listed, and refused where it would be read', async () => {
    const flags = { flags: 1 };
    const zip = makeZip([{ name: 'a', data: one, local: flags, central: flags }]);
    expect(await readDirectory(memoryReader(zip))).toMatchObject([{ isEncrypted: true }]);
    await expect(dataOf(zip)).rejects.toEqual(refusal('unsupported', 'is encrypted'));
  });
  it.each<[string, ZipOptions['end']]>([
    ['fewer members', { entries: 1 }],
    ['more members', { entries: 3 }],
    ['a shorter directory', { size: 70 }],
    ['a longer directory', { size: 170 }],
    ['an earlier directory', { offset: 1000 }],
    ['a later directory', { offset: 9000 }],
  ])('an end that speaks of %s is refused, wide or not', async (_, end) => {
    for (const zip64 of [false, true]) {
      const zip = makeZip(plain, { zip64, ...(end && { end }) });
      await expect(dataOf(zip)).rejects.toMatchObject({ code: 'SourceRefused' });
    }
  });
});

describe('F059 every form of a zip', () => {
  it.each<[string, Partial<ZipMember>, ZipOptions]>([
    ['descriptors', { descriptor: 'signed' }, {}],
    ['descriptors without a signature', { descriptor: 'plain' }, {}],
    ['wide descriptors', { descriptor: 'signed', zip64: true }, {}],
    ['wide fields', { zip64: true }, {}],
    ['wide ends', {}, { zip64: true }],
    ['both wide', { zip64: true }, { zip64: true }],
    ['a comment', {}, { comment: Buffer.from('made by hand') }],
    ['the longest comment', {}, { comment: Buffer.alloc(0xffff, 'x') }],
    [
      'a comment that looks like an end',
      {},
      { comment: zipEnd({ entries: 9, size: 9, offset: 9 }) },
    ],
    ['something before it', {}, { prefix: bytesOf(777, 9) }],
    ['something before it that is counted', {}, { prefix: bytesOf(777, 9), countsPrefix: true }],
    ['something before it, wide', { zip64: true }, { prefix: bytesOf(777, 9), zip64: true }],
    ['gaps between members', { gap: Buffer.alloc(50) }, {}],
    [
      'long extra fields',
      { extra: Buffer.concat([Buffer.from([9, 9, 0x2c, 1]), Buffer.alloc(300)]) },
      {},
    ],
  ])('with %s', async (_, change, options) => {
    const zip = makeZip(
      [
        { name: 'one', data: one, ...change },
        { name: 'two', data: two, ...change },
      ],
      options,
    );
    expect(await dataOf(zip)).toEqual([one, two]);
  });
  it('with more than 65,535 members', async () => {
    const count = 70_000;
    const zip = makeZip(
      Array.from({ length: count }, (_, at) => ({
        name: `m/${at}`,
        data: one.subarray(0, at % 3),
      })),
    );
    const reader = memoryReader(zip);
    const members = await readDirectory(reader);
    expect(members).toHaveLength(count);
    const last = members.at(-1);
    expect(last?.name).toBe('m/69999');
    if (last) expect(await locateData(reader, last)).toMatchObject({ bytes: 69_999 % 3 });
  });
  it('with a member of more than 4 GiB, and one behind it', async () => {
    const big = 5 * 1024 ** 3;
    const [header = Buffer.alloc(0), entry = Buffer.alloc(0)] = wideMember('big', big, 0);
    const second = makeZip([{ name: 'two', data: two }]);
    const secondAt = header.length + big;
    const secondLocal = second.subarray(0, 33 + two.length);
    const [, secondEntry = Buffer.alloc(0)] = wideMember('two', two.length, secondAt, two);
    const directoryAt = secondAt + secondLocal.length;
    const directory = Buffer.concat([entry, secondEntry]);
    const end = zipEnd({ entries: 2, size: directory.length, offset: directoryAt });
    const reader = virtual(directoryAt + directory.length + end.length, [
      [0, header],
      [secondAt, secondLocal],
      [directoryAt, Buffer.concat([directory, end])],
    ]);
    const members = await readDirectory(reader);
    expect(members).toMatchObject([{ bytes: big }, { bytes: two.length, headerOffset: secondAt }]);
    const places = await Promise.all(members.map((member) => locateData(reader, member)));
    expect(places).toEqual([
      { start: header.length, bytes: big },
      { start: secondAt + 33, bytes: two.length },
    ]);
    expect(reader.bytesRead()).toBeLessThan(100_000);
  });
});

/** Header and directory entry of a member that says it is so long, with nothing of its data but what is given. */
function wideMember(
  name: string,
  bytes: number,
  headerOffset: number,
  data: Buffer = Buffer.alloc(0),
): Buffer[] {
  const said = { bytes, compressedBytes: bytes };
  const zip = makeZip([
    { name, data, zip64: true, local: said, central: { ...said, headerOffset } },
  ]);
  const headerBytes = 30 + name.length + 20;
  const entryAt = headerBytes + data.length;
  return [zip.subarray(0, headerBytes), zip.subarray(entryAt, entryAt + 46 + name.length + 28)];
}

/** A file of any length that holds nothing but the given parts. */
function virtual(
  bytes: number,
  parts: [at: number, part: Buffer][],
): ByteReader & { bytesRead: () => number } {
  let bytesRead = 0;
  return {
    bytes,
    bytesRead: () => bytesRead,
    async read(position, length) {
      const found = Buffer.alloc(length);
      for (const [at, part] of parts) {
        const from = Math.max(0, position - at);
        const to = Math.min(part.length, position + length - at);
        if (from < to) part.copy(found, at + from - position, from, to);
      }
      bytesRead += length;
      return found;
    },
  };
}
