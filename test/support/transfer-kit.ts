/** What the tests of the transfer engine share: a file, a source for it, a directory, an engine that waits little. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { nodeFiles } from '../../src/transfer/files.js';
import {
  createConnectionSlots,
  createTransferEngine,
  type TransferEngineOptions,
} from '../../src/transfer/index.js';
import type {
  TransferNote,
  TransferOptions,
  TransferResult,
  TransferSource,
} from '../../src/transfer/transfer.js';
import { assertInvariants, CANARY, type Run } from './invariants.js';
import {
  startLyingServer,
  type LyingServer,
  type LyingServerOptions,
  type Script,
} from './lying-server.js';
import { watchFiles, type WatchedFiles } from './watched-files.js';
import { watchSockets } from './watched-process.js';

export const BLOCK_BYTES = 64 * 1024;
/** What must repeat itself after an accident, with blocks as small as these. */
export const OVERLAP_BYTES = BLOCK_BYTES / 4;

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

/** What a test knows to be otherwise than the invariants take for granted. */
export interface Allowances {
  /**
   * How often the whole may be served, besides a block for each interruption. Not counted unless said, for where it is the
   * client that hangs up, what lay in the kernel's buffers counts as served too.
   */
  copies?: number;
  /** The verified file need not be the one asked for. */
  unproven?: boolean;
  /** Hosts besides the kit's server that may be connected to. */
  hosts?: string[];
}

export interface Kit {
  server: LyingServer;
  directory: string;
  notes: TransferNote[];
  watched: WatchedFiles;
  source: (file: Buffer, changes?: Partial<TransferSource>) => TransferSource;
  fetch: (source: TransferSource, changes?: Partial<TransferOptions>) => Promise<TransferResult>;
  /** Names of the files in the directory. */
  listing: () => Promise<string[]>;
  content: (result: TransferResult) => Promise<Buffer>;
  allow: (allowances: Allowances) => void;
  /** Ends engine and server, and checks that the invariants held. */
  close: () => Promise<void>;
}

export interface KitOptions extends TransferEngineOptions {
  server?: LyingServerOptions;
  /** Most connections for one file. One where a test counts requests. */
  connections?: number;
}

/** Makes kits for the tests of a file; each is closed, and its invariants checked, at the end of its test. */
export function useKits(): (script: Script, options?: KitOptions) => Promise<Kit> {
  let kits: Kit[] = [];
  afterEach(async () => {
    const ended = kits;
    kits = [];
    for (const kit of ended) await kit.close();
  });
  return async (script, options) => {
    const kit = await createKit(script, options);
    kits.push(kit);
    return kit;
  };
}

export async function createKit(script: Script, options: KitOptions = {}): Promise<Kit> {
  const { server: serverOptions, connections = 1, files = nodeFiles, ...engineOptions } = options;
  const sockets = watchSockets();
  const server = await startLyingServer(script, serverOptions);
  const root = await mkdtemp(join(tmpdir(), 'nimbus-transfer-'));
  const directory = join(root, 'asset');
  const watched = watchFiles(files);
  const engine = createTransferEngine({
    hashThreads: 1,
    backoff: { baseMs: 1, maxMs: 5 },
    ...engineOptions,
    files: watched.files,
  });
  const notes: TransferNote[] = [];
  const runs: Run[] = [];
  const allowances: Allowances = {};
  const truths = new WeakMap<TransferSource, Buffer>();
  return {
    server,
    directory,
    notes,
    watched,
    source(file, changes = {}) {
      const source: TransferSource = {
        connections,
        key: 'test/asset',
        url: `${server.url()}?signature=${CANARY}`,
        headers: async () => ({ authorization: `Bearer ${CANARY}` }),
        rejected: () => undefined,
        trustedHosts: [server.host],
        plainHttpHosts: [server.host],
        expectedBytes: file.length,
        checksums: [{ algorithm: 'md5', value: md5(file) }],
        fallbackName: 'asset.bin',
        translate: () => null,
        ...changes,
      };
      truths.set(source, file);
      return source;
    },
    async fetch(source, changes = {}) {
      const run: Run = {
        directory: changes.directory ?? directory,
        truth: allowances.unproven ? null : (truths.get(source) ?? null),
      };
      runs.push(run);
      try {
        run.result = await engine.transfer(source, {
          directory,
          signal: new AbortController().signal,
          onNote: (note) => notes.push(note),
          slots: createConnectionSlots(source.connections ?? connections),
          ...changes,
          limits: { blockBytes: BLOCK_BYTES, idleMs: 300, headersMs: 300, ...changes.limits },
        });
        return run.result;
      } catch (error) {
        run.error = error;
        throw error;
      }
    },
    listing: async () => (await readdir(directory)).sort(),
    content: (result) => readFile(result.path),
    allow: (more) => void Object.assign(allowances, more),
    async close() {
      try {
        await engine.close();
        await assertInvariants({
          runs,
          told: notes,
          server,
          watched,
          sockets,
          allowedHosts: [server.host, ...(allowances.hosts ?? [])],
          blockBytes: BLOCK_BYTES,
          copies: allowances.copies ?? null,
        });
      } finally {
        sockets.stop();
        await server.close();
        await rm(root, { recursive: true, force: true });
      }
    },
  };
}
