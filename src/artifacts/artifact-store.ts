/**
 * Where files end up. A file under its final name is complete and verified; nothing else ever is. Paths are relative,
 * with forward slashes. Besides artifacts the store keeps small JSON records (search pages, plans, stories) under
 * `.nimbus/`, so that lists of products travel by reference. Adapters: local/, and s3/ for an S3-compatible bucket.
 *
 * Errors: StorageFull, StoreUnavailable, NotFound, Conflict (path taken by other bytes), InvalidInput (path outside).
 */
import type { Readable } from 'node:stream';
import type { Artifact } from '../jobs/product.js';
import type { TransferResult } from '../transfer/transfer.js';

/** What the store remembers of a product it holds. */
export interface HeldProduct {
  provider: string;
  product_id: string;
  artifacts: Artifact[];
  stored_at: string;
  /** The run of the download that stored it: a repeat of the same run recognises its own work. */
  stored_by: string;
}

export interface StoredFile {
  bytes: number;
  /**
   * Bytes [start, end), by default all; the stream holds nothing before it is read, and lets go when it is destroyed. It
   * fails with a ServiceError, rather than go on with other bytes, where a bucket's file is replaced meanwhile.
   */
  read(range?: { start: number; end: number }): Readable;
}

export interface PublishOptions {
  replace?: boolean;
  /** Ends the call within moments; what has been sent is kept for a repeat. */
  signal?: AbortSignal;
}

export interface ArtifactStore {
  /**
   * Creates what is missing; refuses a root that is a symlink or cannot be written, and a bucket that does not exist, may
   * not be written or cannot keep these promises. A bucket out of reach is no reason to refuse: it may come back.
   */
  prepare(): Promise<void>;
  /** Resolves when final files can be reached just now. */
  ping(): Promise<void>;
  /** Absolute local directory for the unfinished bytes of this key; a local store has it on the file system of its final names. */
  partialDirectory(key: string): string;
  /**
   * Moves a verified transfer to its final name, durably, and removes the partial directory. Repeatable: the same bytes
   * already there is success. Other bytes there are a Conflict, unless `replace` puts the new ones in their place at once.
   */
  publish(
    transfer: TransferResult,
    finalPath: string,
    key: string,
    options?: PublishOptions,
  ): Promise<Artifact>;
  /** Drops the partial directory of this key. Harmless when there is none. */
  discard(key: string): Promise<void>;

  getHeld(provider: string, productId: string): Promise<HeldProduct | null>;
  putHeld(held: HeldProduct): Promise<void>;
  /** `size` compares lengths, `digest` reads every byte. */
  isIntact(artifact: Artifact, how: 'size' | 'digest', signal: AbortSignal): Promise<boolean>;

  /** Atomic and durable; a repeat replaces. */
  putRecord(path: string, value: unknown): Promise<void>;
  /** NotFound if there is none. Callers parse what comes back. */
  getRecord(path: string): Promise<unknown>;
  /** Paths of records below a folder, sorted; '' = all of them. Empty when there is no such folder. */
  listRecords(prefix: string): Promise<string[]>;
  /** A small public file such as a manifest: atomic, durable, under its final name. */
  putFile(
    path: string,
    content: string,
    mediaType: string,
  ): Promise<{ bytes: number; sha256: string }>;

  /** A final file, or NotFound. Refuses anything outside the root, hidden, or a symlink. */
  open(path: string): Promise<StoredFile>;
  /** What people are told a final file is: its path, or in a bucket its `s3://` address. */
  addressOf(path: string): string;
  /** The path that a path or an address of this store names; null for an address elsewhere. Does not look whether it is there. */
  pathOf(address: string): string | null;
  /** Room for unfinished bytes. */
  freeBytes(): Promise<number>;
  /**
   * Promises room for a transfer into `directory` (as `partialDirectory` names it) before its first byte, less what lies
   * there already; null = size unknown, which promises nothing and wants only the margin free. Holds between transfers and
   * processes on one disk, through crashes, until the directory goes or what it resolves with is called; a repeat replaces.
   *
   * @throws StorageFull with `details` {needed_bytes, free_bytes, reserved_bytes, margin_bytes}
   */
  reserve(directory: string, bytes: number | null): Promise<() => Promise<void>>;
  /**
   * Removes unfinished bytes untouched for `olderThanMs` that `isOwned` (given what `partialDirectory` names) does not
   * claim: partial directories, temporary files, multipart uploads.
   */
  sweep(
    olderThanMs: number,
    isOwned: (directory: string) => boolean | Promise<boolean>,
  ): Promise<{ removed: number; bytes: number }>;
}
