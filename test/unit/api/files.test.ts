import { existsSync } from 'node:fs';
import { readdir, readlink, symlink } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startApiBench, type ApiBench } from '../../support/api-bench.js';

const content = Buffer.from('0123456789'.repeat(1000));
const path = 'products/S2A MSIL2A ü.zip';
const etag = '"md5:d41d8cd98f00b204e9800998ecf8427e"';

async function withFile(): Promise<{ api: ApiBench; id: string; address: string }> {
  const api = await startApiBench();
  const id = await api.submit();
  await api.putFile(id, path, content);
  return {
    api,
    id,
    address: `/v1/jobs/${id}/files/${path.split('/').map(encodeURIComponent).join('/')}`,
  };
}

/** How many handles this process holds on files of this name; told by Linux alone. */
const handles = '/proc/self/fd';
async function openHandles(name: string): Promise<number> {
  const links = (await readdir(handles)).map((fd) => readlink(`${handles}/${fd}`).catch(() => ''));
  return (await Promise.all(links)).filter((link) => link.endsWith(`/${name}`)).length;
}

/** Sends the path as it is: fetch would tidy it up first. */
function rawStatus(api: ApiBench, target: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port: new URL(api.url).port, path: target },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode!);
      },
    );
    asked.on('error', reject).end();
  });
}

describe('a file of a job', () => {
  it('comes whole, with its digest as ETag, as an attachment under its own name', async () => {
    const { api, address } = await withFile();
    const answer = await api.get(address);
    expect(answer.status).toBe(200);
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(content);
    expect(answer.headers.get('etag')).toBe(etag);
    expect(answer.headers.get('accept-ranges')).toBe('bytes');
    expect(answer.headers.get('content-length')).toBe('10000');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    const disposition = answer.headers.get('content-disposition')!;
    expect(disposition).toMatch(/^attachment; filename="/);
    expect(disposition).toContain("filename*=UTF-8''S2A%20MSIL2A%20%C3%BC.zip");
  });

  it('tells length and ETag to HEAD without a body, whatever range is asked', async () => {
    const { api, address } = await withFile();
    const headers = { range: 'bytes=0-9' };
    const answer = await fetch(`${api.url}${address}`, { method: 'HEAD', headers });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe('10000');
    expect(answer.headers.get('etag')).toBe(etag);
    expect(await answer.text()).toBe('');
  });

  it.each([
    ['bytes=0-0', 206, 0, 0],
    ['bytes=10-19', 206, 10, 19],
    ['bytes=9990-', 206, 9990, 9999],
    ['bytes=-5', 206, 9995, 9999],
    ['bytes=-20000', 206, 0, 9999],
    ['bytes=9999-20000', 206, 9999, 9999],
    ['bytes=10000-', 416, 0, 0],
    ['bytes=20000-30000', 416, 0, 0],
    ['bytes=-0', 416, 0, 0],
    ['bytes=0-1,5-6', 200, 0, 9999],
    ['bytes=5-2', 200, 0, 9999],
    ['bytes=a-b', 200, 0, 9999],
    ['bytes=-', 200, 0, 9999],
    ['lines=1-2', 200, 0, 9999],
  ])('F120 answers %s with %i', async (range, status, first, last) => {
    const { api, address } = await withFile();
    const answer = await api.get(address, { range });
    expect(answer.status).toBe(status);
    if (status === 416) {
      expect(answer.headers.get('content-range')).toBe('bytes */10000');
      expect(answer.headers.get('content-type')).toContain('problem+json');
      return;
    }
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(content.subarray(first, last + 1));
    const contentRange = status === 206 ? `bytes ${first}-${last}/10000` : null;
    expect(answer.headers.get('content-range')).toBe(contentRange);
  });

  it.each([
    [{ 'if-range': etag, range: 'bytes=0-9' }, 206],
    [{ 'if-range': '"md5:other"', range: 'bytes=0-9' }, 200],
    [{ 'if-range': `W/${etag}`, range: 'bytes=0-9' }, 200],
    [{ 'if-range': 'Wed, 21 Oct 2015 07:28:00 GMT', range: 'bytes=0-9' }, 200],
    [{ 'if-none-match': etag }, 304],
    [{ 'if-none-match': `"x", W/${etag}` }, 304],
    [{ 'if-none-match': '*' }, 304],
    [{ 'if-none-match': '"md5:other"' }, 200],
    [{ 'if-match': etag }, 200],
    [{ 'if-match': '"md5:other"' }, 412],
    [{ 'if-match': `W/${etag}` }, 412],
  ] as [Record<string, string>, number][])('F120 answers %j with %i', async (headers, status) => {
    const { api, address } = await withFile();
    const answer = await api.get(address, headers);
    await answer.arrayBuffer();
    expect(answer.status).toBe(status);
  });

  it('serves the manifest, which has no entry among the checksums', async () => {
    const { api, id } = await withFile();
    await api.putFile(await api.submit(), `jobs/${id}/manifest.json`, Buffer.from('{}'));
    expect((await api.get(`/v1/jobs/${id}/files/jobs/${id}/manifest.json`)).status).toBe(404);
    const manifest = `jobs/${id}/manifest.json`;
    await api.tell(id, 'job.succeeded', { state: 'succeeded', manifest });
    const answer = await api.get(`/v1/jobs/${id}/files/${manifest}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain('application/json');
    expect(answer.headers.get('etag')).toMatch(/^"sha256:[0-9a-f]{64}"$/);
  });

  it('F119 answers every other path with 404', async () => {
    const { api, id } = await withFile();
    const other = await api.submit();
    await api.putFile(other, 'products/other.zip', content);
    await api.putFile(id, 'products/real.zip', content);
    await symlink('/etc/passwd', join(api.store.root, 'products/link.zip'));
    await api.putFileEvent(id, 'products/link.zip');
    await api.putFileEvent(id, 'products/gone.zip');
    const paths = [
      '',
      'products',
      'products/',
      'products/other.zip',
      'products/link.zip',
      'products/gone.zip',
      '../mirror.db',
      '..%2fmirror.db',
      '%2e%2e/mirror.db',
      '%2e%2e%2fmirror.db',
      '..%252fmirror.db',
      '..%5cmirror.db',
      'products/../products/real.zip',
      'products/./real.zip',
      'products//real.zip',
      'products%2freal.zip',
      'products/real.zip%00',
      'products/real.zip%00.json',
      'products/real.zip/',
      '%00',
      '%',
      '%zz',
      '%c0%ae%c0%ae/mirror.db',
      '/etc/passwd',
      '%2fetc%2fpasswd',
      'file:///etc/passwd',
      '.nimbus/held',
      'C:%5cwindows%5cwin.ini',
      `${'../'.repeat(20)}etc/passwd`,
      'PRODUCTS/REAL.ZIP',
    ];
    const statuses = await Promise.all(
      paths.map((odd) => rawStatus(api, `/v1/jobs/${id}/files/${odd}`)),
    );
    expect(paths.filter((_, index) => statuses[index] !== 404)).toEqual([]);
    expect(await rawStatus(api, `/v1/jobs/${id}/files/products/real.zip`)).toBe(200);
  });

  it('of a bucket is named by its address, and served under it as it stands', async () => {
    const { api, id } = await withFile();
    api.store.bucket = { bucket: 'imagery', prefix: 'fleet/one' };
    const named = `s3://imagery/fleet/one/${path}`;
    await api.tell(id, 'job.succeeded', { state: 'succeeded', manifest: 'jobs/1/manifest.json' });
    const result = (await (await api.get(`/v1/jobs/${id}/result`)).json()) as any;
    expect(result).toMatchObject({
      paths: [named],
      checksums: { [named]: { algorithm: 'md5' } },
      manifest: 's3://imagery/fleet/one/jobs/1/manifest.json',
      products: [{ paths: [named] }],
    });
    const plain = named.replace(/ /g, '%20').replace('ü', '%C3%BC');
    for (const address of [
      plain,
      encodeURIComponent(named),
      plain.replace('s3://', 's3:/'),
      plain.replace('s3:', 's3%3A'),
      path.replace(/ /g, '%20').replace('ü', '%C3%BC'),
    ])
      expect([address, await rawStatus(api, `/v1/jobs/${id}/files/${address}`)]).toEqual([
        address,
        200,
      ]);
    const odd = [
      's3://imagery/fleet/two/products/real.zip',
      's3://other/fleet/one/products/real.zip',
      's3://imagery/fleet/one/../one/products/real.zip',
      's3://imagery/fleet/one/.nimbus/held',
      's3%3A%2F%2Fimagery%2Ffleet%2Fone%2F..%2F..%2Fetc%2Fpasswd',
      's3://',
      's3:',
      'file:///etc/passwd',
    ];
    const statuses = await Promise.all(
      odd.map((address) => rawStatus(api, `/v1/jobs/${id}/files/${address}`)),
    );
    expect(odd.filter((_, index) => statuses[index] !== 404)).toEqual([]);
  });

  it.skipIf(!existsSync(handles))('closes the file when the reader goes away', async () => {
    const api = await startApiBench();
    const id = await api.submit();
    await api.putFile(id, 'big.zip', Buffer.alloc(32 * 1024 * 1024, 1));
    const abort = new AbortController();
    const answer = await fetch(`${api.url}/v1/jobs/${id}/files/big.zip`, { signal: abort.signal });
    const reader = answer.body!.getReader();
    await reader.read();
    expect(await openHandles('big.zip')).toBe(1);
    abort.abort();
    await reader.closed.catch(() => {});
    await expect.poll(() => openHandles('big.zip')).toBe(0);
    expect((await api.get(`/v1/jobs/${id}/files/big.zip`, { range: 'bytes=0-1' })).status).toBe(
      206,
    );
  });
});
