import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LISTING_LIMITS, listNodes } from '../../../src/providers/copernicus/node-listing.js';
import { nodeUrl } from '../../../src/providers/copernicus/odata-query.js';
import { product as makeProduct } from '../../support/products.js';
import { hasShared, sharedPath } from '../../support/shared.js';
import { createFakeHttp, createTestClock, never, type FakeAnswer } from './doubles.js';

const product = makeProduct('f10d7b5f-5b70-437d-a23b-187fcfa8760a', { name: 'X.SAFE' });
const node = (Name: string, ContentLength = 0, ChildrenNumber = 0) => ({
  Id: Name,
  Name,
  ContentLength,
  ChildrenNumber,
  Nodes: { uri: 'https://elsewhere.example/Nodes' },
});
type Tree = Record<string, ReturnType<typeof node>[]>;

/** `tree` by folder; '' is the list of the product itself. */
function lister(answer: (folder: string) => FakeAnswer) {
  const asked: string[] = [];
  const http = createFakeHttp(({ url }) => {
    asked.push(url);
    const names = [...url.matchAll(/Nodes\(([^)]*)\)/g)].map(([, name]) =>
      decodeURIComponent(name!),
    );
    return answer(names.join('/'));
  });
  const settings = { downloadUrl: 'https://download.example', http, clock: createTestClock() };
  return { asked, list: () => listNodes(product, settings, never) };
}
const ofTree = (tree: Tree) =>
  lister((folder) => ({ status: 200, body: { result: tree[folder] ?? [] } }));

describe('D18 the files of a product by Nodes', () => {
  it('are listed folder by folder, at the download host whatever an answer says', async () => {
    const { list, asked } = ofTree({
      '': [node('X.SAFE', 0, 3)],
      'X.SAFE': [node('GRANULE', 0, 1), node('manifest.safe', 70), node('AUX_DATA')],
      'X.SAFE/GRANULE': [node('G (1)', 0, 2)],
      'X.SAFE/GRANULE/G (1)': [node('B08.jp2', 8), node('B04.jp2', 4)],
    });
    expect(await list()).toEqual({
      folder: 'X.SAFE',
      files: [
        { path: 'AUX_DATA', bytes: null },
        { path: 'GRANULE/G (1)/B04.jp2', bytes: 4 },
        { path: 'GRANULE/G (1)/B08.jp2', bytes: 8 },
        { path: 'manifest.safe', bytes: 70 },
      ],
    });
    expect(asked).toHaveLength(4);
    expect(asked.every((url) => url.startsWith('https://download.example/odata/v1/'))).toBe(true);
  });

  it('have addresses in which names stand bare and cannot end their parenthesis', () => {
    expect(nodeUrl('https://d', 'id', ['X.SAFE', "a)/$value?(b'"], '$value')).toBe(
      'https://d/odata/v1/Products(id)/Nodes(X.SAFE)/Nodes(a%29%2F%24value%3F%28b%27)/$value',
    );
  });

  it('of a product that is one file are none', async () => {
    expect(await ofTree({ '': [node('X.EOF', 4_409_493)] }).list()).toBeNull();
  });

  it.each<[string, Tree]>([
    ['nothing at all', { '': [] }],
    ['two products', { '': [node('X.SAFE', 0, 1), node('Y.SAFE', 0, 1)] }],
    ['a name twice', { '': [node('X.SAFE', 0, 2)], 'X.SAFE': [node('a', 1), node('a', 2)] }],
    ['a name with a slash', { '': [node('X.SAFE', 0, 1)], 'X.SAFE': [node('../a', 1)] }],
  ])('are refused where an answer lists %s', async (_what, tree) => {
    await expect(ofTree(tree).list()).rejects.toMatchObject({ code: 'SourceRefused' });
  });

  it('are refused where folders or files have no end', async () => {
    const deep = lister(() => ({ status: 200, body: { result: [node('deeper', 0, 1)] } }));
    await expect(deep.list()).rejects.toMatchObject({ code: 'SourceRefused' });
    expect(deep.asked.length).toBeLessThan(LISTING_LIMITS.folders);
    const many = Array.from({ length: LISTING_LIMITS.files + 1 }, (_, at) => node(`f${at}`, 1));
    const wide = ofTree({ '': [node('X.SAFE', 0, 1)], 'X.SAFE': many });
    await expect(wide.list()).rejects.toMatchObject({ code: 'SourceRefused' });
  });

  it.each([
    [404, { code: 'DAT-ZIP-101', message: 'gone' }, 'SourceGone'],
    [429, { code: 'DAT-ZIP-100', message: 'Max session number exceeded' }, 'SourceThrottled'],
    [401, { code: 'DAT-ZIP-604', message: 'Token not found' }, 'SourceDenied'],
    [500, '<html>', 'SourceUnavailable'],
    [302, '', 'SourceRefused'],
    [200, { value: [] }, 'SourceUnavailable'],
  ])('an answer of %i is told as what it means', async (status, body, code) => {
    await expect(lister(() => ({ status, body })).list()).rejects.toMatchObject({ code });
  });

  const recording = sharedPath('providers/recordings/copernicus/download/nodes-root.json');
  it.skipIf(!hasShared)(
    'begin as the real service answers (skipped without ../shared)',
    async () => {
      const root: unknown = JSON.parse(readFileSync(recording, 'utf8'));
      const { list } = lister((folder) => ({
        status: 200,
        body: folder === '' ? root : { result: [node('manifest.safe', 70)] },
      }));
      const name = 'S2A_MSIL1C_20180927T051221_N0206_R033_T42FXL_20180927T073143.SAFE';
      expect(await list()).toEqual({
        folder: name,
        files: [{ path: 'manifest.safe', bytes: 70 }],
      });
    },
  );
});
