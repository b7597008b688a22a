import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProduct, type RunningProduct } from '../support/product.js';
import { replayOrbitProduct, type RecordedCopernicus } from '../support/recorded-copernicus.js';
import { hasShared } from '../support/shared.js';

// Skipped where the recordings of the real service (../shared) are not there.
describe.skipIf(!hasShared)('the main job on real input (skipped without ../shared)', () => {
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
      },
    });
  });
  afterAll(async () => {
    await product.close();
    await copernicus.close();
  });

  it('fetches a real orbit file by its recorded catalogue entry and verifies both real digests', async () => {
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
    expect(asset['nimbus:checksums']).toMatchObject({
      md5: createHash('md5').update(copernicus.bytes).digest('hex'),
      blake3: 'd4477d6c8a24b1fe5332f2476fe51b23fb620b0b1b66e6ff7a94ba64e2070cd4',
    });
    expect(asset['nimbus:checksums'].md5).toBe('eb0f6a558cd0915affc8344455718cad');
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
