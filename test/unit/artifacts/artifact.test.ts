import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { artifactAt, toArtifact } from '../../../src/artifacts/artifact.js';
import { safeSegments } from '../../../src/artifacts/safe-path.js';
import { artifactSchema } from '../../../src/jobs/product.js';
import type { TransferResult } from '../../../src/transfer/transfer.js';

const md5 = { algorithm: 'md5' as const, value: '900150983cd24fb0d6963f7d28e17f72' };
const blake3 = { algorithm: 'blake3' as const, value: '6437b3ac38465133ffb63b75273a8db5' };
const transfer: TransferResult = {
  path: '/data/.partial/1/verified',
  bytes: 3,
  checksum: { ...md5, level: 'provider' },
  digests: [md5, blake3],
  fileName: 'S2A_MSIL2A.SAFE.zip',
  mediaType: 'application/zip',
  bytesFetched: 5,
  resumedFrom: 2,
};

describe('an artifact', () => {
  it('remembers what was proven of a transfer, and nothing of how it went', () => {
    const artifact = artifactAt('a/b.zip', transfer);
    expect(artifact).toEqual({
      path: 'a/b.zip',
      bytes: 3,
      checksum: { ...md5, level: 'provider' },
      digests: [md5, blake3],
      media_type: 'application/zip',
    });
    expect(artifactSchema.parse(artifact)).toEqual(artifact);
  });

  it('lies in its folders under its own name', () => {
    const { path } = toArtifact(transfer, ['copernicus', 'SENTINEL-2', 'a1-b2'], 'file.zip');
    expect(path).toBe('copernicus/SENTINEL-2/a1-b2/file.zip');
  });

  it.each([
    ['COP-DEM_GLO-30-DGED/2023_1', 'COP-DEM_GLO-30-DGED-2023_1'],
    ['a b', 'a-b'],
    ['π', '-'],
    ['..', '-'],
    ['.', '-'],
    ['...hidden', '-hidden'],
    ['.nimbus', '-nimbus'],
    ['', '-'],
    ['a\\b:c*d?"e<f>g|h', 'a-b-c-d--e-f-g-h'],
    ['line\nbreak\0', 'line-break-'],
    ['x'.repeat(500), 'x'.repeat(120)],
  ])('F119 a folder named %j becomes %j', (folder, expected) => {
    expect(toArtifact(transfer, [folder], 'f').path).toBe(`${expected}/f`);
  });

  it('F119 lies at a place that every store takes, whatever a provider calls its products', () => {
    const name = fc.oneof(fc.string(), fc.string({ unit: 'binary', maxLength: 300 }));
    fc.assert(
      fc.property(fc.array(name, { maxLength: 4 }), (folders) => {
        const { path } = toArtifact(transfer, folders, 'file.zip');
        expect(safeSegments(path)).toHaveLength(folders.length + 1);
      }),
    );
  });

  it('of one product is one, whenever it is asked for', () => {
    const place = () => toArtifact(transfer, ['a b/..', 'ü'], 'f').path;
    expect(place()).toBe(place());
  });
});
