/**
 * One transfer, from a directory to a verified file: fetches, proves, and fetches again until the file is whole and right
 * or there is a reason to stop. What is on disk is dropped only when it is known to belong to something else, and never
 * glued to bytes that were not proven to follow it.
 */
import { join } from 'node:path';
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import type { Checksum, ChecksumAlgorithm } from '../jobs/product.js';
import { tellsApart, toRetry } from './answer.js';
import { algorithmsToCompute, usableChecksums } from './checksums.js';
import { Concurrency } from './concurrency.js';
import {
  cancelledError,
  damaged,
  ObjectChanged,
  PartialLost,
  retry,
  Retry,
  stored,
  toStoreError,
} from './errors.js';
import { Fetcher } from './fetcher.js';
import type { Files } from './files.js';
import type { HashPool } from './hash-pool.js';
import type { HttpClient } from './http/client.js';
import { emptyState, Journal, spansOf, type JournalState } from './journal.js';
import { Lanes } from './lanes.js';
import { backoffMs, DEFAULT_LIMITS, MAX_REFETCHES, type Backoff } from './limits.js';
import { Owner } from './owner.js';
import { isUnfinished, openIfThere, prepareDirectory } from './part-file.js';
import { pause } from './pause.js';
import { Progress } from './progress.js';
import { Proof } from './proof.js';
import { createConnectionSlots, type ConnectionSlots } from './slots.js';
import { Spans } from './spans.js';
import type {
  TransferLimits,
  TransferNote,
  TransferOptions,
  TransferResult,
  TransferSource,
} from './transfer.js';
import { Workspace } from './workspace.js';

export interface SessionTools {
  pool: HashPool;
  files: Files;
  backoff: Backoff;
  client: HttpClient;
}

/** Verified bytes wait under this name for their caller to publish them; they are never written to again. */
const VERIFIED = 'verified';
/** Between two failures so much of the file, and no more than so many bytes, must come to be progress. */
const PROGRESS_SHARE = 0.01;
const PROGRESS_BYTES = 32 * 1024;
/** Times that another object is believed to have taken the place of the first. */
const MOST_CHANGES = 2;
/** Whoever waits longer than this before another try lets others use the connection. */
const LONG_WAIT_MS = 1_000;

export class Session {
  readonly #limits: TransferLimits;
  readonly #algorithms: ChecksumAlgorithm[];
  readonly #progress: Progress;
  readonly #fetcher: Fetcher;
  readonly #proof: Proof;
  readonly #slots: ConnectionSlots;
  readonly #concurrency: Concurrency;
  #opened: Workspace | null = null;
  #attempt = 0;
  #failures = 0;
  /** The last failure was a link that had expired, and cost no try. */
  #wasRenewal = false;
  /** By what they say; those since the last progress, as they are in `#failures`. */
  readonly #failuresByKind = new Map<string, number>();
  /** Most bytes ever on disk in this call: beyond it lies progress. */
  #highWater = 0;
  #changes = 0;
  /** Times that the disk did not give back what was written. */
  #damages = 0;
  /** A failure was looked at, and nothing will mend it. */
  #isOver = false;

  constructor(
    readonly source: TransferSource,
    readonly options: TransferOptions,
    readonly tools: SessionTools,
  ) {
    const limits = (this.#limits = { ...DEFAULT_LIMITS, ...options.limits });
    const announced = usableChecksums(source.checksums);
    this.#algorithms = algorithmsToCompute(announced, options.digests);
    const computed = announced.filter(({ algorithm }) => this.#algorithms.includes(algorithm));
    this.#progress = new Progress(options.onProgress);
    this.#slots = options.slots ?? createConnectionSlots(1);
    const most = Math.min(this.#slots.limit, source.connections ?? Infinity);
    this.#concurrency = new Concurrency(most, limits.blockBytes);
    this.#fetcher = new Fetcher({
      source,
      client: tools.client,
      hasDigests: computed.length > 0,
      limits,
      bandwidth: options.bandwidth,
      note: (note) => this.#note(note),
    });
    this.#proof = new Proof(source, computed, this.#fetcher, options.signal);
  }

  async run(): Promise<TransferResult> {
    const { signal } = this.options;
    try {
      if (signal.aborted) throw cancelledError(signal);
      const kept = await this.#open().catch(async (error: unknown) => {
        // Whoever was done with the directory has just removed it.
        if (!isServiceError(error) || error.details['errno'] !== 'ENOENT') throw error;
        await this.#close();
        return await this.#open();
      });
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
    const isNew = await prepareDirectory(directory);
    const owner = await Owner.take(files, directory, isNew);
    try {
      const { key, slice, checksums } = this.source;
      const identity = JSON.stringify([key, slice ?? null, inOrder(usableChecksums(checksums))]);
      const state = isNew ? emptyState(identity) : await Journal.load(files, directory, identity);
      const names = isNew ? [] : await stored(files.list(directory));
      const kept = names.includes(VERIFIED) ? await this.#proveKept(state) : null;
      if (kept) {
        await owner.assertOwned();
        for (const leftover of names.filter(isUnfinished))
          await stored(files.remove(join(directory, leftover)));
        await owner.release(true);
      } else await this.#openWorkspace(owner, state, names);
      return kept;
    } catch (error) {
      await owner.release().catch(() => undefined);
      throw error;
    }
  }

  async #openWorkspace(owner: Owner, state: JournalState, names: readonly string[]): Promise<void> {
    this.#opened = await Workspace.open(
      {
        ...this.tools,
        directory: this.options.directory,
        algorithms: this.#algorithms,
        signal: this.options.signal,
        onWritten: (bytes) => this.#tellProgress(bytes),
      },
      owner,
      state,
      names,
    );
    // What came without a validator, or in spite of it, is not dropped for one: the digest decides.
    const { facts, have } = this.#opened;
    if (this.#proof.hasDigests && have > 0 && facts !== null && !tellsApart(facts))
      this.#fetcher.trust.believesValidators = false;
    await this.#doubtTheWhole();
    this.#highWater = this.#work.ledger.bytes;
    if (this.#highWater > 0) this.#tellProgress(this.#highWater);
  }

  /**
   * Whoever wrote the last byte may have ended before the answer that brought it did, and that may have been a lie. Where no
   * digest would tell, the end is asked for once more.
   */
  async #doubtTheWhole(): Promise<void> {
    const work = this.#work;
    const total = this.#fetcher.total(work);
    if (this.#proof.hasDigests || !total || work.have < total) return;
    work.ledger.doubt(await work.forget(total - 1, total));
  }

  #tellProgress(bytes: number): void {
    this.#progress.update(bytes, this.#fetcher.total(this.#work) ?? this.source.expectedBytes);
  }

  /**
   * An earlier call may have verified the file, and its caller died before it was published. What neither a digest nor the
   * journal proves is not believed.
   */
  async #proveKept({ source, blocks }: JournalState): Promise<TransferResult | null> {
    const path = join(this.options.directory, VERIFIED);
    const file = await openIfThere(this.tools.files, path);
    if (!file) return null;
    try {
      const { size } = await stored(file.stat());
      const isAll = this.source.slice !== undefined || (source?.total ?? size) === size;
      const isRecorded =
        source !== null && isAll && size > 0 && new Spans(spansOf(blocks)).prefix === size;
      if (isRecorded || this.#proof.hasDigests) {
        const hash = this.tools.pool.follow({
          fd: file.fd,
          algorithms: this.#algorithms,
          written: isRecorded ? blocks : [],
        });
        hash.advance(size);
        const digests = await hash.digests(size, this.options.signal).finally(() => hash.cancel());
        const { verdict, facts } = await this.#proof.judge(file, size, digests, source);
        if (verdict.kind === 'verified' && hash.damaged.length === 0)
          return { ...facts, path, checksum: verdict.checksum };
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
    for (;;) {
      try {
        if (!this.#fetcher.isWhole(this.#work)) await this.#fetch();
        if (!this.#fetcher.isWhole(this.#work)) continue;
        if (!this.#fetcher.trust.isEndInDoubt) return await this.#verify();
        this.#fetcher.trust.isEndInDoubt = false;
        await this.#doubtTheWhole();
      } catch (error) {
        if (this.#isOver) throw error;
        if (error instanceof ObjectChanged) await this.#drop(error.message);
        else await this.#waitOrThrow(error);
      }
    }
  }

  /** Until nothing is missing. Should it end otherwise, what has come is safe from a power cut afterwards. */
  async #fetch(): Promise<void> {
    const work = this.#work;
    const lanes = new Lanes({
      work,
      fetcher: this.#fetcher,
      concurrency: this.#concurrency,
      slots: this.#slots,
      blockBytes: this.#limits.blockBytes,
      signal: this.options.signal,
      onFailure: (error, letGo) => this.#waitOrThrow(error, letGo),
    });
    try {
      await lanes.run();
    } catch (error) {
      if (!(error instanceof PartialLost)) await work.writer.flush().catch(() => undefined);
      throw error;
    }
  }

  /** A byte more each time is none: nobody would live to see the end. */
  #madeProgress(): boolean {
    const { bytes } = this.#work.ledger;
    const total = this.#fetcher.total(this.#work) ?? this.source.expectedBytes ?? 0;
    const least = Math.max(1, Math.min(PROGRESS_BYTES, total * PROGRESS_SHARE));
    const isMore = bytes >= this.#highWater + least;
    if (isMore) this.#highWater = bytes;
    return isMore;
  }

  /** Waits before another try; rethrows what trying again cannot mend, or has not. */
  async #waitOrThrow(error: unknown, letGo?: () => void): Promise<void> {
    this.#isOver = true;
    const again = await this.#toRetry(error);
    const isFree = again.options.isRenewal === true && !this.#wasRenewal;
    this.#wasRenewal = isFree;
    if (isFree) return this.#goOn(again);
    const isProgress = this.#madeProgress();
    this.#failures = isProgress ? 1 : this.#failures + 1;
    if (isProgress) this.#failuresByKind.clear();
    const ofThisKind = (this.#failuresByKind.get(again.message) ?? 0) + 1;
    this.#failuresByKind.set(again.message, ofThisKind);
    if (this.#failures >= this.#limits.triesWithoutProgress) throw again;
    if (ofThisKind >= (again.options.tries ?? Infinity)) throw again;
    this.#goOn(again);
    const waitMs = again.options.waitMs ?? backoffMs(this.#failures, this.tools.backoff);
    if (waitMs >= LONG_WAIT_MS) letGo?.();
    await pause(waitMs, this.options.signal);
  }

  #goOn({ message: reason }: Retry): void {
    this.#isOver = false;
    this.#note({ type: 'retried', reason, offset: this.#work.ledger.bytes, attempt: 0 });
  }

  async #toRetry(error: unknown): Promise<Retry> {
    const { signal } = this.options;
    if (signal.aborted) throw cancelledError(signal);
    if (error instanceof PartialLost) {
      await this.#close();
      await this.#open();
      return retry('StoreUnavailable', error.message, { waitMs: 0 });
    }
    return toRetry(error);
  }

  /** The object is another one now: once that is taken as an accident. */
  async #drop(why: string): Promise<void> {
    const { trust } = this.#fetcher;
    const keepsChanging = ++this.#changes > MOST_CHANGES;
    const { hasDigests } = this.#proof;
    if (keepsChanging && (hasDigests ? !trust.believesValidators : trust.asksForWhole))
      throw new ServiceError('SourceChanged', `The product keeps changing: ${why}`);
    const work = this.#work;
    const dropped = work.ledger.bytes;
    await work.forgetAll();
    this.#highWater = 0;
    await work.learn({ total: null, etag: null, lastModified: null, disposition: null });
    trust.startAnew();
    if (keepsChanging && hasDigests) trust.believesValidators = false;
    // One answer is of one object.
    else if (keepsChanging) trust.giveUpRanges();
    this.#note({
      type: 'retried',
      reason: `The product changed: ${why}; the ${dropped} bytes of the old one are dropped`,
      offset: 0,
      attempt: 0,
    });
  }

  async #verify(): Promise<TransferResult> {
    const work = this.#work;
    const digests = await this.#digestsOfAll(work);
    const { bytes } = work.ledger;
    const { checksum, facts } = await this.#proof.of(work, digests).catch((error: unknown) => {
      // What it has forgotten and comes again is progress.
      if (work.ledger.bytes < bytes) this.#highWater = work.ledger.bytes;
      throw error;
    });
    // A name that the server gave is nowhere else, should the file be proven again.
    if (work.facts?.disposition != null) await work.journal.begin();
    const path = await work.rename(VERIFIED);
    this.#progress.update(facts.bytes, facts.bytes);
    return { ...facts, path, checksum };
  }

  /** Once the file is as long as it should be, and forced to the disk. */
  async #digestsOfAll(work: Workspace): Promise<Checksum[]> {
    const { part, have: bytes } = work;
    if (bytes === 0 && !this.#proof.hasDigests && this.source.expectedBytes !== 0) {
      work.hasEnded = false;
      throw retry('SourceUnavailable', 'The server sent an empty file');
    }
    await part.cut(bytes);
    await (this.#proof.hasDigests ? work.writer.sync() : work.writer.flush());
    const digests = await work.hash.digests(bytes, this.options.signal);
    const { size } = await stored(part.file.stat());
    if (size !== bytes) throw new PartialLost('The length of the partial file was changed');
    if (work.hash.damaged.length === 0) return digests;
    await work.forgetDamaged(this.#fetcher.trust.isUnpinned(work.facts));
    this.#highWater = work.ledger.bytes;
    const again = damaged();
    throw ++this.#damages > MAX_REFETCHES ? again.error : again;
  }

  #note(note: TransferNote): void {
    if (note.type === 'retried') this.#attempt++;
    this.options.onNote?.(note.type === 'retried' ? { ...note, attempt: this.#attempt } : note);
  }
}

/** A catalogue may list the same digests in another order. */
function inOrder(checksums: Checksum[]): Checksum[] {
  return checksums.toSorted((one, other) => (one.algorithm < other.algorithm ? -1 : 1));
}
