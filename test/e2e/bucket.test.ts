/** The whole product with a bucket as its destination. */
import { createHash } from 'node:crypto';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { GetObjectCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSqliteMirror } from '../../src/mirror/sqlite/sqlite-mirror.js';
import { startProduct, type RunningProduct } from '../support/product.js';
import {
  startVersitygw,
  testCredentials,
  versitygwMissing,
  type TestBucket,
} from '../support/versitygw.js';

const execute = promisify(execFile);
const nimbus = fileURLToPath(new URL('../../bin/nimbus.mjs', import.meta.url));
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const skipped = versitygwMissing === null ? '' : ` (skipped: ${versitygwMissing})`;

describe.skipIf(versitygwMissing !== null)(`a bucket as the destination${skipped}`, () => {
  let server: TestBucket;
  let product: RunningProduct;
  let start: string;
  beforeAll(async () => {
    server = await startVersitygw('imagery');
    start = `s3://${server.bucket}/fleet/one/`;
    product = await startProduct({
      backend: 'sqlite',
      // About 21 MB a product, so that each goes in parts.
      sandbox: { scale: 0.02 },
      env: {
        NIMBUS_DESTINATION: start,
        NIMBUS_S3_ENDPOINT: server.endpoint,
        AWS_ACCESS_KEY_ID: testCredentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: testCredentials.secretAccessKey,
        NIMBUS_LOG_LEVEL: 'debug',
      },
    });
  });
  afterAll(async () => {
    await product?.close();
    await server?.close();
  });

  const object = async (address: string): Promise<Buffer> => {
    expect(address.startsWith(start)).toBe(true);
    const Key = address.slice(`s3://${server.bucket}/`.length);
    const command = new GetObjectCommand({ Bucket: server.bucket, Key });
    return await buffer((await server.client.send(command)).Body as Readable);
  };
  let jobId: string;

  it('holds verified files, a manifest, and nothing unfinished', async () => {
    const { job_id } = await product.submit({ max_products: 2 });
    jobId = job_id;
    const done = await product.ended(job_id);
    expect(done).toMatchObject({ state: 'succeeded', products_done: 2, products_failed: 0 });
    const result = await product.result(job_id);
    expect(result.paths).toHaveLength(2);
    expect(Object.keys(result.checksums).sort()).toEqual([...result.paths].sort());
    expect(result.products.flatMap(({ paths }) => paths).sort()).toEqual([...result.paths].sort());
    for (const path of result.paths) {
      const id = path.split('/').at(-2)!;
      const [truth] = await product.sandbox.products({ id, digests: true });
      const bytes = await object(path);
      expect(bytes.length).toBeGreaterThan(16 * 1024 * 1024);
      expect(sha256(bytes)).toBe(truth!.sha256);
      expect(result.checksums[path]).toMatchObject({ level: 'provider' });
    }
    const manifest = JSON.parse((await object(result.manifest!)).toString());
    expect(result.manifest).toMatch(/\.json$/);
    const hrefs = manifest.features.flatMap((feature: any) =>
      Object.values<any>(feature.assets).map(
        ({ href }) => new URL(href as string, result.manifest!).href,
      ),
    );
    expect(hrefs.sort()).toEqual([...result.paths].sort());

    const Bucket = server.bucket;
    const { Uploads } = await server.client.send(new ListMultipartUploadsCommand({ Bucket }));
    expect(Uploads ?? []).toEqual([]);
    expect(readdirSync(join(product.dataDir, '.partial'))).toEqual([]);
    expect(product.publicFiles().filter((path) => !path.startsWith('nimbus.db'))).toEqual([]);
  });

  it('serves each path as it stands in the result, with ranges and its digest', async () => {
    const result = await product.result(jobId);
    const path = result.paths[0]!;
    const bytes = await object(path);
    const relative = path.slice(start.length);
    for (const named of [path, encodeURIComponent(path), relative]) {
      const address = `/v1/jobs/${jobId}/files/${named}`;
      const head = await product.request(address, { method: 'HEAD' });
      expect(head.headers.get('content-length')).toBe(String(bytes.length));
      const etag = head.headers.get('etag')!;
      expect(etag).toContain(result.checksums[path]!.value);
      const headers = { range: `bytes=${bytes.length - 1000}-`, 'if-range': etag };
      const part = await product.request(address, { headers });
      expect(part.status).toBe(206);
      expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(-1000))).toBe(true);
    }
    const whole = await product.request(`/v1/jobs/${jobId}/files/${path}`);
    expect(sha256(Buffer.from(await whole.arrayBuffer()))).toBe(sha256(bytes));
    const manifest = await product.request(`/v1/jobs/${jobId}/files/${result.manifest}`);
    expect(((await manifest.json()) as any).features).toHaveLength(2);
    for (const wrong of ['s3://imagery/fleet/two/', 's3://imagery/'])
      expect((await product.request(`/v1/jobs/${jobId}/files/${wrong}${relative}`)).status).toBe(
        404,
      );
  });

  it('a second job reuses what is held, and an object that was spoilt is fetched again', async () => {
    const { paths } = await product.result(jobId);
    const spoilt = join(server.directory, paths[0]!.slice(`s3://${server.bucket}/`.length));
    const bytes = readFileSync(spoilt);
    const right = sha256(bytes);
    bytes[1_000_000]! ^= 1;
    writeFileSync(spoilt, bytes);
    const { job_id } = await product.submit({ max_products: 2 });
    expect((await product.ended(job_id)).state).toBe('succeeded');
    const types = (await product.events(job_id)).map(({ type }) => type);
    expect(types.filter((type) => type === 'product.reused')).toHaveLength(1);
    expect(types.filter((type) => type === 'product.completed')).toHaveLength(1);
    expect(sha256(await object(paths[0]!))).toBe(right);
  });

  it('is verified from its manifest alone, and what was spoilt is named', async () => {
    const { manifest, paths } = await product.result(jobId);
    const verify = (address: string) =>
      execute(process.execPath, [nimbus, 'verify', address], { env: product.env }).then(
        ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
        (error: { code: number; stdout: string; stderr: string }) => error,
      );
    expect(await verify(manifest!)).toMatchObject({ code: 0 });
    const file = join(server.directory, paths[0]!.slice(`s3://${server.bucket}/`.length));
    const bytes = readFileSync(file);
    writeFileSync(file, Buffer.concat([bytes.subarray(0, -1), Buffer.from([bytes.at(-1)! ^ 1])]));
    const { code, stdout } = await verify(manifest!);
    writeFileSync(file, bytes);
    expect(code).toBe(1);
    expect(stdout.match(/✗/g)).toHaveLength(1);
    const elsewhere = await verify(`s3://other/${manifest!.split('/').slice(3).join('/')}`);
    expect(elsewhere).toMatchObject({
      code: 65,
      stderr: expect.stringContaining('NIMBUS_DESTINATION') as string,
    });
  });

  it('F105 a mirror that was lost is filled again from the bucket', async () => {
    const before = { events: await product.events(jobId), result: await product.result(jobId) };
    const elsewhere = join(product.dataDir, '..', 'elsewhere');
    const env = { ...product.env, NIMBUS_DATA_DIR: elsewhere };
    const { stdout } = await execute(process.execPath, [nimbus, '--json', 'rebuild'], { env });
    expect(JSON.parse(stdout)).toMatchObject({ jobs: 2, temporalAsked: true });
    const mirror = createSqliteMirror({ path: join(elsewhere, 'nimbus.db') });
    expect(await mirror.listEvents(jobId, 0, 1000)).toMatchObject(before.events);
    expect(await mirror.getResult(jobId)).toMatchObject({
      bytes: before.result.bytes,
      paths: before.result.paths.map((path) => path.slice(start.length)),
    });
    await mirror.close();
  });

  it('health tells when the bucket is out of reach', async () => {
    const health = async () => ((await (await product.request('/v1/health')).json()) as any).checks;
    expect(await health()).toMatchObject({ data_dir: { status: 'ok' } });
    await server.stop();
    expect(await health()).toMatchObject({
      data_dir: { status: 'degraded', detail: expect.stringContaining('imagery') as string },
    });
    await server.start();
    expect(await health()).toMatchObject({ data_dir: { status: 'ok' } });
  });

  it('F137 the login is in no log, and what cannot be used names itself alone', async () => {
    const env = { ...product.env, NIMBUS_DESTINATION: 's3://AKIA:canary-of-a-typo@imagery' };
    const refused = await execute(process.execPath, [nimbus, 'worker'], { env }).catch(
      (error: { code: number; stderr: string }) => error,
    );
    expect(refused).toMatchObject({ code: 78 });
    expect(refused.stderr).toMatch(/NIMBUS_DESTINATION/);
    expect(refused.stderr).not.toMatch(/canary/);
    const logs = readdirSync(product.logDir).map((name) =>
      readFileSync(join(product.logDir, name)),
    );
    expect(logs.length).toBeGreaterThan(1);
    for (const log of logs) expect(log.includes(testCredentials.secretAccessKey)).toBe(false);
  });
});
