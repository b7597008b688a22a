import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHash } from 'node:crypto';
import { crc32, inflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { ServiceError } from '../../../src/jobs/error-codes.js';
import { openProduct } from '../../../src/providers/product-files.js';
import type { FileRoute, ListedFile } from '../../../src/providers/provider.js';
import type { TransferSource } from '../../../src/transfer/transfer.js';
import { makeZip, type ZipMember } from '../../support/zip.js';

const closers: (() => void)[] = [];
afterEach(() => closers.splice(0).forEach((close) => close()));
const options = { signal: new AbortController().signal, limits: { triesWithoutProgress: 2 } };

/** Serves each path's bytes, with ranges. */
async function serve(files: Record<string, Buffer>) {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url!);
    requests.push(`${path} ${request.headers.range ?? 'whole'}`);
    const bytes = files[path];
    if (!bytes) return void response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (from === undefined) return void response.end(bytes);
    const end = Math.min(bytes.length, Number(to) + 1);
    response.writeHead(206, { 'content-range': `bytes ${from}-${end - 1}/${bytes.length}` });
    response.end(bytes.subarray(Number(from), end));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => (server.closeAllConnections(), server.close()));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const source = (path: string): TransferSource => ({
    key: path,
    url: `http://${host}${encodeURI(path)}`,
    headers: async () => ({}),
    rejected: () => undefined,
    trustedHosts: [host],
    plainHttpHosts: [host],
    expectedBytes: null,
    checksums: [{ algorithm: 'md5', value: 'ab'.repeat(16) }],
    fallbackName: 'X.SAFE.zip',
    translate: () => null,
  });
  return { source, requests };
}

const band = Buffer.from('band '.repeat(3_000));
const digest = createHash('sha3-256').update(band).digest('hex').toUpperCase();

function manifestOf(entries: [path: string, bytes: number, sha3: string][]): Buffer {
  const objects = entries.map(
    ([path, bytes, sha3], at) =>
      `<dataObject ID="f${at}"><byteStream mimeType="x" size="${bytes}"><fileLocation locatorType="URL" href="./${path}"/><checksum checksumName="SHA3-256">${sha3}</checksum></byteStream></dataObject>`,
  );
  return Buffer.from(
    `<?xml version="1.0"?><xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"><dataObjectSection>${objects.join('')}</dataObjectSection></xfdu:XFDU>`,
  );
}

const manifest = manifestOf([
  ['G/B04.jp2', band.length, digest],
  ['empty.xml', 0, createHash('sha3-256').digest('hex')],
]);

async function archive(members: ZipMember[]) {
  const zip = makeZip(members);
  const { source, requests } = await serve({ '/zip': zip });
  const route: FileRoute = { kind: 'archive', source: source('/zip') };
  return { zip, requests, open: () => openProduct(route, options) };
}

const failureOf = (promise: Promise<unknown>): Promise<ServiceError> =>
  promise.then(
    () => Promise.reject(new Error('It did not fail')),
    (error: ServiceError) => error,
  );

describe('D18 files of a remote zip', () => {
  it.each([true, false])('deflated: %s', async (deflate) => {
    const { zip, open, requests } = await archive([
      { name: 'X.SAFE/', data: Buffer.alloc(0) },
      { name: 'X.SAFE/manifest.safe', data: manifest, deflate },
      { name: 'X.SAFE/G/B04.jp2', data: band, deflate },
      { name: 'X.SAFE/empty.xml', data: Buffer.alloc(0) },
    ]);
    const product = (await open())!;
    expect(product.paths).toEqual(['G/B04.jp2', 'empty.xml', 'manifest.safe']);
    const [file, empty] = await product.locate(['G/B04.jp2', 'empty.xml']);
    const { slice, ...source } = file!.source as TransferSource & {
      slice: { start: number; bytes: number };
    };
    const packed = zip.subarray(slice.start, slice.start + slice.bytes);
    expect((deflate ? inflateRawSync(packed) : packed).equals(band)).toBe(true);
    expect(file).toMatchObject({
      storedAs: 'G/B04.jp2',
      bytes: band.length,
      packing: { method: deflate ? 'deflated' : 'stored', bytes: band.length, crc32: crc32(band) },
      checksums: [{ algorithm: 'sha3-256', value: digest.toLowerCase() }],
    });
    // The engine sees what lies in the zip: of a packed member the manifest's digest says nothing.
    expect(source.checksums).toEqual(deflate ? [] : file!.checksums);
    expect(source.expectedBytes).toBe(slice.bytes);
    expect(empty).toMatchObject({ bytes: 0 });
    expect(requests.every((request) => request.includes('bytes='))).toBe(true);
  });

  it('two members have two keys, and none is that of the whole', async () => {
    const { open } = await archive([
      { name: 'a/B04.jp2', data: band },
      { name: 'b/B04.jp2', data: band },
    ]);
    const files = await (await open())!.locate(['a/B04.jp2', 'b/B04.jp2']);
    const keys = files.map(({ source }) => source.key);
    expect(new Set([...keys, '/zip']).size).toBe(3);
    expect(files[0]!.checksums).toEqual([]);
  });

  it.each([
    ['F056 a name that leads out', '../evil.jp2'],
    ['F056 an absolute name', '/etc/evil'],
    ['F056 a backslash', 'a\\..\\evil'],
  ])('%s is refused before anything is fetched', async (_what, name) => {
    const { open } = await archive([
      { name: 'X.SAFE/manifest.safe', data: manifest },
      { name, data: band },
    ]);
    expect(await failureOf(open())).toMatchObject({
      code: 'SourceRefused',
      details: { fault: 'unsafe' },
    });
  });

  it('F058 two names that are one file on some disks are refused', async () => {
    const { open } = await archive([
      { name: 'X.SAFE/B04.jp2', data: band },
      { name: 'X.SAFE/b04.JP2', data: band },
    ]);
    expect((await failureOf(open())).code).toBe('SourceRefused');
  });

  it('F061 what is no zip is refused, by its first bytes', async () => {
    const { source } = await serve({ '/zip': Buffer.from(`<html>${' '.repeat(9_000)}`) });
    const route: FileRoute = { kind: 'archive', source: source('/zip') };
    expect((await failureOf(openProduct(route, options))).message).toContain('not a zip');
  });

  it('F060 a manifest that is an attack is refused, one that is damaged is doubted by its CRC-32', async () => {
    const bomb = Buffer.from(
      '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
    );
    const hostile = await archive([{ name: 'X.SAFE/manifest.safe', data: bomb }]);
    expect(await failureOf(hostile.open())).toMatchObject({ code: 'SourceRefused' });
    for (const packed of [Buffer.from(manifest).fill(65, 9, 10), Buffer.from('no deflate')]) {
      const deflate = packed.length !== manifest.length;
      const damaged = await archive([
        { name: 'X.SAFE/manifest.safe', data: manifest, deflate, packed },
      ]);
      expect((await failureOf(damaged.open())).code).toBe('ChecksumMismatch');
    }
  });

  it('a member packed in another way can be listed and not had', async () => {
    const { open } = await archive([
      { name: 'X/a.bin', data: band, local: { method: 12 }, central: { method: 12 } },
      { name: 'X/b.bin', data: band },
    ]);
    const product = (await open())!;
    expect(product.paths).toEqual(['a.bin', 'b.bin']);
    expect(await product.locate(['b.bin'])).toHaveLength(1);
    expect((await failureOf(product.locate(['a.bin']))).message).toContain('method 12');
  });
});

describe('D18 files that a provider lists', () => {
  async function listing(files: ListedFile[] | null, served: Record<string, Buffer> = {}) {
    const { source } = await serve(served);
    const route: FileRoute = {
      kind: 'listing',
      list: async () => files,
      source: ({ path, bytes }) => ({ ...source(`/${path}`), expectedBytes: bytes, checksums: [] }),
    };
    return () => openProduct(route, options);
  }

  it('get digests from the manifest; nothing that is empty is a file unless it says so', async () => {
    const open = await listing(
      [
        { path: 'manifest.safe', bytes: manifest.length },
        { path: 'G/B04.jp2', bytes: band.length },
        { path: 'AUX_DATA', bytes: null },
        { path: 'empty.xml', bytes: null },
      ],
      { '/manifest.safe': manifest },
    );
    const product = (await open())!;
    expect(product.paths).toEqual(['G/B04.jp2', 'empty.xml', 'manifest.safe']);
    const [file, empty, own] = await product.locate(['G/B04.jp2', 'empty.xml', 'manifest.safe']);
    expect(file).toMatchObject({ bytes: band.length, packing: null });
    expect(file!.source.checksums).toEqual([
      { algorithm: 'sha3-256', value: digest.toLowerCase() },
    ]);
    expect(empty!.bytes).toBe(0);
    expect(own).toMatchObject({ bytes: manifest.length, checksums: [] });
  });

  it('with a length that the manifest contradicts have none: the digest decides', async () => {
    const open = await listing(
      [
        { path: 'manifest.safe', bytes: manifest.length },
        { path: 'G/B04.jp2', bytes: 7 },
        { path: 'empty.xml', bytes: 7 },
      ],
      { '/manifest.safe': manifest },
    );
    const files = await (await open())!.locate(['G/B04.jp2', 'empty.xml']);
    expect(files.map(({ bytes }) => bytes)).toEqual([null, null]);
  });

  it('F056 F058 must not leave the product’s folder, nor fall together; others keep to names that any disk takes', async () => {
    for (const paths of [['../a.jp2'], ['a/../../b.jp2'], ['a\\b'], ['C:x'], ['a.jp2', 'A.jp2']]) {
      const open = await listing(paths.map((path) => ({ path, bytes: 1 })));
      const product = (await open())!;
      expect((await failureOf(product.locate(paths))).code).toBe('SourceRefused');
    }
    const open = await listing(
      ['.hidden/a:b?.xml', 'plain_(1).xml'].map((path) => ({ path, bytes: 1 })),
    );
    const files = await (await open())!.locate(['.hidden/a:b?.xml', 'plain_(1).xml']);
    expect(files.map(({ storedAs }) => storedAs)).toEqual(['hidden/a_b_.xml', 'plain_(1).xml']);
  });

  it('of a product that is one file there are none', async () => {
    expect(await (await listing(null))()).toBeNull();
  });
});
