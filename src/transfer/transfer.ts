/**
 * The contract of the transfer engine: one asset's bytes from a source into a directory, verified.
 * Knows nothing of Temporal, the mirror or providers.
 */
import type { Checksum, ChecksumAlgorithm, VerificationLevel } from '../jobs/product.js';
import type { Bandwidth } from './bandwidth.js';
import type { ConnectionSlots } from './slots.js';

export interface TransferSource {
  /** Names the asset for ever (provider, product, asset): pins journal and partial. */
  key: string;
  url: string;
  /** Called before each request, so that a token can be renewed in the middle of a file. Sent only to `trustedHosts`. */
  headers: (signal: AbortSignal) => Promise<Record<string, string>>;
  /** Called when an answer was 401: forget the token that was in `headers`. */
  rejected: (headers: Record<string, string>) => void;
  /** `host` or `host:port` to which `headers` may go, the first url's included. A redirect anywhere else goes without them. */
  trustedHosts: string[];
  /** `host:port` for which plain http is allowed because the operator configured it so. A redirect from https to http is always refused. */
  plainHttpHosts: string[];
  /** As the catalogue announces it; a hint for progress, and the proof of completeness only where nothing better is known. */
  expectedBytes: number | null;
  checksums: Checksum[];
  /** Only these bytes of what the URL serves: a member of a remote archive. `expectedBytes` and digests speak of them. */
  slice?: { start: number; bytes: number };
  /** Most connections that this source allows for one file; 1 = one answer after another. Default: what the slots allow. */
  connections?: number;
  /** Fallback for the file's name when the server gives none. */
  fallbackName: string;
  /** Translates an error answer (status, headers, at most 64 KiB of body) into a ServiceError; null = the engine's own reading of the status. */
  translate: (answer: {
    status: number;
    headers: Record<string, string>;
    body: string;
  }) => Error | null;
}

export interface TransferLimits {
  connectMs: number;
  /** Request sent → headers complete. */
  headersMs: number;
  /** Longest silence inside a body; twice as long after each silence without a new byte, up to eight times. */
  idleMs: number;
  /** Slower than this for `floorMs` is a stall. */
  floorBytesPerSecond: number;
  floorMs: number;
  /** At most this much, over all connections, is under way at a time: what an interruption may cost. */
  blockBytes: number;
  /** Failures without progress between them, which is a hundredth of the file or 32 KiB, before giving up with the last one. */
  triesWithoutProgress: number;
}

export type TransferNote =
  | { type: 'retried'; reason: string; offset: number; attempt: number }
  | { type: 'resumed'; offset: number; bytes_total: number | null };

export interface TransferOptions {
  /** Owned by this asset alone; created when missing. Holds the partial file and its journal. */
  directory: string;
  signal: AbortSignal;
  /** Digests to compute besides the one that is verified; those that are announced are compared too. */
  digests?: ChecksumAlgorithm[];
  /** The account's connections, shared by its transfers. Default: one connection. */
  slots?: ConnectionSlots;
  bandwidth?: Bandwidth;
  limits?: Partial<TransferLimits>;
  /** Bytes on disk so far; called at most a few times a second. */
  onProgress?: (progress: {
    bytes: number;
    bytesTotal: number | null;
    bytesPerSecond: number;
  }) => void;
  onNote?: (note: TransferNote) => void;
}

/** A verified file that still has its partial name: publishing it is the caller's next step. */
export interface TransferResult {
  /** Absolute path of the verified bytes inside `directory`, flushed to disk. */
  path: string;
  bytes: number;
  checksum: Checksum & { level: VerificationLevel };
  digests: Checksum[];
  /** From Content-Disposition, sanitised, else the fallback. */
  fileName: string;
  /** By first bytes, not by what the server says. */
  mediaType: string;
  /** Bytes received over the wire by this call, repeats included. */
  bytesFetched: number;
  /** Offset from which this call went on; 0 = from the start. */
  resumedFrom: number;
}

export type Transfer = (
  source: TransferSource,
  options: TransferOptions,
) => Promise<TransferResult>;
