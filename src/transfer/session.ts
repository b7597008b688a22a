/**
 * One transfer, from a directory to a verified file: fetches, proves, and fetches again until the file is whole and right
 * or there is a reason to stop. What is on disk is dropped only when it is known to belong to something else, and never
 * glued to bytes that were not proven to follow it.
 */
import { join } from 'node:path';
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import type { Checksum, ChecksumAlgorithm } from '../jobs/product.js';
import { afterWait } from './answer.js';
import { algorithmsToCompute, usableChecksums } from './checksums.js';
import { cancelledError, PartialLost, retry, Retry, stored, toStoreError } from './errors.js';
import { Fetcher } from './fetcher.js';
import { dispositionName, sanitiseFileName } from './file-name.js';
import type { FileHandleLike, Files } from './files.js';
import type { HashJob, HashPool } from './hash-pool.js';
import { durablePrefix, Journal, type JournalState, type SourceFacts } from './journal.js';
import { backoffMs, DEFAULT_LIMITS, MAX_REFETCHES, type Backoff } from './limits.js';
import { mediaTypeOf } from './media-type.js';
import { areEqualCopies, toMismatch } from './mismatch.js';
import { Owner } from './owner.js';
import { openIfThere, prepareDirectory } from './part-file.js';
import { pause } from './pause.js';
import { Progress } from './progress.js';
import type {
  TransferLimits,
  TransferNote,
  TransferOptions,
  TransferResult,
  TransferSource,
} from './transfer.js';
import { judge, type Verdict } from './verify.js';
import { follow, Workspace } from './workspace.js';

export interface SessionTools {
  pool: HashPool;
  files: Files;
  backoff: Backoff;
}

/** Verified bytes wait under this name for their caller to publish them; they are never written to again. */
const VERIFIED = 'verified';

export class Session {
  readonly #limits: TransferLimits;
  readonly #announced: Checksum[];
  readonly #algorithms: ChecksumAlgorithm[];
  readonly #progress: Progress;
  readonly #fetcher: Fetcher;
  #opened: Workspace | null = null;
  #attempt = 0;
  /** Most bytes ever on disk in this call: beyond it lies progress. */
  #highWater = 0;
  #mismatches = 0;

  constructor(
    readonly source: TransferSource,
    readonly options: TransferOptions,
    readonly tools: SessionTools,
  ) {
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#announced = usableChecksums(source.checksums);
    this.#algorithms = algorithmsToCompute(this.#announced, options.digests);
    this.#progress = new Progress(options.onProgress);
    this.#fetcher = new Fetcher({
      source,
      hasDigests: this.#announced.length > 0,
      limits: this.#limits,
      signal: options.signal,
      note: (note) => this.#note(note),
      onDropped: () => (this.#highWater = 0),
    });
  }

  async run(): Promise<TransferResult> {
    const { signal } = this.options;
    try {
      if (signal.aborted) throw cancelledError(signal);
      const kept = await this.#open();
      return kept ?? (await this.#untilVerified());
    } catch (error) {
      if (signal.aborted) throw cancelledError(signal);
      throw error instanceof Retry ? error.error : toStoreError(error);
    } finally {
      await this.#close();
    }
  }

  get #work(): Workspace {
    if (!this.#opened) throw new ServiceError('Internal', 'The directory is not open');
    return this.#opened;
  }

  // ---- the directory

  /** Takes the directory over. Returns the result where an earlier call has got that far already. */
  async #open(): Promise<TransferResult | null> {
    const { directory } = this.options;
    const { files } = this.tools;
    await prepareDirectory(directory);
    const owner = await Owner.take(files, directory);
    try {
      const identity = JSON.stringify([this.source.key, this.#announced]);
      const state = await Journal.load(files, directory, identity);
      const kept = await this.#proveKept(state);
      if (kept) await owner.release();
      else await this.#openWorkspace(owner, state);
      return kept;
    } catch (error) {
      await owner.release().catch(() => undefined);
      throw error;
    }
  }

  async #openWorkspace(owner: Owner, state: JournalState): Promise<void> {
    this.#opened = await Workspace.open(
      {
        ...this.tools,
        directory: this.options.directory,
        algorithms: this.#algorithms,
        blockBytes: this.#limits.blockBytes,
        hooks: {
          onDurable: (durable) => this.#tellProgress(durable),
          inspect: (first) => this.#fetcher.inspect(first, this.#work.total),
          onDifference: (at) => this.#fetcher.onDifference(this.#work, at),
        },
      },
      owner,
      state,
    );
    this.#highWater = this.#work.have;
    if (this.#work.have > 0) this.#tellProgress(this.#work.have);
  }

  #tellProgress(durable: number): void {
    this.#progress.update(durable, this.#work.total ?? this.source.expectedBytes);
  }

  /** An earlier call may have verified the file, and its caller died before it was published. */
  async #proveKept({ source, blocks }: JournalState): Promise<TransferResult | null> {
    const path = join(this.options.directory, VERIFIED);
    const file = await openIfThere(this.tools.files, path);
    if (!file) return null;
    try {
      const { size } = await stored(file.stat());
      if (source && durablePrefix(blocks) === size) {
        const hash = follow({ ...this.tools, algorithms: this.#algorithms }, file, []);
        hash.advance(size);
        const proof = await this.#prove(file, size, hash, source).finally(() => hash.cancel());
        if (proof.verdict.kind === 'verified')
          return { ...proof.facts, path, checksum: proof.verdict.checksum };
      }
      await stored(this.tools.files.remove(path));
      return null;
    } finally {
      await file.close();
    }
  }

  async #close(): Promise<void> {
    const work = this.#opened;
    this.#opened = null;
    await work?.close();
  }

  // ---- the loop

  async #untilVerified(): Promise<TransferResult> {
    let failures = 0;
    for (;;) {
      try {
        if (!this.#work.isWhole) await this.#fetcher.fetchOnce(this.#work);
        if (this.#work.isWhole) return await this.#verify();
        if (!this.#madeProgress())
          throw retry('SourceUnavailable', 'The answer brought nothing new');
        failures = 0;
      } catch (error) {
        const again = await this.#toRetry(error);
        failures = this.#madeProgress() ? 1 : failures + 1;
        if (failures >= (again.options.tries ?? this.#limits.triesWithoutProgress)) throw again;
        this.#note({
          type: 'retried',
          reason: again.message,
          offset: this.#work.have,
          attempt: 0,
        });
        const waitMs = again.options.waitMs ?? backoffMs(failures, this.tools.backoff);
        await pause(waitMs, this.options.signal);
      }
    }
  }

  #madeProgress(): boolean {
    const { have } = this.#work;
    const isMore = have > this.#highWater;
    this.#highWater = Math.max(have, this.#highWater);
    return isMore;
  }

  /** Rethrows what trying again cannot mend. */
  async #toRetry(error: unknown): Promise<Retry> {
    const { signal } = this.options;
    if (signal.aborted) throw cancelledError(signal);
    if (error instanceof Retry) return error;
    if (error instanceof PartialLost) {
      await this.#close();
      await this.#open();
      return retry('StoreUnavailable', error.message, { waitMs: 0 });
    }
    if (isServiceError(error) && error.code === 'SourceUnavailable') return new Retry(error);
    if (isServiceError(error) && error.code === 'SourceThrottled') {
      const after = afterWait(error, error.retryAfterMs !== undefined);
      if (after instanceof Retry) return after;
    }
    throw error;
  }

  #note(note: TransferNote): void {
    if (note.type === 'retried') this.#attempt++;
    this.options.onNote?.(note.type === 'retried' ? { ...note, attempt: this.#attempt } : note);
  }

  // ---- the whole file

  async #verify(): Promise<TransferResult> {
    const work = this.#work;
    const { part, hash, have: bytes } = work;
    await stored(part.file.truncate(bytes));
    const { verdict, facts } = await this.#prove(part.file, bytes, hash, work.facts);
    if (hash.damagedFrom !== null) {
      await work.rollback(hash.damagedFrom, false);
      throw retry('StoreUnavailable', 'The disk gave back other bytes than were written');
    }
    const isDoubtful = this.#fetcher.wasOverrun && this.#announced.length === 0;
    if (verdict.kind !== 'verified' || isDoubtful)
      return await this.#reject(verdict, bytes, facts.digests);
    const path = await work.rename(VERIFIED);
    this.#progress.update(bytes, bytes);
    return { ...facts, path, checksum: verdict.checksum };
  }

  async #prove(file: FileHandleLike, bytes: number, hash: HashJob, known: SourceFacts | null) {
    const digests = await hash.digests(this.options.signal);
    const mediaType = mediaTypeOf(await firstBytes(file));
    const { expectedBytes, fallbackName } = this.source;
    const verdict = await judge({
      file,
      bytes,
      mediaType,
      digests,
      announced: this.#announced,
      expectedBytes,
      isTotalKnown: (known?.total ?? null) !== null,
    });
    const facts = {
      bytes,
      digests,
      mediaType,
      fileName: sanitiseFileName(dispositionName(known?.disposition) ?? fallbackName, fallbackName),
      bytesFetched: this.#fetcher.fetchedBytes,
      resumedFrom: this.#fetcher.resumedFrom ?? bytes,
    };
    return { verdict, facts };
  }

  /** A whole copy that is not good enough: always throws. */
  async #reject(verdict: Verdict, bytes: number, digests: Checksum[]): Promise<never> {
    if (this.#fetcher.wasOverrun) {
      this.#fetcher.wasOverrun = false;
      await this.#work.rollback(0, false);
      throw retry('SourceRefused', 'The server sends more bytes than it announced', { tries: 3 });
    }
    if (verdict.kind === 'verified') throw new ServiceError('Internal', 'A good copy was rejected');
    if (verdict.kind === 'mismatch') return await this.#onMismatch(verdict.error, bytes, digests);
    const isShort = verdict.kind === 'incomplete';
    await this.#work.rollback(isShort ? bytes : 0, isShort);
    throw new Retry(verdict.error, isShort ? {} : { tries: 2 });
  }

  /** Two equal copies contradict the announced digest: then it is not for us to say which is wrong. */
  async #onMismatch(error: ServiceError, bytes: number, digests: Checksum[]): Promise<never> {
    const work = this.#work;
    const { mismatches } = work.journal.state;
    const found = toMismatch(bytes, digests);
    if (mismatches.some((earlier) => areEqualCopies(earlier, found))) {
      const name = `disputed-${mismatches.length}`;
      await work.rename(name);
      const details = { ...error.details, kept_as: name };
      throw new ServiceError('ChecksumDisputed', error.message, { details });
    }
    await work.journal.addMismatch(this.tools.files, found);
    await work.rollback(0, false);
    this.#highWater = 0;
    if (++this.#mismatches > MAX_REFETCHES) throw error;
    throw new Retry(error);
  }
}

async function firstBytes(file: FileHandleLike): Promise<Buffer> {
  const memory = Buffer.alloc(512);
  const { bytesRead } = await stored(file.read(memory, 0, memory.length, 0));
  return memory.subarray(0, bytesRead);
}
