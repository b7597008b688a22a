/**
 * One transfer, from an owned directory to a verified file: asks, writes, proves, and asks again until the file is whole
 * or there is a reason to stop. What is on disk is dropped only when it is known to belong to something else, and never
 * glued to bytes that were not proven to follow it.
 */
import { join } from 'node:path';
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import type { Checksum } from '../jobs/product.js';
import { afterWait, pinnedBy, readDataAnswer, readErrorAnswer, type Reading } from './answer.js';
import { BlockWriter } from './block-writer.js';
import { algorithmsToCompute, usableChecksums } from './checksums.js';
import { cancelledError, PartialLost, retry, Retry, stored, toStoreError } from './errors.js';
import { dispositionName, sanitiseFileName } from './file-name.js';
import type { FileHandleLike, Files } from './files.js';
import type { HashJob, HashPool } from './hash-pool.js';
import type { Framing } from './http/headers.js';
import { open, type Opened } from './http/open.js';
import {
  durablePrefix,
  Journal,
  type Block,
  type JournalState,
  type Mismatch,
  type SourceFacts,
} from './journal.js';
import {
  backoffMs,
  DEFAULT_LIMITS,
  MAX_ERROR_BODY_BYTES,
  MAX_REFETCHES,
  type Backoff,
} from './limits.js';
import { isPageLike, mediaTypeOf } from './media-type.js';
import { Owner } from './owner.js';
import {
  assertStillThere,
  openIfThere,
  openPart,
  prepareDirectory,
  type PartFile,
} from './part-file.js';
import { Progress } from './progress.js';
import type {
  TransferLimits,
  TransferOptions,
  TransferResult,
  TransferSource,
} from './transfer.js';
import { judge, type Verdict } from './verify.js';

export interface SessionTools {
  pool: HashPool;
  files: Files;
  backoff: Backoff;
}

/** Fetched again without a validator, the bytes before the end must repeat themselves over this share of a block. */
const OVERLAP_SHARE = 1 / 4;
/** Times that served bytes may differ from those on disk before the source counts as unstable. */
const MAX_DIFFERENCES = 3;

/** What is open while a directory is worked in. */
interface Workspace {
  owner: Owner;
  part: PartFile;
  journal: Journal;
  writer: BlockWriter;
  hash: HashJob;
}

export class Session {
  readonly #limits: TransferLimits;
  readonly #announced: Checksum[];
  readonly #progress: Progress;
  #workspace: Workspace | null = null;
  #fetched = 0;
  #resumedFrom: number | null = null;
  #attempt = 0;
  /** Most bytes ever on disk in this call: beyond it lies progress. */
  #highWater = 0;
  /** The stream ended by itself, and nobody had said how long it is. */
  #hasEnded = false;
  #wasOverrun = false;
  #wasDenied = false;
  /** The present answer calls itself HTML. */
  #saysHtml = false;
  #changes = 0;
  #differences = 0;
  #mismatches = 0;

  constructor(
    readonly source: TransferSource,
    readonly options: TransferOptions,
    readonly tools: SessionTools,
  ) {
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#announced = usableChecksums(source.checksums);
    this.#progress = new Progress(options.onProgress);
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
    if (!this.#workspace) throw new ServiceError('Internal', 'The directory is not open');
    return this.#workspace;
  }

  // ---- the directory

  /** Takes the directory over. Returns the result where an earlier call has got that far already. */
  async #open(): Promise<TransferResult | null> {
    const { directory } = this.options;
    const { files } = this.tools;
    await prepareDirectory(directory);
    const owner = await Owner.take(files, directory);
    try {
      const state = await Journal.load(files, directory, this.#identity());
      const kept = await this.#proveKept(state);
      if (kept) await owner.release();
      else await this.#openWorkspace(owner, state);
      return kept;
    } catch (error) {
      if (!this.#workspace) await owner.release().catch(() => undefined);
      throw error;
    }
  }

  async #openWorkspace(owner: Owner, state: JournalState): Promise<void> {
    const { directory } = this.options;
    const { files } = this.tools;
    const part = await openPart(files, directory, owner);
    try {
      state.blocks = state.blocks.filter((block) => block.offset + block.length <= part.size);
      const journal = await Journal.start(files, directory, state);
      const hash = this.#follow(part.file, journal.state.blocks);
      const writer = this.#createWriter(owner, part, journal);
      this.#workspace = { owner, part, journal, writer, hash };
      hash.advance(writer.have);
    } catch (error) {
      await part.file.close();
      throw error;
    }
    this.#highWater = this.#work.writer.have;
    this.#hasEnded = false;
  }

  /** An earlier call may have verified the file, and its caller died before it was published. */
  async #proveKept({ source, blocks }: JournalState): Promise<TransferResult | null> {
    const { files } = this.tools;
    const file = await openIfThere(files, this.#verifiedPath());
    if (!file) return null;
    try {
      const { size } = await stored(file.stat());
      if (source && durablePrefix(blocks) === size) {
        const hash = this.#follow(file, []);
        hash.advance(size);
        const { verdict, digests, mediaType } = await this.#judge(
          file,
          size,
          hash,
          source.total !== null,
        ).finally(() => hash.cancel());
        if (verdict.kind === 'verified')
          return this.#result(verdict.checksum, size, digests, mediaType, source);
      }
      await stored(files.remove(this.#verifiedPath()));
      return null;
    } finally {
      await file.close();
    }
  }

  async #close(): Promise<void> {
    const work = this.#workspace;
    this.#workspace = null;
    if (!work) return;
    await work.hash.cancel();
    await work.journal.close().catch(() => undefined);
    await work.part.file.close().catch(() => undefined);
    await work.owner.release().catch(() => undefined);
  }

  #identity(): string {
    return JSON.stringify([this.source.key, this.#announced]);
  }

  #follow(file: FileHandleLike, written: readonly Block[]): HashJob {
    const algorithms = algorithmsToCompute(this.#announced, this.options.digests);
    const blocks = [...written].sort((a, b) => a.offset - b.offset);
    return this.tools.pool.follow(file.fd, algorithms, blocks);
  }

  #createWriter(owner: Owner, part: PartFile, journal: Journal): BlockWriter {
    return new BlockWriter(this.tools.files, part, journal, this.#limits.blockBytes, {
      onWritten: (have) => this.#workspace?.hash.advance(have),
      onDurable: (durable) => this.#progress.update(durable, this.#total()),
      inspect: (first) => this.#inspect(first),
      onDifference: (at) => this.#onDifference(at),
      assertOurs: async () => {
        await owner.assertOwned();
        await assertStillThere(part);
      },
    });
  }

  /** Forgets bytes at and behind `upTo`; what was hashed of them is hashed anew. */
  async #rollback(upTo: number, exact: boolean): Promise<void> {
    const { writer, hash, part, journal } = this.#work;
    await hash.cancel();
    await writer.rollback(upTo, exact);
    const next = this.#follow(part.file, journal.state.blocks);
    this.#work.hash = next;
    next.advance(writer.have);
    this.#hasEnded = false;
  }

  async #startOver(): Promise<void> {
    await this.#rollback(0, false);
    this.#wasOverrun = false;
  }

  // ---- the loop

  async #untilVerified(): Promise<TransferResult> {
    let failures = 0;
    for (;;) {
      try {
        if (!this.#isWhole()) await this.#fetchOnce();
        if (this.#isWhole()) return await this.#verify();
        if (this.#madeProgress()) failures = 0;
        else throw retry('SourceUnavailable', 'The answer brought nothing new');
      } catch (error) {
        const again = await this.#toRetry(error);
        failures = this.#madeProgress() ? 1 : failures + 1;
        if (failures >= (again.options.tries ?? this.#limits.triesWithoutProgress)) throw again;
        this.#note(again);
        await this.#pause(again.options.waitMs ?? backoffMs(failures, this.tools.backoff));
      }
    }
  }

  #madeProgress(): boolean {
    const { have } = this.#work.writer;
    const more = have > this.#highWater;
    this.#highWater = Math.max(have, this.#highWater);
    return more;
  }

  /** Rethrows what trying again cannot mend. */
  async #toRetry(error: unknown): Promise<Retry> {
    if (this.options.signal.aborted) throw cancelledError(this.options.signal);
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

  #note({ message }: Retry): void {
    this.#attempt++;
    const offset = this.#work.writer.have;
    this.options.onNote?.({ type: 'retried', reason: message, offset, attempt: this.#attempt });
  }

  async #pause(waitMs: number): Promise<void> {
    const { signal } = this.options;
    if (waitMs <= 0) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      signal.addEventListener('abort', done, { once: true });
    });
    if (signal.aborted) throw cancelledError(signal);
  }

  #total(): number | null {
    return this.#workspace?.journal.state.source?.total ?? this.source.expectedBytes;
  }

  #isWhole(): boolean {
    const { writer, journal } = this.#work;
    const total = journal.state.source?.total ?? null;
    return this.#hasEnded || (total !== null && writer.have === total);
  }

  // ---- one request

  async #fetchOnce(): Promise<void> {
    const { signal } = this.options;
    const facts = this.#work.journal.state.source;
    const from = this.#nextStart();
    const pin = from > 0 ? pinnedBy(facts) : null;
    const trustedHeaders = await this.source.headers(signal);
    const opened = await open({
      url: this.source.url,
      rules: this.source,
      headers: {
        accept: '*/*',
        'accept-encoding': 'identity',
        ...(from > 0 && { range: `bytes=${from}-` }),
        ...(pin !== null && { 'if-range': pin }),
      },
      trustedHeaders,
      limits: this.#limits,
      signal,
    });
    try {
      const { exchange } = opened;
      if (![200, 206, 416].includes(exchange.status) || (exchange.status === 416 && from === 0))
        await this.#refuse(opened, trustedHeaders);
      this.#wasDenied = false;
      const asked = { from, have: this.#work.writer.have, facts };
      const { status, headers, framing } = exchange;
      await this.#receive(opened, readDataAnswer(status, headers, framing, asked));
    } finally {
      opened.exchange.close();
    }
  }

  /** Where to go on: at the end of what is on disk when a validator pins it, else a little before. */
  #nextStart(): number {
    const { writer, journal } = this.#work;
    if (pinnedBy(journal.state.source) !== null) return writer.have;
    const overlap = Math.max(1, Math.floor(this.#limits.blockBytes * OVERLAP_SHARE));
    return Math.max(0, writer.have - overlap);
  }

  /** An answer without data: always throws. */
  async #refuse(opened: Opened, sent: Record<string, string>): Promise<never> {
    const { exchange, trusted } = opened;
    const { status, headers } = exchange;
    if (status === 401 && trusted && !this.#wasDenied) {
      this.#wasDenied = true;
      this.source.rejected(sent);
      throw retry('SourceDenied', 'The server no longer accepts the token', { waitMs: 0 });
    }
    const body = await exchange.text(MAX_ERROR_BODY_BYTES);
    const translated = this.source.translate({ status, headers: { ...headers }, body });
    throw translated ?? readErrorAnswer(status, headers);
  }

  async #receive({ exchange }: Opened, reading: Reading): Promise<void> {
    if (reading.kind === 'whole') return await this.#learnTotal(reading.total);
    if (reading.changed !== null) await this.#change(reading.changed);
    if (reading.kind === 'changed')
      throw retry('SourceChanged', `The product changed: ${reading.changed}`, { waitMs: 0 });
    const { writer, journal } = this.#work;
    await this.#learn(reading);
    this.#noteResumed();
    this.#saysHtml = /html/i.test(exchange.headers['content-type'] ?? '');
    writer.begin(reading.start, reading.end ?? journal.state.source?.total ?? Infinity);
    await this.#stream(exchange, writer);
    const total = journal.state.source?.total ?? null;
    if (total === null && reading.end === null) this.#hasEnded = true;
  }

  /** Runs the body into the writer; whatever came is on disk and in the journal afterwards, also when it was cut. */
  async #stream(exchange: Opened['exchange'], writer: BlockWriter): Promise<void> {
    let cut: unknown;
    const end = await exchange
      .body(writer, this.#isSuspicious(exchange.framing))
      .catch((error: unknown) => {
        cut = error;
        return null;
      });
    this.#fetched += exchange.received;
    this.#wasOverrun ||= end?.excess === true || writer.isOverrun;
    await writer.settle();
    if (cut !== undefined) throw cut as Error;
  }

  /** An announced length that contradicts the catalogue may be a lie: does more come? */
  #isSuspicious(framing: Framing): boolean {
    const { expectedBytes } = this.source;
    const total = this.#work.journal.state.source?.total;
    return framing.kind === 'length' && expectedBytes !== null && total !== expectedBytes;
  }

  /** Remembers what the server says of the object. */
  async #learn(reading: Reading & { kind: 'body' }): Promise<void> {
    const { journal } = this.#work;
    const before = journal.state.source;
    const facts = { ...reading.facts, total: reading.facts.total ?? before?.total ?? null };
    if (JSON.stringify(facts) !== JSON.stringify(before))
      await journal.setSource(this.tools.files, facts);
  }

  async #learnTotal(total: number | null): Promise<void> {
    this.#hasEnded = true;
    const { journal } = this.#work;
    const { source } = journal.state;
    if (source && total !== null) await journal.setSource(this.tools.files, { ...source, total });
  }

  #noteResumed(): void {
    if (this.#resumedFrom !== null) return;
    const offset = this.#work.writer.have;
    this.#resumedFrom = offset;
    if (offset > 0) this.options.onNote?.({ type: 'resumed', offset, bytes_total: this.#total() });
  }

  /** The object is another one now: once that is taken as an accident. */
  async #change(why: string): Promise<void> {
    if (++this.#changes > 1)
      throw new ServiceError('SourceChanged', `The product keeps changing: ${why}`);
    const { journal } = this.#work;
    const offset = this.#work.writer.have;
    await this.#startOver();
    this.#highWater = 0;
    await journal.setSource(this.tools.files, {
      total: null,
      etag: null,
      lastModified: null,
      disposition: null,
    });
    this.options.onNote?.({
      type: 'retried',
      reason: `The product changed: ${why}; the ${offset} bytes of the old one are dropped`,
      offset: 0,
      attempt: ++this.#attempt,
    });
  }

  /** First bytes of an answer that starts at 0: a page about the product is refused before anything is kept. */
  #inspect(first: Buffer): void {
    const type = mediaTypeOf(first);
    const total = this.#work.journal.state.source?.total ?? null;
    const { expectedBytes } = this.source;
    const contradicts = expectedBytes !== null && total !== null && total !== expectedBytes;
    const unproven = this.#announced.length === 0 && total !== expectedBytes;
    const isSmall = total === null || total <= MAX_ERROR_BODY_BYTES;
    if (
      type === 'text/html'
        ? contradicts || unproven || this.#saysHtml
        : contradicts && isSmall && isPageLike(type)
    )
      throw retry('SourceRefused', `The server sent a page (${type}) instead of the product`, {
        tries: 2,
      });
  }

  /** Served bytes differ from those on disk. A body that starts at 0 brings everything anew; another must be asked again. */
  async #onDifference(at: number): Promise<void> {
    const { writer } = this.#work;
    if (++this.#differences > MAX_DIFFERENCES)
      throw new ServiceError('SourceChanged', 'The server sends other bytes each time');
    if (writer.startsAtZero) {
      await this.#rollback(at, true);
      return;
    }
    const { blockBytes } = this.#limits;
    await this.#rollback(this.#differences > 1 ? 0 : Math.max(0, at - blockBytes), false);
    throw retry('SourceChanged', `The server does not repeat what is on disk at byte ${at}`);
  }

  // ---- the whole file

  async #verify(): Promise<TransferResult> {
    const { writer, part, journal, hash, owner } = this.#work;
    const bytes = writer.have;
    await stored(part.file.truncate(bytes));
    const { verdict, digests, mediaType } = await this.#judge(
      part.file,
      bytes,
      hash,
      (journal.state.source?.total ?? null) !== null,
    );
    if (hash.damagedFrom !== null) {
      await this.#rollback(hash.damagedFrom, false);
      throw retry('StoreUnavailable', 'The disk gave back other bytes than were written');
    }
    if (verdict.kind !== 'verified' || (this.#wasOverrun && this.#announced.length === 0))
      return await this.#reject(verdict, bytes, digests);
    await owner.assertOwned();
    await stored(this.tools.files.rename(part.path, this.#verifiedPath()));
    await stored(this.tools.files.syncDirectory(this.options.directory));
    this.#progress.update(bytes, bytes);
    return this.#result(verdict.checksum, bytes, digests, mediaType, journal.state.source);
  }

  async #judge(file: FileHandleLike, bytes: number, hash: HashJob, isTotalKnown: boolean) {
    const digests = await hash.digests(this.options.signal);
    const mediaType = mediaTypeOf(await firstBytes(file));
    const verdict = await judge({
      file,
      bytes,
      mediaType,
      digests,
      announced: this.#announced,
      expectedBytes: this.source.expectedBytes,
      isTotalKnown,
    });
    return { verdict, digests, mediaType };
  }

  #verifiedPath(): string {
    return join(this.options.directory, 'verified');
  }

  #result(
    checksum: TransferResult['checksum'],
    bytes: number,
    digests: Checksum[],
    mediaType: string,
    facts: SourceFacts | null,
  ): TransferResult {
    const { fallbackName } = this.source;
    return {
      path: this.#verifiedPath(),
      bytes,
      checksum,
      digests,
      fileName: sanitiseFileName(dispositionName(facts?.disposition) ?? fallbackName, fallbackName),
      mediaType,
      bytesFetched: this.#fetched,
      resumedFrom: this.#resumedFrom ?? bytes,
    };
  }

  /** A whole copy that is not good enough: always throws. */
  async #reject(verdict: Verdict, bytes: number, digests: Checksum[]): Promise<never> {
    if (this.#wasOverrun) {
      await this.#startOver();
      throw retry('SourceRefused', 'The server sends more bytes than it announced', { tries: 3 });
    }
    if (verdict.kind === 'verified') throw new ServiceError('Internal', 'A good copy was rejected');
    if (verdict.kind === 'mismatch') return await this.#onMismatch(verdict.error, bytes, digests);
    if (verdict.kind === 'incomplete') {
      await this.#rollback(bytes, true);
      throw new Retry(verdict.error);
    }
    await this.#startOver();
    throw new Retry(verdict.error, { tries: 2 });
  }

  async #onMismatch(error: ServiceError, bytes: number, digests: Checksum[]): Promise<never> {
    const { journal } = this.#work;
    const found: Mismatch = {
      bytes,
      digests: Object.fromEntries(digests.map(({ algorithm, value }) => [algorithm, value])),
    };
    const isRepeated = journal.state.mismatches.some((earlier) => areEqualCopies(earlier, found));
    if (isRepeated) await this.#dispute(error);
    await journal.addMismatch(this.tools.files, found);
    await this.#startOver();
    this.#highWater = 0;
    if (++this.#mismatches > MAX_REFETCHES) throw error;
    throw new Retry(error);
  }

  /** Two equal copies contradict the announced digest: it is not for us to say which is wrong. */
  async #dispute(error: ServiceError): Promise<never> {
    const { directory } = this.options;
    const { part, journal, owner } = this.#work;
    await owner.assertOwned();
    const name = `disputed-${journal.state.mismatches.length}`;
    await stored(this.tools.files.rename(part.path, join(directory, name)));
    await stored(this.tools.files.syncDirectory(directory));
    throw new ServiceError('ChecksumDisputed', error.message, {
      details: { ...error.details, kept_as: name },
    });
  }
}

async function firstBytes(file: FileHandleLike): Promise<Buffer> {
  const memory = Buffer.alloc(512);
  const { bytesRead } = await stored(file.read(memory, 0, memory.length, 0));
  return memory.subarray(0, bytesRead);
}

function areEqualCopies(a: Mismatch, b: Mismatch): boolean {
  const common = Object.keys(a.digests).filter((algorithm) => algorithm in b.digests);
  return (
    a.bytes === b.bytes &&
    common.length > 0 &&
    common.every((algorithm) => a.digests[algorithm] === b.digests[algorithm])
  );
}
