/** What the tests of the transfer engine share: a file, a source for it, a directory, an engine that waits little. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTransferEngine, type TransferEngineOptions } from '../../src/transfer/index.js';
import type {
  TransferNote,
  TransferOptions,
  TransferResult,
  TransferSource,
} from '../../src/transfer/transfer.js';
import { startLyingServer, type LyingServer, type Script } from './lying-server.js';

/** Bytes that look like nothing in particular, the same for the same size and seed. */
export function bytesOf(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < size; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state & 0xff;
  }
  return bytes;
}

export function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}

export interface Kit {
  server: LyingServer;
  directory: string;
  notes: TransferNote[];
  source: (file: Buffer, changes?: Partial<TransferSource>) => TransferSource;
  fetch: (source: TransferSource, changes?: Partial<TransferOptions>) => Promise<TransferResult>;
  /** Bytes of files in the directory that claim to be verified or are partial, by name. */
  listing: () => Promise<string[]>;
  content: (result: TransferResult) => Promise<Buffer>;
  close: () => Promise<void>;
}

export async function createKit(
  script: Script,
  engineOptions: TransferEngineOptions = {},
): Promise<Kit> {
  const server = await startLyingServer(script);
  const root = await mkdtemp(join(tmpdir(), 'nimbus-transfer-'));
  const directory = join(root, 'asset');
  const engine = createTransferEngine({
    hashThreads: 1,
    backoff: { baseMs: 1, maxMs: 5 },
    ...engineOptions,
  });
  const notes: TransferNote[] = [];
  return {
    server,
    directory,
    notes,
    source: (file, changes = {}) => ({
      key: 'test/asset',
      url: server.url(),
      headers: async () => ({ authorization: 'Bearer one' }),
      rejected: () => undefined,
      trustedHosts: [server.host],
      plainHttpHosts: [server.host],
      expectedBytes: file.length,
      checksums: [{ algorithm: 'md5', value: md5(file) }],
      fallbackName: 'asset.bin',
      translate: () => null,
      ...changes,
    }),
    fetch: (source, changes = {}) =>
      engine.transfer(source, {
        directory,
        signal: new AbortController().signal,
        onNote: (note) => notes.push(note),
        ...changes,
        limits: { blockBytes: 64 * 1024, idleMs: 300, headersMs: 300, ...changes.limits },
      }),
    listing: async () => (await readdir(directory)).sort(),
    content: (result) => readFile(result.path),
    async close() {
      await engine.close();
      await server.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}
