import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyManifest } from '../../../src/cli/verify/verify-manifest.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nimbus-verify-'));
  mkdirSync(join(directory, 'jobs/j'), { recursive: true });
  mkdirSync(join(directory, 'products'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const content = Buffer.from('abc');
/** Of "abc", from the algorithms' own papers. */
const BLAKE3 = '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85';
const MD5 = '900150983cd24fb0d6963f7d28e17f72';

function manifest(asset: object): string {
  const path = join(directory, 'jobs/j/manifest.json');
  writeFileSync(
    path,
    JSON.stringify({
      type: 'FeatureCollection',
      features: [{ type: 'Feature', id: 'p', assets: { file: asset } }],
    }),
  );
  return path;
}

const good = {
  href: '../../products/p.zip',
  'file:size': 3,
  'file:checksum': `1e20${BLAKE3}`,
  'nimbus:checksums': { md5: MD5, blake3: BLAKE3 },
  'nimbus:level': 'provider',
};
const run = (path: string) => verifyManifest(path, () => {}, new AbortController().signal);
const verify = async (path: string) => (await run(path)).files;
const write = (bytes: Buffer) => writeFileSync(join(directory, 'products/p.zip'), bytes);

describe('verifyManifest', () => {
  it('reads the file and matches every recorded digest', async () => {
    write(content);
    expect(await verify(manifest(good))).toEqual([
      {
        href: good.href,
        path: join(directory, 'products/p.zip'),
        sizeBytes: 3,
        level: 'provider',
        checksums: [
          { algorithm: 'blake3', value: BLAKE3 },
          { algorithm: 'md5', value: MD5 },
        ],
        problem: null,
      },
    ]);
  });

  it.each(['sha1', 'sha256', 'sha512', 'sha3-256'])('knows %s', async (algorithm) => {
    write(content);
    const value = createHash(algorithm).update(content).digest('hex');
    const [file] = await verify(
      manifest({ href: good.href, 'nimbus:checksums': { [algorithm]: value } }),
    );
    expect(file).toMatchObject({ problem: null, checksums: [{ algorithm, value }] });
  });

  it('tells a flipped bit, a lost byte, a missing file and a manifest without digests', async () => {
    write(Buffer.from('abb'));
    const [flipped] = await verify(manifest(good));
    expect(flipped?.problem).toMatch(/^blake3 is [0-9a-f]{64}, the/);
    expect(flipped?.checksums).toEqual([]);
    write(Buffer.from('ab'));
    expect((await verify(manifest(good)))[0]?.problem).toBe('2 bytes, the manifest says 3');
    rmSync(join(directory, 'products/p.zip'));
    expect((await verify(manifest(good)))[0]?.problem).toBe('missing');
    write(content);
    const bare = { href: good.href, 'file:size': 3 };
    expect((await verify(manifest(bare)))[0]?.problem).toBe('the manifest records no digest');
  });

  it('fails a file whose two records of one digest disagree', async () => {
    write(content);
    const asset = { ...good, 'file:checksum': `d50110${'0'.repeat(32)}` };
    const [file] = await verify(manifest(asset));
    expect(file?.problem).toMatch(/^md5 is /);
    expect(file?.checksums).toEqual([
      { algorithm: 'md5', value: MD5 },
      { algorithm: 'blake3', value: BLAKE3 },
    ]);
  });

  it('knows whose manifest it is', async () => {
    write(content);
    const path = manifest(good);
    expect((await run(path)).jobId).toBeNull();
    writeFileSync(path, '{"type":"FeatureCollection","nimbus:job":{"job_id":"j1"},"features":[]}');
    expect((await run(path)).jobId).toBe('j1');
  });

  it('reads no address and no absolute path', async () => {
    for (const href of ['https://example.com/p.zip', '/etc/hostname', 'file:///etc/hostname'])
      expect((await verify(manifest({ ...good, href })))[0]?.problem).toBe(
        'not a path relative to the manifest',
      );
  });

  it('refuses what is not a manifest with exit code 65', async () => {
    const path = join(directory, 'other.json');
    await expect(verify(path)).rejects.toMatchObject({ exitCode: 65 });
    writeFileSync(path, 'not JSON');
    await expect(verify(path)).rejects.toMatchObject({
      exitCode: 65,
      message: `${path} is not JSON`,
    });
    writeFileSync(path, '{"type":"Feature"}');
    await expect(verify(path)).rejects.toMatchObject({
      exitCode: 65,
      message: expect.stringContaining('is not a manifest: type'),
    });
  });
});
