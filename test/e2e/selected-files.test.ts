import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256Of, startProduct, type RunningProduct } from '../support/product.js';

const nimbus = fileURLToPath(new URL('../../bin/nimbus.mjs', import.meta.url));
const only = (include: string[], exclude: string[] = []) => ({ assets: { include, exclude } });

describe('D17 D18 files out of products, end to end', () => {
  let product: RunningProduct;
  beforeAll(async () => {
    product = await startProduct({
      backend: 'sqlite',
      sandbox: { scale: 0.005 },
      env: { NIMBUS_KEEP_DIGESTS: 'md5,sha256' },
    });
  });
  afterAll(() => product.close());

  const productBytes = (): number =>
    Object.values(product.sandbox.ledger().bytesByProduct).reduce((sum, bytes) => sum + bytes, 0);
  const manifestOf = (path: string): any =>
    JSON.parse(readFileSync(join(product.dataDir, path), 'utf8'));
  const verify = async (manifest: string): Promise<string> => {
    const args = [nimbus, '--json', 'verify', join(product.dataDir, manifest)];
    return (await promisify(execFile)(process.execPath, args)).stdout;
  };

  it('one band of each product: little more than its bytes, verified, marked partial, verified again', async () => {
    const job = await product.submit(only(['*_B04_10m.jp2']));
    expect(job.request).toMatchObject(only(['*_B04_10m.jp2']));
    const done = await product.ended(job.job_id);
    expect(done).toMatchObject({ state: 'succeeded', progress: 100, products_failed: 0 });
    expect(done.products_done).toBeGreaterThan(1);
    const result = await product.result(job.job_id);
    expect(result.paths).toHaveLength(done.products_done);
    expect(done).toMatchObject({ bytes_total: result.bytes, bytes_downloaded: result.bytes });
    expect(productBytes()).toBeLessThan(1.1 * result.bytes + done.products_done * 60_000);
    const manifest = manifestOf(result.manifest!);
    expect(manifest.features).toHaveLength(done.products_done);
    for (const { properties, assets } of manifest.features) {
      expect(properties).toMatchObject({
        'nimbus:partial': true,
        'nimbus:assets': { include: ['*_B04_10m.jp2'], exclude: [], files: 1 },
      });
      const [[name, asset]] = Object.entries<any>(assets) as [[string, any]];
      expect(name).toMatch(/_B04_10m\.jp2$/);
      expect(asset['nimbus:level']).toBe('manifest');
      expect(asset['file:checksum']).toMatch(/^1620[0-9a-f]{64}$/);
      expect(asset['file:local_path']).toMatch(/\.SAFE\/GRANULE\/.+\/IMG_DATA\/R10m\/.+\.jp2$/);
      const path = result.paths.find((one) => one.endsWith(name))!;
      expect(statSync(join(product.dataDir, path)).size).toBe(asset['file:size']);
      expect(asset['nimbus:checksums'].sha256).toBe(await sha256Of(join(product.dataDir, path)));
      expect(Object.keys(asset['nimbus:checksums']).sort()).toEqual(['md5', 'sha256', 'sha3-256']);
      const served = await product.request(`/v1/jobs/${job.job_id}/files/${path}`, {
        headers: { range: 'bytes=4-7' },
      });
      expect(await served.text()).toBe('jP  ');
    }
    expect(await verify(result.manifest!)).not.toContain('"problem":"');
    const started = (await product.events(job.job_id)).filter(
      ({ type }) => type === 'product.started',
    );
    expect(started.every(({ data }) => data['bytes'] === null)).toBe(true);
  });

  it('the same again fetches nothing; other files are added; neither makes the whole product held', async () => {
    product.sandbox.resetLedger();
    const same = await product.submit(only(['**/R10m/*_B04_*']));
    expect((await product.ended(same.job_id)).state).toBe('succeeded');
    expect(productBytes()).toBe(0);
    const types = (await product.events(same.job_id)).map(({ type }) => type);
    expect(types).toContain('product.reused');
    expect(types).not.toContain('product.completed');

    const search = await product.request('/v1/search', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...same.request, job_type: undefined }),
    });
    const preview = (await search.json()) as any;
    expect(preview).toMatchObject({ already_held: preview.total, bytes_total: null });

    const more = await product.submit({
      ...only(['*_B04_10m.jp2', '*_B08_10m.jp2']),
      max_products: 1,
    });
    await product.ended(more.job_id);
    const result = await product.result(more.job_id);
    expect(result.paths).toHaveLength(2);
    expect(productBytes()).toBeLessThan(0.6 * result.bytes + 60_000);

    const whole = await product.submit({ max_products: 1 });
    await product.ended(whole.job_id);
    const events = await product.events(whole.job_id);
    expect(events.map(({ type }) => type)).toContain('product.completed');
    const [zip] = (await product.result(whole.job_id)).paths as [string];
    expect(zip).toMatch(/\.SAFE\.zip$/);
    const band = result.paths[0]!;
    expect(band.startsWith(zip.replace(/\.zip$/, '/'))).toBe(true);
    expect(existsSync(join(product.dataDir, band))).toBe(true);
  });

  it('two jobs at once that want different files of one product both get theirs', async () => {
    product.sandbox.configure({ bytesPerSecond: 400_000 });
    const wanted = [['*_B02_10m.jp2'], ['*_B03_10m.jp2', '*_B02_10m.jp2']];
    const jobs = await Promise.all(
      wanted.map((include) => product.submit({ ...only(include), max_products: 1 })),
    );
    for (const [index, { job_id }] of jobs.entries()) {
      expect((await product.ended(job_id)).state).toBe('succeeded');
      const { paths } = await product.result(job_id);
      expect(paths).toHaveLength(wanted[index]!.length);
    }
    product.sandbox.configure({ bytesPerSecond: null });
    const gets = product.sandbox
      .ledger()
      .entries.filter(({ path, faulted }) => /_B0[23]_10m\.jp2/.test(path) && !faulted);
    expect(gets).toHaveLength(2);
  });

  it('a pattern that matches nothing fails the product and shows what there is', async () => {
    const { job_id } = await product.submit({ ...only(['*_B99_*.jp2']), max_products: 1 });
    const done = await product.ended(job_id);
    expect(done).toMatchObject({ state: 'failed', error: { code: 'InvalidInput' } });
    expect(done.error!.detail).toMatch(/_B99_.+It has T\w+_\d0m\.jp2/);
  });

  it('a pattern that cannot be understood is 422, naming its place', async () => {
    await expect(product.submit(only(['*.jp2', '/GRANULE/*']))).rejects.toThrow(
      /422.+assets\.include\.1.+relative to the product/,
    );
  });

  it('F077 F082 a worker killed between two files: what is stored is not fetched again, the rest goes on', async () => {
    product.sandbox.resetLedger();
    product.sandbox.configure({ bytesPerSecond: 60_000 });
    const include = ['*_WVP_10m.jp2', '*_TCI_10m.jp2'];
    const { job_id } = await product.submit({ ...only(include), max_products: 1 });
    const isStored = () => product.publicFiles().some((path) => path.endsWith('_WVP_10m.jp2'));
    const [worker] = product.workers;
    await product.until(job_id, () => isStored());
    await worker!.kill('SIGKILL');
    product.sandbox.configure({ bytesPerSecond: null });
    await worker!.start();
    expect(await product.ended(job_id)).toMatchObject({ state: 'succeeded', products_done: 1 });
    const { paths } = await product.result(job_id);
    expect(paths).toHaveLength(2);
    const served = (name: string): number =>
      product.sandbox
        .ledger()
        .entries.filter(({ path }) => path.includes(name))
        .reduce((sum, { bytesSent }) => sum + bytesSent, 0);
    const sizeOf = (name: string): number =>
      statSync(
        join(
          product.dataDir,
          paths.find((path) => path.includes(name))!,
        ),
      ).size;
    expect(served('_WVP_10m')).toBe(sizeOf('_WVP_10m'));
    expect(served('_TCI_10m')).toBeGreaterThanOrEqual(sizeOf('_TCI_10m'));
    // A process that dies between a file's name and the end of its journal leaves no room promised to nobody.
    expect(readdirSync(join(product.dataDir, '.partial'))).toEqual([]);
    const completed = (await product.events(job_id)).find(
      ({ type }) => type === 'product.completed',
    );
    expect(completed!.data).toMatchObject({ selection: { files: 2 } });
  });

  it('cancelled half-way, a job leaves no unfinished file behind', async () => {
    product.sandbox.configure({ bytesPerSecond: 20_000 });
    const { job_id } = await product.submit({ ...only(['*_TCI_20m.jp2']), max_products: 1 });
    await product.until(job_id, ({ bytes_downloaded }) => bytes_downloaded > 0);
    await product.request(`/v1/jobs/${job_id}`, { method: 'DELETE' });
    expect((await product.ended(job_id)).state).toBe('cancelled');
    product.sandbox.configure({ bytesPerSecond: null });
    expect(readdirSync(join(product.dataDir, '.partial'))).toEqual([]);
    expect(product.publicFiles().filter((path) => path.includes('_TCI_20m'))).toEqual([]);
  });
});
