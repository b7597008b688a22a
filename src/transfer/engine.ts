/**
 * The transfer engine: moves one asset's bytes from a source into a directory and proves them. A pure library; what it
 * keeps between transfers are threads, memory and idle connections.
 */
import { ServiceError } from '../jobs/error-codes.js';
import { nodeFiles, type Files } from './files.js';
import { createHashPool } from './hash-pool.js';
import { HttpClient } from './http/client.js';
import type { ProxyFor } from './http/proxy.js';
import { DEFAULT_BACKOFF, type Backoff } from './limits.js';
import { Session } from './session.js';
import type { Transfer } from './transfer.js';

export interface TransferEngineOptions {
  /** Threads that compute digests, shared by all transfers. */
  hashThreads?: number;
  /** Pauses between tries inside a transfer. */
  backoff?: Backoff;
  /** Which proxy to go through for an address; see `proxyFromEnvironment`. Default: none. */
  proxyFor?: ProxyFor;
  /** File operations, for tests that make them fail. */
  files?: Files;
}

export interface TransferEngine {
  /**
   * Fetches and verifies one asset. Resumes what the directory holds; a repeat after success verifies and returns the same
   * file. The cheapest digest that the source announces is computed and compared, others when asked for. Memory is
   * bounded: see the README.
   *
   * Errors: SourceDenied, SourceGone, SourceRefused, SourceThrottled and SourceUnavailable (`retryAfterMs` where a long
   * wait was asked for), SourceChanged, ChecksumMismatch, ChecksumDisputed (`details.kept_as`), StorageFull,
   * StoreUnavailable, Interrupted (another transfer took the directory over), Cancelled, Internal (a fault of ours), what
   * the source translates an answer to, or the signal's reason where that is a ServiceError. After every one of them the
   * directory holds what is durable, and the next call goes on from there.
   */
  transfer: Transfer;
  /** Ends threads and idle connections. Transfers under way fail with Interrupted. */
  close: () => Promise<void>;
}

export function createTransferEngine(options: TransferEngineOptions = {}): TransferEngine {
  const pool = createHashPool(options.hashThreads ?? 2);
  const client = new HttpClient(options.proxyFor ?? (() => null));
  const tools = {
    pool,
    client,
    files: options.files ?? nodeFiles,
    backoff: options.backoff ?? DEFAULT_BACKOFF,
  };
  const running = new Map<AbortController, Promise<unknown>>();
  return {
    async transfer(source, transferOptions) {
      const closing = new AbortController();
      const signal = AbortSignal.any([transferOptions.signal, closing.signal]);
      const result = new Session(source, { ...transferOptions, signal }, tools).run();
      running.set(closing, result);
      return await result.finally(() => running.delete(closing));
    },
    async close() {
      const reason = new ServiceError('Interrupted', 'The transfer engine was closed');
      for (const closing of running.keys()) closing.abort(reason);
      await Promise.allSettled(running.values());
      client.close();
      await pool.close();
    },
  };
}
