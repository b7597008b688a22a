import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync, crc32 } from 'node:zlib';
import { blake3 } from '@napi-rs/blake-hash';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { createCatalogue } from '../../../src/sandbox/catalogue/catalogue.js';
import type { CatalogueProduct } from '../../../src/sandbox/catalogue/product.js';
import {
  createPool,
  patternSource,
  type ByteSource,
} from '../../../src/sandbox/content/byte-source.js';
import { createContentStore } from '../../../src/sandbox/content/content-store.js';
import { zipSource } from '../../../src/sandbox/content/zip.js';

const scratch = mkdtempSync(join(tmpdir(), 'nimbus-sandbox-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const catalogue = createCatalogue({ seed: 1, products: 400, scale: 0.0002 });
const store = createContentStore(1);
const pool = createPool(1);

function bytesOf(source: ByteSource, start = 0, end = source.sizeBytes): Buffer {
  const bytes = Buffer.alloc(end - start);
  source.read(start, bytes);
  return bytes;
}

function oneOf(form: CatalogueProduct['form']): CatalogueProduct {
  return catalogue.products.find((product) => product.form === form)!;
}

/** Members of a zip by name, read through its central directory; throws where structure or CRC is wrong. */
function readZip(bytes: Buffer): Map<string, Buffer> {
  const end = bytes.length - 22;
  expect(bytes.readUInt32LE(end)).toBe(0x06054b50);
  const members = new Map<string, Buffer>();
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left -= 1) {
    expect(bytes.readUInt32LE(at)).toBe(0x02014b50);
    const size = bytes.readUInt32LE(at + 20);
    const name = bytes.toString('utf8', at + 46, at + 46 + bytes.readUInt16LE(at + 28));
    const local = bytes.readUInt32LE(at + 42);
    expect(bytes.readUInt32LE(local)).toBe(0x04034b50);
    const from = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const content = bytes.subarray(from, from + size);
    expect(crc32(content)).toBe(bytes.readUInt32LE(at + 16));
    expect(bytes.readUInt32LE(local + 14)).toBe(bytes.readUInt32LE(at + 16));
    members.set(name, content);
    at += 46 + bytes.readUInt16LE(at + 28) + bytes.readUInt16LE(at + 30);
  }
  expect(at).toBe(end);
  return members;
}

describe('content by offset', () => {
  it('reads the same bytes whole and in any pieces', () => {
    const source = patternSource(pool, 42, 100_000, Buffer.from('signature'));
    const whole = bytesOf(source);
    expect(whole.toString('latin1', 0, 9)).toBe('signature');
    fc.assert(
      fc.property(fc.nat(100_000), fc.nat(100_000), (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        expect(bytesOf(source, start, end).equals(whole.subarray(start, end))).toBe(true);
      }),
    );
  });

  it('reads any stretch of a whole product', async () => {
    for (const form of ['safe-s2-l2a', 'eof'] as const) {
      const { source } = await store.open(oneOf(form));
      const whole = bytesOf(source);
      fc.assert(
        fc.property(fc.nat(source.sizeBytes), fc.nat(20_000), (start, length) => {
          const end = Math.min(source.sizeBytes, start + length);
          expect(bytesOf(source, start, end).equals(whole.subarray(start, end))).toBe(true);
        }),
        { numRuns: 50 },
      );
    }
  });

  it('has no two equal pages in one file, and other bytes in other products', () => {
    const pages = new Set<string>();
    const source = patternSource(pool, 7, 8 * 1024 * 1024);
    for (let at = 0; at < source.sizeBytes; at += 8192)
      pages.add(
        createHash('md5')
          .update(bytesOf(source, at, at + 8192))
          .digest('hex'),
      );
    expect(pages.size).toBeGreaterThan(1000);
    expect(bytesOf(patternSource(pool, 8, 8192)).equals(bytesOf(source, 0, 8192))).toBe(false);
  });
});

describe('delivered products', () => {
  it.each(['safe-s2-l2a', 'safe-s2-l1c', 'safe-s1', 'sen3'] as const)(
    '%s is a sound zip whose manifest tells every file by size and digest',
    async (form) => {
      const product = oneOf(form);
      const { source, fileName } = await store.open(product);
      expect(fileName).toBe(`${product.name}.zip`);
      const members = readZip(bytesOf(source));
      const manifestName = form === 'sen3' ? 'xfdumanifest.xml' : 'manifest.safe';
      const manifest = members.get(`${product.name}/${manifestName}`)!.toString();
      const listed = [
        ...manifest.matchAll(
          /size="(\d+)">\s*<fileLocation locatorType="URL" href="\.\/([^"]+)"\/>\s*<checksum checksumName="([^"]+)">([^<]+)</g,
        ),
      ];
      expect(listed).toHaveLength(members.size - 1);
      for (const [, size, path, name, digest] of listed) {
        const content = members.get(`${product.name}/${path!}`)!;
        expect(content.length).toBe(Number(size));
        const expected = createHash(name!).update(content).digest('hex');
        expect(digest).toBe(name === 'MD5' ? expected : expected.toUpperCase());
      }
    },
  );

  it('has the size and digests that the catalogue lists', async () => {
    for (const form of [
      'safe-s2-l2a',
      'safe-s1',
      'safe-aux',
      'eof',
      'tgz',
      'netcdf',
      'sen3',
    ] as const) {
      const product = oneOf(form);
      const bytes = bytesOf((await store.open(product)).source);
      expect(bytes.length).toBe(store.sizeBytes(product));
      expect(await store.digests(product)).toEqual({
        md5: createHash('md5').update(bytes).digest('hex'),
        blake3: Buffer.from(blake3(bytes)).toString('hex'),
      });
      expect(await store.sha256(product)).toBe(createHash('sha256').update(bytes).digest('hex'));
    }
  });

  it('makes single files of the kind their names promise', async () => {
    const orbit = bytesOf((await store.open(oneOf('eof'))).source).toString();
    expect(orbit).toMatch(/^<\?xml [\s\S]+<\/Earth_Explorer_File>\n$/);
    expect(orbit.split('<OSV>').length - 1).toBe(Number(/count="(\d+)"/.exec(orbit)![1]));
    const tar = gunzipSync(bytesOf((await store.open(oneOf('tgz'))).source));
    expect(tar.toString('latin1', 257, 262)).toBe('ustar');
    const netcdf = bytesOf((await store.open(oneOf('netcdf'))).source, 0, 8);
    expect(netcdf.toString('hex')).toBe('894844460d0a1a0a');
  });

  it('serves other content of the same size as another version', async () => {
    const product = oneOf('safe-s2-l1c');
    const [first, other] = [await store.open(product), await store.open(product, 'v2')];
    expect(await store.digests(product, 'v2')).not.toEqual(await store.digests(product));
    expect(bytesOf(first.source).equals(bytesOf(other.source))).toBe(false);
    readZip(bytesOf(other.source));
  });

  it('serves the bytes of a real file, unpacked where only the file is gzipped', async () => {
    const text = Buffer.from('<?xml version="1.0"?>\n'.repeat(1000));
    writeFileSync(join(scratch, 'plain.EOF'), text);
    writeFileSync(join(scratch, 'packed.EOF.gz'), gzipSync(text));
    for (const path of ['plain.EOF', 'packed.EOF.gz']) {
      const product = { Id: 'a8cf209a-7b3b-494b-adbd-b7501038a621', Name: 'plain.EOF' };
      const realFiles = [{ product, path: join(scratch, path) }];
      const { products } = createCatalogue({ seed: 1, products: 0, scale: 1, realFiles });
      const { source } = await createContentStore(1).open(products[0]!);
      expect(bytesOf(source).equals(text)).toBe(true);
      expect(bytesOf(source, 100, 300).equals(text.subarray(100, 300))).toBe(true);
    }
  });
});

describe('large zips', () => {
  it('describes members and offsets beyond 4 GiB by zip64', () => {
    const huge = patternSource(pool, 1, 5 * 1024 ** 3);
    const small = patternSource(pool, 2, 10);
    const zip = zipSource(
      [
        { path: 'a/huge', source: huge, crc: 1 },
        { path: 'a/small', source: small, crc: 2 },
      ],
      Date.UTC(2025, 0, 1),
    );
    const tail = bytesOf(zip, zip.sizeBytes - 400);
    const end = tail.length - 22;
    expect(tail.readUInt32LE(end + 16)).toBe(0xffff_ffff);
    expect(tail.readUInt32LE(end - 20)).toBe(0x07064b50);
    const end64 = Number(tail.readBigUInt64LE(end - 20 + 8)) - (zip.sizeBytes - 400);
    expect(tail.readUInt32LE(end64)).toBe(0x06064b50);
    const directory = Number(tail.readBigUInt64LE(end64 + 48)) - (zip.sizeBytes - 400);
    expect(tail.readUInt32LE(directory)).toBe(0x02014b50);
    expect(tail.readUInt32LE(directory + 20)).toBe(0xffff_ffff);
    const extra = directory + 46 + 'a/huge'.length;
    expect(Number(tail.readBigUInt64LE(extra + 4))).toBe(huge.sizeBytes);
    const second = extra + tail.readUInt16LE(directory + 30);
    const farOffset = Number(tail.readBigUInt64LE(second + 46 + 'a/small'.length + 4));
    expect(bytesOf(zip, farOffset, farOffset + 4).readUInt32LE()).toBe(0x04034b50);
  });
});
