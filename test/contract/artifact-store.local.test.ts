/** The local directory keeps to the contract; and what is particular to a directory: links, modes, leftovers. */
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLocalStore, type LocalStore } from '../../src/artifacts/index.js';
import { describeArtifactStore, verifiedTransfer } from './artifact-store.contract.js';

async function createRoot(): Promise<{ parent: string; root: string }> {
  const parent = await mkdtemp(join(tmpdir(), 'nimbus-store-'));
  return { parent, root: join(parent, 'data') };
}

describeArtifactStore('local directory', async () => {
  const { parent, root } = await createRoot();
  const store = createLocalStore({ root });
  return {
    store,
    read: (path) => readFile(join(root, path)),
    async remove() {
      await store.close();
      await rm(parent, { recursive: true, force: true });
    },
  };
});

describe('a local directory', () => {
  const bytes = Buffer.from('bytes');
  let parent: string;
  let root: string;
  let store: LocalStore;
  beforeEach(async () => {
    ({ parent, root } = await createRoot());
    store = createLocalStore({ root });
  });
  afterEach(async () => {
    await store.close();
    await rm(parent, { recursive: true, force: true });
  });

  it('F072 refuses a root that is a link', async () => {
    await mkdir(join(parent, 'elsewhere'));
    await symlink(join(parent, 'elsewhere'), root);
    await expect(store.prepare()).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  it.skipIf(process.getuid?.() === 0)(
    'F068 refuses a root that cannot be written (skipped for the superuser)',
    async () => {
      await mkdir(root);
      await chmod(root, 0o500);
      await expect(store.prepare()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    },
  );

  it('F119 serves no link, and nothing through one', async () => {
    await store.prepare();
    await writeFile(join(parent, 'secret'), 'secret');
    await symlink(join(parent, 'secret'), join(root, 'link'));
    await symlink(parent, join(root, 'folder'));
    for (const path of ['link', 'folder/secret'])
      await expect(store.open(path)).rejects.toMatchObject({ code: 'NotFound' });
  });

  it('F119 writes nothing through a link', async () => {
    await store.prepare();
    await symlink(parent, join(root, 'folder'));
    const transfer = await verifiedTransfer(store, 'key', bytes);
    await expect(store.publish(transfer, 'folder/file', 'key')).rejects.toMatchObject({
      code: 'Conflict',
    });
    expect(await readdir(parent)).toEqual(['data']);
  });

  it('goes on after a crash between the link and the removal of the partial', async () => {
    await store.prepare();
    const transfer = await verifiedTransfer(store, 'key', bytes);
    await store.publish(transfer, 'file', 'key');
    const again = await verifiedTransfer(store, 'key', bytes);
    await store.publish(again, 'file', 'key');
    expect(await readdir(join(root, '.partial'))).toEqual([]);
  });

  it('F097 sweeps what is old and that nobody owns', async () => {
    await store.prepare();
    const old = new Date(Date.now() - 60_000);
    for (const key of ['old', 'owned', 'young']) {
      const { path } = await verifiedTransfer(store, key, bytes);
      if (key === 'young') continue;
      await utimes(path, old, old);
      await utimes(store.partialDirectory(key), old, old);
    }
    await writeFile(join(root, '.nimbus', '.tmp', 'left'), 'over');
    await utimes(join(root, '.nimbus', '.tmp', 'left'), old, old);
    const owned = store.partialDirectory('owned');
    const swept = await store.sweep(30_000, (directory) => directory === owned);
    expect(swept).toEqual({ removed: 2, bytes: 9 });
    expect(
      (await readdir(join(root, '.partial'))).map((name) => join(root, '.partial', name)).sort(),
    ).toEqual([owned, store.partialDirectory('young')].sort());
  });

  it('tells a damaged record from a missing one', async () => {
    await store.prepare();
    await store.putRecord('a.json', {});
    await writeFile(join(root, '.nimbus', 'a.json'), '{');
    await expect(store.getRecord('a.json')).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });
});
