/** SAFE products against their own manifests, whose XML comes from outside (F055, F060). */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCatalogue } from '../../../src/sandbox/catalogue/catalogue.js';
import { createContentStore } from '../../../src/sandbox/content/content-store.js';
import {
  checkArchive,
  listArchive,
  type ArchiveReport,
} from '../../../src/transfer/archive/check.js';
import { readSafeManifest } from '../../../src/transfer/archive/safe-manifest.js';
import { readXml } from '../../../src/transfer/archive/xml.js';
import { hasShared, sharedPath } from '../../support/shared.js';
import { bytesOf } from '../../support/transfer-kit.js';
import { makeZip, memoryReader, type ZipMember } from '../../support/zip.js';

const signal = new AbortController().signal;
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'nimbus-safe-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let count = 0;
async function check(zip: Buffer): Promise<ArchiveReport> {
  const path = join(root, `${count++}.zip`);
  await writeFile(path, zip);
  const file = await open(path);
  try {
    return await checkArchive(file, zip.length, { signal });
  } finally {
    await file.close();
    await rm(path);
  }
}

const files: Record<string, Buffer> = {
  'MTD_MSIL2A.xml': Buffer.from('<a>'.repeat(500)),
  'GRANULE/L2A/IMG_DATA/B02.jp2': bytesOf(200_000),
  'GRANULE/L2A/IMG_DATA/B03.jp2': bytesOf(150_000, 3),
  'HTML/empty.html': Buffer.alloc(0),
};

interface Listed {
  path: string;
  bytes: number;
  name: string;
  digest: string;
}

function listed(algorithm: string, name: string): Listed[] {
  return Object.entries(files).map(([path, bytes]) => ({
    path,
    bytes: bytes.length,
    name,
    digest: createHash(algorithm).update(bytes).digest('hex'),
  }));
}

function manifest(objects: readonly Partial<Listed>[]): Buffer {
  const lines = objects.map(
    ({ path, bytes, name, digest }, at) => `<dataObject ID="o${at}">
      <byteStream mimeType="octet" ${bytes === undefined ? '' : `size="${bytes}"`}>
        <fileLocation locatorType="URL" href="./${path}"/>
        ${name === undefined ? '' : `<checksum checksumName="${name}">${digest}</checksum>`}
      </byteStream></dataObject>`,
  );
  return Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>
    <xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"><!-- made here -->
    <dataObjectSection>${lines.join('')}</dataObjectSection></xfdu:XFDU>`);
}

const PRODUCT = 'S2B_MSIL2A_20240101T000000_N0510_R001_T31TDH_20240101T000000.SAFE';

function product(document: Buffer, changes: Record<string, Buffer | null> = {}): Buffer {
  const all = { 'manifest.safe': document, ...files, ...changes };
  return makeZip(
    Object.entries(all).flatMap(([path, data]): ZipMember[] =>
      data ? [{ name: `${PRODUCT}/${path}`, data, deflate: path.endsWith('.xml') }] : [],
    ),
  );
}

describe('a product whose files are those of its manifest', () => {
  it.each([
    ['md5', 'MD5'],
    ['sha1', 'SHA-1'],
    ['sha256', 'SHA-256'],
    ['sha512', 'SHA512'],
    ['sha3-256', 'SHA3-256'],
  ])('is proven whole by %s', async (algorithm, name) => {
    const report = await check(product(manifest(listed(algorithm, name))));
    expect(report).toMatchObject({ findings: [], manifest: { listed: 4, proven: 4 } });
  });
  it('is proven by upper-case digests and paths without a dot, listed twice', async () => {
    const objects = listed('sha3-256', 'SHA3-256').map((one) => ({
      ...one,
      digest: one.digest.toUpperCase(),
    }));
    const document = manifest([...objects, ...objects])
      .toString()
      .replaceAll('"./', '"');
    const report = await check(product(Buffer.from(document)));
    expect(report).toMatchObject({ findings: [], manifest: { listed: 4, proven: 4 } });
  });
  it('is proven too as Sentinel-3 writes it, and at the root', async () => {
    const document = manifest(listed('md5', 'MD5'));
    for (const folder of ['S3A_OL_2_WFR.SEN3/', ''])
      expect(
        await check(
          makeZip(
            Object.entries({ 'xfdumanifest.xml': document, ...files }).map(([path, data]) => ({
              name: folder + path,
              data,
            })),
          ),
        ),
      ).toMatchObject({ findings: [], manifest: { listed: 4, proven: 4 } });
  });
  it('is not proven where a digest is missing, unknown or of another length', async () => {
    for (const change of [{ name: undefined }, { name: 'CRC-64' }, { digest: 'abc' }]) {
      const [first, ...rest] = listed('md5', 'MD5');
      const report = await check(product(manifest([{ ...first, ...change }, ...rest])));
      expect(report).toMatchObject({ findings: [], manifest: { listed: 4, proven: 3 } });
    }
  });
});

describe('F055 an inner file is damaged and the CRC fits it', () => {
  const document = manifest(listed('sha3-256', 'SHA3-256'));
  it('the digest of the manifest finds it, and its range alone is to be fetched again', async () => {
    const path = 'GRANULE/L2A/IMG_DATA/B03.jp2';
    const altered = Buffer.from(files[path] ?? '');
    altered[70_000] = (altered[70_000] ?? 0) ^ 1;
    const zip = product(document, { [path]: altered });
    const { findings, damaged, manifest: proof } = await check(zip);
    expect(findings).toMatchObject([
      {
        member: `${PRODUCT}/${path}`,
        kind: 'digest',
        message: expect.stringContaining('sha3-256'),
      },
    ]);
    expect(proof).toMatchObject({ listed: 4, proven: 3 });
    const at = zip.indexOf(altered) + 70_000;
    expect(damaged.some(({ start, bytes }) => start <= at && at < start + bytes)).toBe(true);
    expect(damaged.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(152_000);
  });
  it('a file that is not there, or of another length, is found without reading the others', async () => {
    const zip = product(document, {
      'GRANULE/L2A/IMG_DATA/B02.jp2': null,
      'MTD_MSIL2A.xml': Buffer.from('short'),
    });
    for (const report of [await check(zip), await listArchive(memoryReader(zip), { signal })]) {
      expect(report.findings).toMatchObject([
        { member: `${PRODUCT}/MTD_MSIL2A.xml`, kind: 'size' },
        { member: `${PRODUCT}/GRANULE/L2A/IMG_DATA/B02.jp2`, kind: 'missing' },
      ]);
      expect(report.damaged).toEqual([]);
      expect(report.manifest).toMatchObject({ missingBytes: 201_495, listedBytes: 351_500 });
    }
    const reader = memoryReader(product(document));
    await listArchive(reader, { signal });
    expect(reader.reads).toBe(3);
  });
  it('a manifest whose own bytes are damaged is a damaged member, and proves nothing', async () => {
    const zip = product(document);
    const at = zip.indexOf('</xfdu:XFDU>');
    zip[at + 1] = (zip[at + 1] ?? 0) ^ 1;
    const report = await check(zip);
    expect(report.findings).toMatchObject([{ member: `${PRODUCT}/manifest.safe`, kind: 'crc' }]);
    expect(report.manifest).toBeNull();
  });
});

const refusedAs = (message: RegExp) => ({
  code: 'SourceRefused',
  details: { fault: 'unsafe' },
  message: expect.stringMatching(message),
});

describe('F060 manifests that would do harm', () => {
  const laughs = Array.from(
    { length: 10 },
    (_, at) => `<!ENTITY l${at + 1} "${`&l${at};`.repeat(10)}">`,
  );
  it.each<[string, string, RegExp]>([
    [
      'a billion laughs',
      `<!DOCTYPE x [<!ENTITY l0 "lol">${laughs.join('')}]><x>&l10;</x>`,
      /document type/,
    ],
    [
      'an external entity',
      '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
      /document type/,
    ],
    ['an external subset', '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>', /document type/],
    ['a declaration inside an element', '<x><!ENTITY e "e"></x>', /document type/],
    ['elements without an end to their depth', '<x>'.repeat(200_000), /100 deep/],
    [
      'attributes without number',
      `<x ${Array.from({ length: 5000 }, (_, at) => `a${at}=""`).join(' ')}/>`,
      /200 attributes/,
    ],
    ['an endless value', `<x a="${'v'.repeat(100_000)}"/>`, /100000 characters/],
    ['an endless name', `<${'x'.repeat(100_000)}/>`, /100000 characters/],
    ['a path out of the product', manifest([{ path: '../../etc/passwd' }]).toString(), /outside/],
    [
      'an absolute path',
      manifest([{ path: 'x' }])
        .toString()
        .replace('./x', '/etc/x'),
      /outside/,
    ],
  ])('%s is refused, at once', async (_, document, why) => {
    const startMs = performance.now();
    await expect(check(product(Buffer.from(document)))).rejects.toMatchObject(refusedAs(why));
    expect(performance.now() - startMs).toBeLessThan(2_000);
  });
  it('a manifest of 17 MiB is refused unread', async () => {
    const zip = product(manifest([]), {
      'manifest.safe': Buffer.alloc(17 * 1024 * 1024, ' '),
    });
    await expect(check(zip)).rejects.toMatchObject(refusedAs(/bytes have to be read/));
  });
  it('many that are too long together are refused', async () => {
    const long = Buffer.from(`<x>${' '.repeat(6 * 1024 * 1024)}</x>`);
    const members = ['a', 'b', 'c'].map((folder) => ({
      name: `${folder}/manifest.safe`,
      data: long,
      deflate: true,
    }));
    await expect(check(makeZip(members))).rejects.toMatchObject(refusedAs(/bytes have to be read/));
  });
  it('an abort is obeyed while one is read', async () => {
    const stop = new AbortController();
    const document = Buffer.from(`<x>${'<y/>'.repeat(1_000_000)}</x>`);
    let opened = 0;
    const reading = readXml(
      document,
      {
        open() {
          if (++opened === 10_000) stop.abort();
        },
        text: () => undefined,
        close: () => undefined,
      },
      { signal: stop.signal },
    );
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
    expect(opened).toBeLessThan(100_000);
  });
  it.each<[string, Buffer]>([
    ['no XML at all', Buffer.from('this is no XML')],
    ['empty', Buffer.alloc(0)],
    ['cut', manifest(listed('md5', 'MD5')).subarray(0, -5)],
    ['in UTF-16', Buffer.from('\ufeff<x/>', 'utf16le')],
    ['with an unknown entity', Buffer.from('<x>&nbsp;</x>')],
    ['with a bare ampersand', Buffer.from('<x>a & b</x>')],
    ['with two roots', Buffer.from('<x/><y/>')],
    ['with crossed elements', Buffer.from('<x><y></x></y>')],
    ['with an attribute twice', Buffer.from('<x a="1" a="2"/>')],
    ['with an attribute unquoted', Buffer.from('<x a=1/>')],
    ['with a forbidden character', Buffer.from('<x>&#0;</x>')],
  ])('one that is %s proves nothing and harms nothing', async (_, document) => {
    expect(await check(product(document))).toMatchObject({ findings: [], manifest: null });
  });
  it('others get their turn while a long one is read', async () => {
    const document = Buffer.from(`<x>${'<y a="1">text</y>'.repeat(600_000)}</x>`);
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    await readXml(document, {
      open: () => undefined,
      text: () => undefined,
      close: () => undefined,
    });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(10);
  });
});

it('XML comes as elements, attributes and text, with every allowed kind of reference', async () => {
  const seen: unknown[] = [];
  await readXml(
    Buffer.from(`\ufeff<?xml version='1.0'?><!-- < & > --><a:r x='1 &lt; 2'
      y="&quot;é&#x20AC;&#233;">t&amp;u<![CDATA[<raw> & ]]><b/></a:r>\n<?end?>`),
    {
      open: (name, attributes) => seen.push([name, Object.fromEntries(attributes)]),
      text: (text) => seen.push(text),
      close: (name) => seen.push(`/${name}`),
    },
  );
  expect(seen).toEqual([
    ['a:r', { x: '1 < 2', y: '"é€é' }],
    't&u',
    '<raw> & ',
    ['b', {}],
    '/b',
    '/a:r',
  ]);
});

describe.skipIf(!hasShared)('real manifests', () => {
  it.each([
    ['manifests/sentinel-1-grd.manifest.safe', 13, 'md5'],
    ['manifests/sentinel-2-l1c.manifest.safe', 59, 'sha3-256'],
    ['manifests/sentinel-3-olci.xfdumanifest.xml', 32, 'md5'],
    [
      'S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE/manifest.safe',
      0,
      'sha3-256',
    ],
    ['S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE/manifest.safe', 0, 'md5'],
  ])('%s is read whole', async (name, files, algorithm) => {
    const document = readFileSync(sharedPath(`scenes/${name}`));
    const objects = await readSafeManifest(document);
    const total = document.toString().match(/<dataObject /g)?.length;
    expect(objects).toHaveLength(files || (total ?? -1));
    for (const { path, bytes, checksum } of objects) {
      expect(path).toMatch(/^[^./].*[^/]$/);
      expect(bytes).toBeGreaterThan(0);
      expect(checksum?.algorithm).toBe(algorithm);
    }
  });
  it('F055 two files of an incomplete product agree, and the others are told as missing', async () => {
    const report = await check(
      scene('S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE', [
        'manifest.safe',
        'MTD_MSIL1C.xml',
        'GRANULE/L1C_T46RER_A032448_20210908T043714/MTD_TL.xml',
      ]),
    );
    expect(report.manifest?.proven).toBe(2);
    expect(new Set(report.findings.map(({ kind }) => kind))).toEqual(new Set(['missing']));
    expect(report.findings).toHaveLength((report.manifest?.listed ?? 0) - 2);
  });
  it('F055 two files that do not match their manifest are told as such', async () => {
    const folder = 'S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE';
    const report = await check(
      scene(folder, [
        'manifest.safe',
        'MTD_MSIL2A.xml',
        'GRANULE/L2A_T07HFE_A019029_20190212T192646/MTD_TL.xml',
      ]),
    );
    expect(report.manifest?.proven).toBe(0);
    expect(
      report.findings
        .filter(({ kind }) => kind !== 'missing')
        .map(({ member }) => member)
        .sort(),
    ).toEqual([
      `${folder}/GRANULE/L2A_T07HFE_A019029_20190212T192646/MTD_TL.xml`,
      `${folder}/MTD_MSIL2A.xml`,
    ]);
  });
  it('a real zip without a manifest is as good as its CRCs', async () => {
    const zip = readFileSync(
      sharedPath(
        'scenes/sentinel-2-l1c-31TDH/S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911.zip',
      ),
    );
    expect(await check(zip)).toMatchObject({ findings: [], unread: 0, manifest: null, members: 6 });
  });
});

describe('the sandbox serves what the real services do', () => {
  const catalogue = createCatalogue({ seed: 1, products: 400, scale: 0.0002 });
  const store = createContentStore(1);
  it.each(['safe-s2-l2a', 'safe-s2-l1c', 'safe-s1', 'sen3'])(
    'a product of the form %s is proven by its manifest, and a byte changed in it is found',
    async (form) => {
      const product = catalogue.products.find((one) => one.form === form);
      if (!product) throw new Error(`the sandbox has no ${form}`);
      const { source } = await store.open(product);
      const zip = Buffer.alloc(source.sizeBytes);
      source.read(0, zip);
      const sound = await check(zip);
      expect(sound.findings).toEqual([]);
      expect(sound.manifest?.proven).toBe(sound.members - 1);
      const at = Math.floor(zip.length / 2);
      zip[at] = (zip[at] ?? 0) ^ 1;
      const damaged = await check(zip);
      expect(damaged.findings).toMatchObject([{ kind: 'crc' }]);
      expect(damaged.damaged).toHaveLength(1);
    },
  );
});

function scene(folder: string, paths: string[]): Buffer {
  return makeZip(
    paths.map((path) => ({
      name: `${folder}/${path}`,
      data: readFileSync(sharedPath(`scenes/${folder}/${path}`)),
    })),
  );
}
