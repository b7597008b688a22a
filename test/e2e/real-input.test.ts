import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProduct, type RunningProduct } from '../support/product.js';
import { replayOrbitProduct, type RecordedCopernicus } from '../support/recorded-copernicus.js';
import { hasShared } from '../support/shared.js';

const BLAKE3 = 'd4477d6c8a24b1fe5332f2476fe51b23fb620b0b1b66e6ff7a94ba64e2070cd4';
const MD5 = 'eb0f6a558cd0915affc8344455718cad';

// Skipped where the recordings of the real service (../shared) are not there.
describe.skipIf(!hasShared).each([
  { keep: '', checksums: { blake3: BLAKE3 } },
  { keep: 'md5', checksums: { blake3: BLAKE3, md5: MD5 } },
])('the main job on real input (skipped without ../shared), digests kept: "$keep"', (given) => {
  let copernicus: RecordedCopernicus;
  let product: RunningProduct;
  beforeAll(async () => {
    copernicus = await replayOrbitProduct();
    product = await startProduct({
      backend: 'sqlite',
      sandbox: { products: 1 },
      env: {
        NIMBUS_COPERNICUS_BASE_URL: copernicus.baseUrl,
        NIMBUS_COPERNICUS_DOWNLOAD_URL: copernicus.baseUrl,
        NIMBUS_COPERNICUS_TOKEN_URL: copernicus.tokenUrl,
        NIMBUS_KEEP_DIGESTS: given.keep,
      },
    });
  });
  afterAll(async () => {
    await product.close();
    await copernicus.close();
  });

  it('fetches a real orbit file by its recorded catalogue entry and verifies the cheaper of both real digests, and keeps the other when asked', async () => {
    const { job_id } = await product.submit({
      collection: 'SENTINEL-1',
      product_type: 'AUX_POEORB',
      start_date: '2019-12-31',
      end_date: '2020-01-02',
      aoi: { global: true },
    });
    const done = await product.ended(job_id);
    expect(done.error).toBeNull();
    expect(done).toMatchObject({
      state: 'succeeded',
      products_done: 1,
      progress: 100,
    });
    const result = await product.result(job_id);
    const [path] = result.paths as [string];
    expect(path.split('/').at(-1)).toBe(copernicus.product.name);
    const stored = readFileSync(join(product.dataDir, path));
    expect(stored.equals(copernicus.bytes)).toBe(true);

    const manifest = JSON.parse(readFileSync(join(product.dataDir, result.manifest!), 'utf8'));
    const asset = manifest.features[0].assets[copernicus.product.name];
    expect(asset['nimbus:level']).toBe('provider');
    expect(createHash('md5').update(copernicus.bytes).digest('hex')).toBe(MD5);
    expect(asset['nimbus:checksums']).toEqual(given.checksums);
    expect(asset['file:checksum']).toBe(`1e20${BLAKE3}`);
    expect(copernicus.downloads).toEqual([200]);
  });

  it('fetches the same product by name and finds it held', async () => {
    const { job_id } = await product.submit({
      collection: 'SENTINEL-1',
      product_type: undefined,
      start_date: undefined,
      end_date: undefined,
      aoi: undefined,
      products: [copernicus.product.name],
    });
    expect(await product.ended(job_id)).toMatchObject({ state: 'succeeded', products_done: 1 });
    expect((await product.events(job_id)).map(({ type }) => type)).toContain('product.reused');
    expect(copernicus.downloads).toEqual([200]);
  });
});
