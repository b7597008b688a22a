/** Single files of a product as stretches of its zip, and of real scenes. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FileRoute } from '../../src/providers/provider.js';
import type { SandboxOptions } from '../../src/sandbox/sandbox.js';
import { locateData, readDirectory } from '../../src/transfer/archive/directory.js';
import type { TransferSource } from '../../src/transfer/transfer.js';
import { cleanups, contentGets, never, setUp, setUpFor } from '../support/files-bench.js';
import { product as makeProduct } from '../support/products.js';
import { hasShared, sharedPath } from '../support/shared.js';
import { memoryReader } from '../support/zip.js';

describe('D18 selected files as stretches of the zip', () => {
  /** Without Nodes; `offset` is where the band begins in the zip. */
  const byZip = async (options: SandboxOptions = {}) => {
    const bench = await setUp(options);
    const { sandbox, product, provider } = bench;
    const { url, headers } = provider.source(product);
    const zip = await fetch(url, { headers: await headers(never) });
    const reader = memoryReader(Buffer.from(await zip.arrayBuffer()));
    const members = await readDirectory(reader);
    const band = members.find(({ name }) => name.endsWith('_B04_10m.jp2'))!;
    const { start } = await locateData(reader, band);
    sandbox.configure({ nodes: false });
    sandbox.resetLedger();
    return { ...bench, offset: start };
  };
  const insideOf = (path: string): string => path.slice(path.indexOf('GRANULE'));

  it('where there are no Nodes, one band comes with directory and manifest and nothing else', async () => {
    const { sandbox, product, fetchThem, trueFile, stored } = await byZip();
    const result = (await fetchThem())!;
    const { bytesByProduct, entries } = sandbox.ledger();
    expect(result.selection!.files).toBe(1);
    const [artifact] = result.artifacts;
    expect(artifact!.path).toMatch(
      new RegExp(`^copernicus/SENTINEL-2/${product.id}/${product.name}/GRANULE/.+_B04_10m\\.jp2$`),
    );
    expect(artifact!.checksum).toMatchObject({ algorithm: 'sha3-256', level: 'manifest' });
    expect(bytesByProduct[product.id]!).toBeLessThan(1.1 * result.bytes + 120_000);
    const zips = entries.filter(({ path }) => path.endsWith(')/$value'));
    expect(zips.length).toBeGreaterThan(2);
    expect(zips.every(({ status, range }) => status === 206 && range !== null)).toBe(true);
    sandbox.configure({ nodes: true });
    const truth = await trueFile(insideOf(artifact!.path));
    expect((await stored(artifact!.path)).equals(truth)).toBe(true);
  });

  it('the manifest itself has the archive’s CRC-32', async () => {
    const { fetchThem } = await byZip();
    const { artifacts } = (await fetchThem({ include: ['manifest.safe'] }))!;
    expect(artifacts[0]!.checksum.level).toBe('structure');
  });

  it('what Nodes fetched is held for it too, and the other way round', async () => {
    const { sandbox, fetchThem } = await byZip();
    await fetchThem({ include: ['*_B04_10m.jp2'] });
    sandbox.configure({ nodes: true });
    sandbox.resetLedger();
    const both = (await fetchThem({ include: ['*_B0[48]_10m.jp2'], run: 'run-2' }))!;
    expect(both.artifacts).toHaveLength(2);
    expect(contentGets(sandbox).filter((path) => path.includes('.jp2'))).toHaveLength(1);
  });

  it('a listing that works and files that do not: the zip is the way out', async () => {
    const { sandbox, fetchThem } = await setUp();
    sandbox.script([
      {
        match: { path: '_B04_10m\\.jp2\\)/\\$value', times: 'always' },
        action: { status: 404, body: { code: 'DAT-ZIP-101', message: 'Resource not found' } },
      },
    ]);
    expect((await fetchThem())!.artifacts[0]!.checksum.level).toBe('manifest');
  });

  it('F051 a flipped bit is found and fetched again', async () => {
    const { sandbox, product, fetchThem, offset, notes, hooks } = await byZip();
    hooks.onNote = () => sandbox.clearFaults();
    const action = { flipByteAt: offset + 1_000 };
    sandbox.script([{ match: { product: product.id, times: 'always' }, action }]);
    const result = (await fetchThem())!;
    expect(result.artifacts[0]!.checksum.level).toBe('manifest');
    expect(notes.some((note) => note.type === 'retried')).toBe(true);
  });

  it('a server that ignores ranges is refused, and nothing is kept', async () => {
    const { failing, publicFiles, sandbox } = await byZip({ ranges: false });
    const error = await failing();
    expect(error).toMatchObject({ code: 'SourceRefused', kind: 'permanent' });
    expect(error.message).toContain('does not serve ranges');
    expect(contentGets(sandbox)).toHaveLength(1);
    expect(await publicFiles()).toEqual([]);
  });
});

describe.skipIf(!hasShared)('D18 on real scenes (skipped without ../shared)', () => {
  /** Serves files below a folder of the scenes, with ranges. */
  async function serveScenes(folder: string) {
    const server = createServer((request, response) => {
      const file = join(sharedPath('scenes'), folder, decodeURIComponent(request.url!));
      void readFile(file).then(
        (bytes) => {
          const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
          if (from === undefined) return response.end(bytes);
          const end = to ? Math.min(bytes.length, Number(to) + 1) : bytes.length;
          const range = `bytes ${from}-${end - 1}/${bytes.length}`;
          return response
            .writeHead(206, { 'content-range': range })
            .end(bytes.subarray(+from, end));
        },
        () => response.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(async () => (server.closeAllConnections(), server.close()));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return (path: string): TransferSource => ({
      key: path,
      url: `http://${host}/${path}`,
      headers: async () => ({}),
      rejected: () => undefined,
      trustedHosts: [host],
      plainHttpHosts: [host],
      expectedBytes: null,
      checksums: [],
      fallbackName: 'product',
      translate: () => null,
    });
  }
  const by = (route: FileRoute) =>
    setUpFor({ id: 'copernicus', fileRoutes: () => [route] }, makeProduct('real'));

  const byListing = async (folder: string) => {
    const source = await serveScenes(folder);
    const all = await readdir(join(sharedPath('scenes'), folder), { recursive: true });
    const paths = all.filter((path) => /\.(xml|safe)$/.test(path));
    return await by({
      kind: 'listing',
      list: async () => paths.map((path) => ({ path, bytes: null })),
      source: ({ path }) => source(path),
    });
  };

  it('files of a real product are what its manifest says', async () => {
    const { fetchThem } = await byListing(
      'S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE',
    );
    const { artifacts } = (await fetchThem({ include: ['MTD_*.xml'] }))!;
    expect(artifacts.map(({ checksum: { algorithm, level } }) => [algorithm, level])).toEqual([
      ['sha3-256', 'manifest'],
      ['sha3-256', 'manifest'],
    ]);
  });

  it('F055 files that were altered after their manifest was written are doubted, and not shown', async () => {
    const { failing, publicFiles } = await byListing(
      'S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE',
    );
    expect(await failing({ include: ['MTD_TL.xml'] })).toMatchObject({ code: 'ChecksumDisputed' });
    expect(await publicFiles()).toEqual([]);
  });

  it('a deflated member of a real zip comes alone, and unpacked', async () => {
    const name = 'S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911.zip';
    const source = await serveScenes('sentinel-2-l1c-31TDH');
    const { fetchThem, stored } = await by({ kind: 'archive', source: source(name) });
    const { artifacts, bytes_fetched } = (await fetchThem({ include: ['MTD_*.xml'] }))!;
    expect(artifacts.map(({ bytes }) => bytes).sort((a, b) => a - b)).toEqual([44_319, 370_717]);
    expect(artifacts.every(({ checksum }) => checksum.level === 'structure')).toBe(true);
    expect(bytes_fetched).toBe(35_669 + 7_747);
    for (const { path, digests } of artifacts) {
      const sha256 = createHash('sha256')
        .update(await stored(path))
        .digest('hex');
      expect(digests).toContainEqual({ algorithm: 'sha256', value: sha256 });
    }
  });
});
