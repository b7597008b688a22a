import { describe, expect, it } from 'vitest';
import { buildManifest, fromMultihash, toMultihash } from '../../../src/jobs/manifest.js';
import { checksumAlgorithms, type Artifact } from '../../../src/jobs/product.js';
import { jobHeader, product } from '../../support/products.js';

const digestBytes = { md5: 16, sha1: 20, sha256: 32, sha512: 64, 'sha3-256': 32, blake3: 32 };

describe('a multihash', () => {
  it.each(checksumAlgorithms)('of %s reads back as what it was', (algorithm) => {
    const checksum = { algorithm, value: 'ab'.repeat(digestBytes[algorithm]) };
    expect(fromMultihash(toMultihash(checksum))).toEqual(checksum);
  });

  it('of another length or algorithm is refused', () => {
    expect(fromMultihash('d50110abcd')).toBeNull();
    expect(fromMultihash(`9999${'ab'.repeat(16)}`)).toBeNull();
  });
});

describe('a manifest', () => {
  const artifact: Artifact = {
    path: 'copernicus/SENTINEL-2/a/a.SAFE.zip',
    bytes: 7,
    checksum: { algorithm: 'md5', value: 'ab'.repeat(16), level: 'provider' },
    digests: [{ algorithm: 'md5', value: 'ab'.repeat(16) }],
    media_type: 'application/zip',
  };

  it('is a STAC ItemCollection whose hrefs are relative to it', () => {
    const footprint = {
      type: 'Polygon' as const,
      coordinates: [
        [
          [1, 2],
          [3, 2],
          [3, 5],
          [1, 2],
        ],
      ],
    };
    const entry = { product: product('a', { footprint }), artifacts: [artifact], reused: false };
    const manifest = buildManifest(jobHeader('j'), 'jobs/j', [entry]);
    expect(manifest.type).toBe('FeatureCollection');
    expect(manifest.features[0]).toMatchObject({
      id: 'a',
      bbox: [1, 2, 3, 5],
      collection: 'SENTINEL-2',
    });
    expect(manifest.features[0]!.assets['a.SAFE.zip']).toMatchObject({
      href: '../../copernicus/SENTINEL-2/a/a.SAFE.zip',
      'file:size': 7,
      'file:checksum': `d50110${'ab'.repeat(16)}`,
      'nimbus:level': 'provider',
    });
  });

  it('D17 marks a partial product, with the patterns, and says where each file lies inside it', () => {
    const assets = { include: ['*.xml', '*_B04_10m.jp2'], exclude: ['*_B08_*'] };
    const folder = 'copernicus/SENTINEL-2/a/a.SAFE';
    const at = (path: string): Artifact => ({ ...artifact, path: `${folder}/${path}` });
    const artifacts = [
      at('GRANULE/G/IMG_DATA/R10m/T_B04_10m.jp2'),
      at('DATASTRIP/D/QI_DATA/REPORT.xml'),
      at('GRANULE/G/QI_DATA/REPORT.xml'),
    ];
    const entry = { product: product('a'), artifacts, reused: false };
    const build = (files: number, of: number) =>
      buildManifest(jobHeader('j', { assets }), 'jobs/j', [{ ...entry, selection: { files, of } }])
        .features[0]!;
    const item = build(3, 90);
    expect(item.properties).toMatchObject({
      'nimbus:partial': true,
      'nimbus:assets': { ...assets, files: 3, of: 90 },
    });
    expect(Object.keys(item.assets)).toEqual([
      'T_B04_10m.jp2',
      'a.SAFE/DATASTRIP/D/QI_DATA/REPORT.xml',
      'a.SAFE/GRANULE/G/QI_DATA/REPORT.xml',
    ]);
    expect(item.assets['T_B04_10m.jp2']).toMatchObject({
      href: `../../${folder}/GRANULE/G/IMG_DATA/R10m/T_B04_10m.jp2`,
      'file:local_path': 'a.SAFE/GRANULE/G/IMG_DATA/R10m/T_B04_10m.jp2',
    });
    expect(build(3, 3).properties).toMatchObject({ 'nimbus:partial': false });
    const whole = buildManifest(jobHeader('j'), 'jobs/j', [entry]).features[0]!;
    expect(whole.properties).not.toHaveProperty('nimbus:partial');
    expect(whole.assets['T_B04_10m.jp2']).not.toHaveProperty('file:local_path');
  });

  it('F063 is the same text when it is written again', () => {
    const entry = { product: product('a'), artifacts: [artifact], reused: true };
    const write = () => JSON.stringify(buildManifest(jobHeader('j'), 'jobs/j', [entry]));
    expect(write()).toBe(write());
  });
});
