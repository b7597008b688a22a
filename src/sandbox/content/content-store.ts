/**
 * From a catalogue product to the bytes that are delivered for it. Sizes are known from the layout alone; digests are
 * computed when first asked for and kept (a listing computes only those of the products it shows).
 * Invariant: the MD5 and BLAKE3 shown are those of the file that `open` serves.
 */
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { CatalogueProduct } from '../catalogue/product.js';
import { hash32, mix32, sixDecimals } from '../catalogue/rule.js';
import {
  bufferSource,
  createPool,
  patternSource,
  recordSource,
  type ByteSource,
} from './byte-source.js';
import { catalogueDigests, memberDigest, sha256Of } from './hashing.js';
import { manifestText, productFolder, type ProductFolder } from './members.js';
import { zipSource } from './zip.js';

export interface DeliveredFile {
  /** As in Content-Disposition. */
  fileName: string;
  source: ByteSource;
  /** Files inside, by path relative to the product's folder; null = the product is one file. */
  members: Map<string, ByteSource> | null;
}

export interface Digests {
  md5: string;
  blake3: string;
}

export interface ContentStore {
  /** Bytes of the delivered file; computes no digest. */
  sizeBytes(product: CatalogueProduct): number;
  /** @param version '' is what the catalogue describes; any other text is other content of the same size */
  open(product: CatalogueProduct, version?: string): Promise<DeliveredFile>;
  digests(product: CatalogueProduct, version?: string): Promise<Digests>;
  sha256(product: CatalogueProduct): Promise<string>;
}

/** Opened files kept at once: their members' digests need not be computed again. */
const keptFiles = 128;

export function createContentStore(seed: number): ContentStore {
  const pool = createPool(seed);
  const sizes = new Map<string, number>();
  const opened = new Map<string, Promise<DeliveredFile>>();
  const hashed = new Map<string, Promise<Digests>>();
  const sha256s = new Map<string, Promise<string>>();

  const open = (product: CatalogueProduct, version = ''): Promise<DeliveredFile> => {
    const key = `${product.id}${version}`;
    const known = opened.get(key) ?? build(product, pool, version);
    opened.delete(key);
    opened.set(key, known);
    if (opened.size > keptFiles) opened.delete(opened.keys().next().value!);
    return known;
  };

  return {
    open,
    sizeBytes(product) {
      const known = sizes.get(product.id) ?? layoutSize(product, pool);
      sizes.set(product.id, known);
      return known;
    },
    digests: (product, version = '') =>
      once(hashed, `${product.id}${version}`, async () =>
        catalogueDigests((await open(product, version)).source),
      ),
    sha256: (product) =>
      once(sha256s, product.id, async () => sha256Of((await open(product)).source)),
  };
}

function once<T>(kept: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const known = kept.get(key) ?? make();
  kept.set(key, known);
  return known;
}

async function build(
  product: CatalogueProduct,
  pool: Buffer,
  version: string,
): Promise<DeliveredFile> {
  const single = singleFile(product, pool, version);
  if (single) return { fileName: product.name, source: single, members: null };
  const folder = productFolder(product, pool, version);
  const found = [];
  for (const member of folder.members) found.push(await memberDigest(member.source, folder.digest));
  const manifest = manifestText(
    product,
    folder,
    found.map(({ digest }) => digest),
  );
  const manifestSource = bufferSource(Buffer.from(manifest));
  const { crc } = await memberDigest(manifestSource, 'md5');
  const source = zipOf(product, folder, manifestSource, [crc, ...found.map((one) => one.crc)]);
  const members = new Map([
    [folder.manifestName, manifestSource],
    ...folder.members.map((member) => [member.path, member.source] as const),
  ]);
  return { fileName: `${product.name}.zip`, source, members };
}

function layoutSize(product: CatalogueProduct, pool: Buffer): number {
  const single = singleFile(product, pool, '');
  if (single) return single.sizeBytes;
  const folder = productFolder(product, pool, '');
  const blank = Buffer.alloc(folder.digest === 'md5' ? 16 : 32);
  const manifest = manifestText(
    product,
    folder,
    folder.members.map(() => blank),
  );
  const none = [0, ...folder.members.map(() => 0)];
  return zipOf(product, folder, bufferSource(Buffer.from(manifest)), none).sizeBytes;
}

function zipOf(
  product: CatalogueProduct,
  folder: ProductFolder,
  manifest: ByteSource,
  crcs: readonly number[],
): ByteSource {
  const files = [{ path: folder.manifestName as string, source: manifest }, ...folder.members];
  return zipSource(
    files.map(({ path, source }, at) => ({
      path: `${product.name}/${path}`,
      source,
      crc: crcs[at]!,
    })),
    product.publicationMs,
  );
}

/** Products that are one file: orbit files, GNSS records, netCDF, and files from disk. Null for zips. */
function singleFile(product: CatalogueProduct, pool: Buffer, version: string): ByteSource | null {
  const key = hash32(`${product.id}${version}`);
  if (product.real) return fileSource(product.real.path, product.name);
  if (product.form === 'eof') return orbitFile(product, key);
  if (product.form === 'tgz') return bufferSource(archive(product, pool, key));
  if (product.form !== 'netcdf') return null;
  const head = Buffer.from('894844460d0a1a0a', 'hex');
  return patternSource(pool, key, Math.max(4096, Math.round(product.aboutBytes)), head);
}

function fileSource(path: string, name: string): ByteSource {
  if (path.endsWith('.gz') && !name.endsWith('.gz'))
    return bufferSource(gunzipSync(readFileSync(path)));
  return {
    sizeBytes: statSync(path).size,
    read(offset, into) {
      const file = openSync(path, 'r');
      try {
        for (let done = 0; done < into.length;)
          done += readSync(file, into, done, into.length - done, offset + done);
      } finally {
        closeSync(file);
      }
    },
  };
}

/** An orbit file: XML with one state vector every ten seconds, each of the same length. */
function orbitFile(product: CatalogueProduct, key: number): ByteSource {
  const number = (at: number, axis: number, digits: number): string => {
    const value = (mix32(key ^ (at * 7 + axis)) / 0xffff_ffff - 0.5) * 2 * 10 ** digits;
    return `${value < 0 ? '-' : '+'}${Math.abs(value)
      .toFixed(6)
      .padStart(digits + 7, '0')}`;
  };
  const vector = (at: number): string => {
    const utc = sixDecimals(product.startMs + at * 10_000).slice(0, 26);
    const axes = ['X', 'Y', 'Z'].map(
      (name, axis) => `<${name} unit="m">${number(at, axis, 7)}</${name}>`,
    );
    const speeds = ['VX', 'VY', 'VZ'].map(
      (name, axis) => `<${name} unit="m/s">${number(at, axis + 3, 4)}</${name}>`,
    );
    return `      <OSV><UTC>UTC=${utc}</UTC>${axes.join('')}${speeds.join('')}<Quality>NOMINAL</Quality></OSV>\n`;
  };
  const count = Math.max(3, Math.round(product.aboutBytes / 330));
  const head = `<?xml version="1.0" ?>\n<Earth_Explorer_File>\n  <Earth_Explorer_Header><Fixed_Header><File_Name>${product.name.slice(0, -4)}</File_Name></Fixed_Header></Earth_Explorer_Header>\n  <Data_Block type="xml">\n    <List_of_OSVs count="${count}">\n`;
  return recordSource(
    head,
    vector,
    count,
    '    </List_of_OSVs>\n  </Data_Block>\n</Earth_Explorer_File>\n',
  );
}

/** A gzipped tar of one file, stored without compression so that every zlib makes the same bytes. */
function archive(product: CatalogueProduct, pool: Buffer, key: number): Buffer {
  const body = Buffer.alloc(
    Math.max(512, Math.ceil(Math.min(product.aboutBytes, 4e6) / 512) * 512),
  );
  patternSource(pool, key, body.length).read(0, body);
  const header = Buffer.alloc(512);
  header.write(`${product.name}.rnx`.slice(0, 99), 0);
  header.write('0000644\0' + '0000000\0' + '0000000\0', 100);
  header.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write(
    `${Math.floor(product.startMs / 1000)
      .toString(8)
      .padStart(11, '0')}\0`,
    136,
  );
  header.write('        0', 148);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return gzipSync(Buffer.concat([header, body, Buffer.alloc(1024)]), { level: 0 });
}
