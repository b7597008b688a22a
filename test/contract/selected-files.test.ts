/** Single files of a product by the provider's own listing: provider, route, engine and store together, against the sandbox. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { getHeldFiles } from '../../src/artifacts/held-files.js';
import { fileKey } from '../../src/jobs/ids.js';
import type { FileRoute } from '../../src/providers/provider.js';
import { contentGets, setUp, setUpFor } from '../support/files-bench.js';
import { product as makeProduct } from '../support/products.js';

/** Where a digit of the band's digest stands in the manifest. */
function digestPlace(manifest: string): number {
  const entry = /_B04_10m\.jp2"[^]*?>([0-9A-F]{64})</.exec(manifest)!;
  return entry.index + entry[0].indexOf(entry[1]!) + /[0-9]/.exec(entry[1]!)!.index;
}

describe('D17 D18 selected files by Nodes', () => {
  it('one band comes with the manifest and nothing else, verified by the manifest’s digest', async () => {
    const { sandbox, product, fetchThem, trueFile, stored, figures } = await setUp();
    const result = (await fetchThem())!;
    const { bytesByProduct } = sandbox.ledger();
    expect(result).toMatchObject({ outcome: 'completed', damaged_before: false });
    expect(result.selection!.files).toBe(1);
    expect(result.selection!.of).toBeGreaterThan(30);
    const [artifact] = result.artifacts;
    expect(artifact!.path).toMatch(
      new RegExp(`^copernicus/SENTINEL-2/${product.id}/${product.name}/GRANULE/.+_B04_10m\\.jp2$`),
    );
    expect(artifact!.checksum).toMatchObject({ algorithm: 'sha3-256', level: 'manifest' });
    expect(artifact!.media_type).toBe('image/jp2');
    expect(contentGets(sandbox).map((path) => path.split('/Nodes').at(-1))).toEqual([
      '(manifest.safe)/$value',
      expect.stringMatching(/_B04_10m\.jp2\)\/\$value$/),
    ]);
    expect(bytesByProduct[product.id]!).toBeLessThan(1.1 * result.bytes + 40_000);
    expect(product.bytes!).toBeGreaterThan(5 * result.bytes);
    const path = artifact!.path.slice(artifact!.path.indexOf('GRANULE'));
    const truth = await trueFile(path);
    expect((await stored(artifact!.path)).equals(truth)).toBe(true);
    expect(artifact!.checksum.value).toBe(createHash('sha3-256').update(truth).digest('hex'));
    expect(figures.at(-1)!.bytesTotal ?? result.bytes).toBe(result.bytes);
  });

  it('include and exclude together, and folders that are empty are no files', async () => {
    const { fetchThem } = await setUp();
    const result = (await fetchThem({ include: ['**/R10m/*'], exclude: ['*_TCI_*', '*_AOT_*'] }))!;
    const names = result.artifacts.map(({ path }) => path.split('_').at(-2)).sort();
    expect(names).toEqual(['B02', 'B03', 'B04', 'B08', 'WVP']);
    const all = (await fetchThem({ include: ['**'] }))!;
    expect(all.selection!.files).toBe(all.selection!.of);
    const levels = new Map(all.artifacts.map(({ path, checksum }) => [path, checksum.level]));
    const unproven = [...levels].filter(([, level]) => level !== 'manifest');
    expect(unproven).toEqual([[expect.stringMatching(/\/manifest\.safe$/), 'length']]);
  });

  it('what is held is reused without a request; other files are added to it', async () => {
    const { sandbox, store, product, fetchThem } = await setUp();
    await fetchThem({ include: ['*_B04_10m.jp2', '*_B08_10m.jp2'] });
    sandbox.resetLedger();
    const same = (await fetchThem({ run: 'run-2' }))!;
    expect(same).toMatchObject({ outcome: 'reused', bytes_fetched: 0, selection: { files: 1 } });
    expect(sandbox.ledger().requests).toBe(0);
    const more = (await fetchThem({ include: ['*_B04_10m.jp2', '*_SCL_20m.jp2'], run: 'run-3' }))!;
    expect(more).toMatchObject({ outcome: 'completed', selection: { files: 2 } });
    expect(more.bytes_fetched).toBeLessThan(more.bytes);
    expect(contentGets(sandbox).filter((path) => path.includes('.jp2'))).toHaveLength(1);
    expect(await store.getHeld('copernicus', product.id)).toBeNull();
    expect((await getHeldFiles(store, product))!.files).toHaveLength(3);
  });

  it('a product that was made anew is not the one that is held', async () => {
    const { store, product, fetchThem } = await setUp();
    await fetchThem();
    const renewed = {
      ...product,
      checksums: [{ algorithm: 'md5' as const, value: '0'.repeat(32) }],
    };
    expect(await getHeldFiles(store, renewed)).toBeNull();
  });

  it('F062 a damaged file is fetched again, a good one beside it is not', async () => {
    const { sandbox, root, fetchThem } = await setUp();
    const first = (await fetchThem({ include: ['*_B04_*', '*_B08_10m.jp2'] }))!;
    const [victim] = first.artifacts;
    await truncate(join(root, victim!.path), victim!.bytes - 1);
    sandbox.resetLedger();
    const again = (await fetchThem({ include: ['*_B04_*', '*_B08_10m.jp2'], run: 'run-2' }))!;
    expect(again).toMatchObject({ outcome: 'completed', damaged_before: true });
    expect(contentGets(sandbox).filter((path) => path.includes('.jp2'))).toHaveLength(1);
    expect((await readFile(join(root, victim!.path))).length).toBe(victim!.bytes);
  });

  it('F082 files that this very download stored before its worker died count as fetched', async () => {
    const { fetchThem, store, product } = await setUp();
    const first = (await fetchThem({ if_exists: 'fail' }))!;
    const path = (await getHeldFiles(store, product))!.files[0]!.path;
    const left = store.partialDirectory(fileKey('copernicus', product.id, path));
    await mkdir(left);
    const again = (await fetchThem({ if_exists: 'fail' }))!;
    expect(again).toEqual(first);
    expect(again.outcome).toBe('completed');
    expect(existsSync(left)).toBe(false);
  });

  it('if_exists: "fail" refuses what is held, "replace" fetches it anew', async () => {
    const { sandbox, fetchThem, failing } = await setUp();
    await fetchThem();
    expect(await failing({ if_exists: 'fail', run: 'run-2' })).toMatchObject({ code: 'Conflict' });
    sandbox.resetLedger();
    expect(await fetchThem({ if_exists: 'replace', run: 'run-3' })).toMatchObject({
      outcome: 'completed',
    });
    expect(contentGets(sandbox)).toHaveLength(2);
  });

  it('no match is an error that shows names of that kind, and says when only case is wrong', async () => {
    const { failing, product } = await setUp();
    const error = await failing({ include: ['*_B99_10m.jp2'] });
    expect(error).toMatchObject({ code: 'InvalidInput', kind: 'permanent' });
    expect(error.message).toContain(product.name);
    expect(error.message).toContain('*_B99_10m.jp2');
    expect(error.message.match(/ T[^ ,/]+\.jp2/g)!.length).toBeGreaterThan(2);
    const inFolders = (await failing({ include: ['IMG_DATA/*.jp2'] })).message;
    expect(inFolders.match(/ GRANULE\/[^ ,]+\.jp2/g)!.length).toBeGreaterThan(2);
    const otherCase = (await failing({ include: ['*_b04_10M.JP2'] })).message;
    expect(otherCase).toMatch(/case differ\. It has T\w+_B04_10m\.jp2, \d+ more$/);
    expect((await failing({ include: ['*_B99[Z-a]_*.jp2'] })).message).not.toMatch(/case differ/);
    expect((await failing({ include: ['*.jp2'], exclude: ['**'] })).message).toMatch(
      /without \*\*/,
    );
  });

  it('so many files that their names would not fit into a history are refused before anything is fetched', async () => {
    const files = Array.from({ length: 251 }, (_, at) => ({ path: `f${at}.xml`, bytes: 1 }));
    const source = (): never => {
      throw new Error('nothing is fetched');
    };
    const route: FileRoute = { kind: 'listing', list: async () => files, source };
    const provider = { id: 'copernicus', fileRoutes: () => [route] };
    const { failing } = await setUpFor(provider, makeProduct('many'));
    const error = await failing({ include: ['*.xml'] });
    expect(error).toMatchObject({ code: 'InvalidInput' });
    expect(error.message).toContain('251 of the 251');
  });

  it('a provider that has whole products only says so', async () => {
    const provider = { id: 'elsewhere', fileRoutes: () => [] };
    const { failing } = await setUpFor(provider, makeProduct('whole'));
    const error = await failing();
    expect(error).toMatchObject({ code: 'InvalidInput' });
    expect(error.message).toContain('elsewhere');
  });

  it('a flipped byte is found and fetched again', async () => {
    const { sandbox, product, fetchThem, notes } = await setUp();
    sandbox.script([
      {
        match: { product: product.id, path: '_B04_10m', times: 1 },
        action: { flipByteAt: 1000 },
      },
    ]);
    const result = (await fetchThem())!;
    expect(result.artifacts[0]!.checksum.level).toBe('manifest');
    expect(notes.some((note) => note.type === 'retried')).toBe(true);
  });

  it('F051 a manifest that came damaged does not condemn the file it speaks of', async () => {
    const { sandbox, product, fetchThem, trueFile, notes } = await setUp();
    const flipByteAt = digestPlace((await trueFile('manifest.safe')).toString());
    sandbox.script([
      { match: { product: product.id, path: 'manifest.safe.*value' }, action: { flipByteAt } },
    ]);
    const { artifacts } = (await fetchThem())!;
    expect(artifacts[0]!.checksum.level).toBe('manifest');
    expect(notes.some((note) => note.type === 'retried')).toBe(true);
  });

  it('F052 a manifest that is wrong itself ends in doubt, after two equal copies', async () => {
    const { sandbox, product, failing, trueFile, publicFiles } = await setUp();
    const flipByteAt = digestPlace((await trueFile('manifest.safe')).toString());
    const path = 'manifest.safe.*value';
    sandbox.script([
      { match: { product: product.id, path, times: 'always' }, action: { flipByteAt } },
    ]);
    expect(await failing()).toMatchObject({ code: 'ChecksumDisputed' });
    expect(await publicFiles()).toEqual([]);
  });

  it('F034 the token that has expired is renewed on the way to a file', async () => {
    const { sandbox, fetchThem } = await setUp();
    sandbox.script([
      {
        match: { path: 'manifest.safe\\)/\\$value' },
        action: { status: 401, body: { code: 'DAT-ZIP-109', message: 'Token is expired' } },
      },
    ]);
    expect((await fetchThem())!.selection!.files).toBe(1);
    const { logins, refreshes } = sandbox.ledger();
    expect(logins + refreshes).toBe(2);
  });

  it('Sentinel-1 and Sentinel-3 have MD5 in their manifests', async () => {
    for (const [filter, include] of [
      ["contains(Name,'_GRDH_')", ['measurement/*vv*.tiff']],
      ["contains(Name,'S3') and contains(Name,'SEN3')", ['Oa0[12]_*.nc']],
    ] as const) {
      const { fetchThem } = await setUp({ scale: 0.0005 }, filter);
      const { artifacts } = (await fetchThem({ include: [...include] }))!;
      expect(artifacts.length).toBeGreaterThan(0);
      for (const { checksum } of artifacts)
        expect(checksum).toMatchObject({ algorithm: 'md5', level: 'manifest' });
    }
  });

  it('a product that is one file is fetched as a whole when it is selected, and refused when not', async () => {
    const { fetchThem, failing } = await setUp({}, "endswith(Name,'.EOF')");
    expect(await fetchThem({ include: ['*.EOF'] })).toBeNull();
    expect((await failing()).message).toContain('.EOF');
  });
});
