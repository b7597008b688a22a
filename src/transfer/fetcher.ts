/**
 * One request after another for bytes of the same asset, over however many connections: what to ask for, where the answer's
 * bytes go, and what a difference between served bytes and those on disk means. Everything that came is in the file when
 * a request is over, also when it was cut, and on its way to the journal unless an interruption may cost it.
 */
import { ServiceError } from '../jobs/error-codes.js';
import { pinnedBy, readDataAnswer, type Reading } from './answer.js';
import type { Bandwidth } from './bandwidth.js';
import { isOfNothing, usableChecksums } from './checksums.js';
import { conclude, endedEarly } from './ending.js';
import { damaged, ObjectChanged, retry, type Retry } from './errors.js';
import type { HttpClient } from './http/client.js';
import type { Exchange } from './http/exchange.js';
import { parseUnsatisfiedRange, type Framing, type Headers } from './http/headers.js';
import { Inlet, SNIFF_BYTES } from './inlet.js';
import type { Claim } from './ledger.js';
import { isPageInstead, mediaTypeOf } from './media-type.js';
import { mostUnsafeBytes, pieceBytes } from './pieces.js';
import { refusesRanges, SourceClient } from './source-client.js';
import type { TransferLimits, TransferNote, TransferSource } from './transfer.js';
import { Trust } from './trust.js';
import type { Workspace } from './workspace.js';

export interface FetcherOptions {
  source: TransferSource;
  client: HttpClient;
  /** Are there announced digests that will decide in the end? */
  hasDigests: boolean;
  limits: TransferLimits;
  bandwidth: Bandwidth | undefined;
  note: (note: TransferNote) => void;
}

/** What one request is about. */
export interface Request {
  claim: Claim;
  /** Whoever makes one request after another; counts answers in a row that refused the token. */
  lane: { denials: number };
  /** No other request for this file is under way. */
  isAlone: () => boolean;
  /** Bytes a second over all connections, lately; 0 = not known yet. */
  pace: () => number;
  /** Several connections are meant: the answer must be just the part that was asked for. */
  isPart: boolean;
  signal: AbortSignal;
  /** The server wants fewer connections, or none for a while. */
  onThrottled: () => void;
  /** The answer's head came. */
  onAnswer: (firstByteMs: number) => void;
  onBytes: (bytes: number) => void;
  /** All of the claim came as announced, and its connection is free; what came is still on its way to the disk. */
  onReceived: () => void;
  /** See InletOptions. */
  onHold: (isHeld: boolean) => void;
}

export class Fetcher {
  /** Body bytes taken from the wire, repeats included. */
  fetchedBytes = 0;
  /** Bytes that were there when the first useful answer came. */
  resumedFrom: number | null = null;
  readonly trust: Trust;
  readonly #isProvable: boolean;
  readonly #mayBeEmpty: boolean;
  readonly #client: SourceClient;

  constructor(readonly options: FetcherOptions) {
    const { source, client, hasDigests, limits } = options;
    const { expectedBytes, checksums, slice } = source;
    this.#mayBeEmpty = expectedBytes === 0 || usableChecksums(checksums).some(isOfNothing);
    this.#isProvable = hasDigests || expectedBytes !== null || slice !== undefined;
    const { blockBytes } = limits;
    this.trust = new Trust({ hasDigests, isProvable: this.#isProvable, blockBytes });
    this.#client = new SourceClient({ source, client, hasDigests, limits, trust: this.trust });
  }

  /** Size of the file as far as anybody has said it. */
  total(work: Workspace): number | null {
    return this.options.source.slice?.bytes ?? work.facts?.total ?? null;
  }

  isWhole(work: Workspace): boolean {
    const total = this.total(work);
    return work.hasEnded || (total !== null && work.have >= total);
  }

  async fetch(work: Workspace, request: Request): Promise<void> {
    const { claim, lane, isPart, signal, onThrottled } = request;
    const shift = this.options.source.slice?.start ?? 0;
    const isResumed = claim.start + shift > 0 && (shift > 0 || !this.trust.asksForWhole);
    const isRanged = isResumed || (isPart && this.trust.servesRanges);
    const last = Number.isFinite(claim.end) ? String(claim.end + shift - 1) : '';
    const range = isRanged ? `bytes=${claim.start + shift}-${last}` : null;
    const pin = isRanged ? pinnedBy(work.facts) : null;
    await this.#client.ask({ range, pin, lane, signal, onThrottled }, async (exchange) => {
      const reading = this.#read(work, exchange, { from: claim.start + shift, isRanged });
      if (reading.kind !== 'whole' && reading.changed !== null)
        this.#client.assertChanged(exchange);
      if (exchange.status === 200 && isRanged && reading.kind === 'body' && !reading.changed)
        this.#learnWhole(pin !== null && this.trust.sendsIfRange, work.have, request);
      request.onAnswer(exchange.firstByteMs);
      await this.#receive(work, exchange, reading, request);
    });
  }

  /** What came is wrong as a whole: the source may lead to another copy. */
  leave(): void {
    this.#client.leave();
  }

  /** Somebody waits for an answer: a server may have no time for it as long as it waits for us elsewhere. */
  letGo(): void {
    this.#client.letGo();
  }

  #read(
    work: Workspace,
    { status, headers, framing }: Exchange,
    { from, isRanged }: { from: number; isRanged: boolean },
  ): Reading {
    const { source, hasDigests } = this.options;
    const shift = source.slice?.start ?? 0;
    const said = parseUnsatisfiedRange(headers['content-range']);
    const isThere = from - shift < (said === null ? (this.total(work) ?? 0) : said - shift);
    if (status === 416 && (work.have === 0 || isThere))
      throw refusesRanges(this.trust, 'The server refuses a range that there is');
    const isPart = status === 206;
    try {
      const reading = readDataAnswer(status, this.#believed(headers), framing, {
        from,
        isRanged,
        have: work.have,
        facts: work.facts,
        isFresh: work.ledger.bytes === 0,
        isProvable: this.#isProvable,
        mayBeEmpty: this.#mayBeEmpty,
        hasDigests: hasDigests && !source.slice,
        expectedBytes: source.expectedBytes,
      });
      if (isPart) this.trust.gotPart(true);
      return reading;
    } catch (error) {
      // Parts that cannot be used come from servers that know no ranges, or from an accident.
      if (isPart) this.trust.gotPart(false);
      throw error;
    }
  }

  #believed(headers: Headers): Headers {
    if (this.trust.believesValidators) return headers;
    const { etag: _, 'last-modified': __, ...others } = headers;
    return others;
  }

  /** A range was answered with the whole: some serve none that is pinned, others none. */
  #learnWhole(wasPinned: boolean, have: number, { isAlone }: Request): void {
    if (wasPinned) this.trust.sendsIfRange = false;
    else this.trust.servesRanges = false;
    if (wasPinned && (!isAlone() || have > this.options.limits.blockBytes))
      throw retry('SourceRefused', 'The server answers a pinned range with the whole', {
        waitMs: 0,
      });
  }

  #noRanges(message: string): Retry {
    const wasServing = this.trust.servesRanges;
    this.trust.servesRanges = false;
    return retry('SourceRefused', message, wasServing ? { waitMs: 0 } : {});
  }

  async #receive(
    work: Workspace,
    exchange: Exchange,
    reading: Reading,
    request: Request,
  ): Promise<void> {
    const { claim, isAlone } = request;
    const { slice } = this.options.source;
    if (reading.kind === 'whole') {
      if (work.facts && reading.total !== null)
        await work.learn({ ...work.facts, total: reading.total });
      work.hasEnded = true;
      return;
    }
    if (reading.changed !== null) {
      // A page about the product is no other object.
      if (reading.kind === 'body' && reading.start === 0)
        this.#inspect(
          Buffer.from(await exchange.text(SNIFF_BYTES)),
          exchange.headers,
          reading.facts.total,
          work.facts?.total ?? null,
        );
      throw new ObjectChanged(reading.changed);
    }
    if (reading.kind === 'changed') throw new ObjectChanged(reading.changed);
    const shift = slice?.start ?? 0;
    const start = reading.start - shift;
    if (start < claim.start && (start < 0 || !isAlone()))
      throw this.#noRanges('The server does not serve ranges');
    const served = reading.facts.total ?? work.facts?.total ?? null;
    if (slice && served !== null && served < slice.start + slice.bytes)
      throw new ServiceError('SourceChanged', 'The archive is shorter than its member needs');
    await this.#assertVouched(work, reading.vouches, start, request);
    await work.learn({ ...reading.facts, total: served });
    const total = this.total(work);
    // An earlier answer, whose length nobody had said, brought more than there is.
    if (total !== null) await work.forgetBehind(total);
    work.writer.fileBytes = total ?? 0;
    work.writer.mostUnsafe = mostUnsafeBytes(total, this.options.limits.blockBytes);
    work.writer.isExpendable = this.#isExpendable(work, total);
    this.#noteResumed(work);
    const end = Math.min(reading.end === null ? Infinity : reading.end - shift, total ?? Infinity);
    work.ledger.extend(claim, end);
    const { saysTotal } = reading;
    const isOpenEnded = reading.end === null;
    // Bytes from 0 on again for each gap would be as many downloads.
    const bringsAll = start < claim.start && !this.trust.servesRanges;
    const stopAt = bringsAll ? work.ledger.missingUpTo(total ?? Infinity) : claim.end;
    await this.#stream(work, exchange, request, { start, end, stopAt, saysTotal, isOpenEnded });
    if (this.trust.isUnpinned(work.facts)) work.ledger.doubt(Math.min(claim.end, end));
    if (reading.saysTotal) this.trust.isEndInDoubt = false;
    if (total !== null || reading.end !== null) return;
    const at = start + exchange.received;
    const isLess = at < work.have;
    await work.forgetBehind(at);
    // The framing says that this is all; a connection that was closed says nothing, and has to be closed there twice.
    if (isLess && exchange.framing.kind === 'close') throw endedEarly();
    work.hasEnded = true;
  }

  /** Where nothing says whose bytes these are, they must follow ones that repeat themselves, and none may follow them. */
  async #assertVouched(
    work: Workspace,
    vouches: boolean,
    start: number,
    { claim, isAlone }: Request,
  ): Promise<void> {
    this.trust.answered(vouches);
    if (vouches || !this.trust.isUnpinned(work.facts)) return;
    if ((start === 0 || start < claim.proof) && isAlone())
      return await work.forgetBehind(claim.proof);
    work.ledger.doubt(claim.proof);
    throw retry('SourceUnavailable', 'Nothing tells that the answer is about the same file', {
      waitMs: 0,
    });
  }

  async #stream(
    work: Workspace,
    exchange: Exchange,
    { claim, pace, onBytes, onHold, onReceived }: Request,
    answer: {
      start: number;
      end: number;
      stopAt: number;
      saysTotal: boolean;
      isOpenEnded: boolean;
    },
  ): Promise<void> {
    const { start, end, stopAt, saysTotal, isOpenEnded } = answer;
    const ownTotal = this.options.source.slice || saysTotal ? this.total(work) : null;
    const inlet = new Inlet(work.writer, {
      position: start,
      end,
      stopAt,
      pieceBytes: () => pieceBytes(work.writer, pace()),
      bandwidth: this.options.bandwidth,
      onBytes,
      onHold,
      inspect: (first) => this.#inspect(first, exchange.headers, ownTotal, this.total(work)),
      onDifference: (at) => this.#onDifference(work, claim, start === 0, at),
    });
    const lingers = this.#isSuspicious(exchange.framing, end, this.total(work));
    work.writer.connections++;
    const ending = await exchange.body(inlet, lingers).then(
      ({ excess }) => ({ excess, cut: null }),
      (cut: Error) => ({ excess: false, cut }),
    );
    const { received: bytes } = exchange;
    this.fetchedBytes += bytes;
    const isOverrun = ending.excess || inlet.isOverrun;
    this.trust.wasOverrun ||= isOverrun;
    // The exchange holds an answer to its Content-Length, and to nothing else that says where it ends.
    const isEarly = Number.isFinite(end) && start + bytes < end;
    const cut = ending.cut ?? (isEarly ? endedEarly() : null);
    const isAll = end >= Math.min(claim.end, this.total(work) ?? Infinity);
    if (cut === null && !isOverrun && isAll) onReceived();
    await inlet.settle().finally(() => work.writer.connections--);
    const isOther = isOverrun || (isEarly && ending.cut === null);
    if (isOpenEnded && isOther) await this.#doubtTotal(work);
    const { newBytes, isStopped } = inlet;
    await conclude(
      { start, end, bytes, newBytes, cut, isOverrun, isStopped, isAll, saysTotal },
      { work, claim, trust: this.trust },
    );
  }

  /** An earlier answer said how long the file is, and one that says nothing of it is longer, or shorter: a digest decides. */
  async #doubtTotal(work: Workspace): Promise<void> {
    const { facts } = work;
    if (this.options.hasDigests && facts && facts.total !== this.options.source.expectedBytes)
      await work.learn({ ...facts, total: null });
  }

  /** What a digest will prove in the end, and an interruption may cost. */
  #isExpendable(work: Workspace, total: number | null): boolean {
    const { hasDigests, limits } = this.options;
    return hasDigests && total !== null && total <= limits.blockBytes && !work.journal.isBegun;
  }

  /** An announced length that contradicts the catalogue may be a lie: does more come? */
  #isSuspicious(framing: Framing, end: number, total: number | null): boolean {
    const { expectedBytes, slice } = this.options.source;
    if (slice || framing.kind !== 'length' || expectedBytes === null || total === null)
      return false;
    return total !== expectedBytes && end >= total;
  }

  #noteResumed(work: Workspace): void {
    if (this.resumedFrom !== null) return;
    this.resumedFrom = work.ledger.bytes;
    const total = this.total(work) ?? this.options.source.expectedBytes;
    if (this.resumedFrom > 0)
      this.options.note({ type: 'resumed', offset: this.resumedFrom, bytes_total: total });
  }

  /**
   * First bytes of a body that starts at 0: a page about the product is refused before anything is kept.
   * @param total by this very answer, and by the earlier ones
   */
  #inspect(first: Buffer, headers: Headers, total: number | null, knownTotal: number | null): void {
    const type = mediaTypeOf(first);
    const { source, hasDigests } = this.options;
    const { expectedBytes } = source;
    const isHtml = /html/i.test(headers['content-type'] ?? '');
    const said = { isHtml, hasDigests, total, knownTotal, expectedBytes };
    if (isPageInstead(type, said))
      throw retry('SourceRefused', `The server sent a page (${type}) instead of the product`, {
        tries: 2,
      });
  }

  /**
   * Served bytes differ from those on disk at `at`. A body that brings everything anew is followed from there; after
   * another one the bytes before the claim are dropped, more of them each time.
   */
  async #onDifference(
    work: Workspace,
    claim: Claim,
    startsAtZero: boolean,
    at: number,
  ): Promise<void> {
    if (!startsAtZero && work.hash.damaged.some(({ offset }) => offset < claim.proof)) {
      await work.forgetDamaged(this.trust.isUnpinned(work.facts));
      throw damaged();
    }
    if (!this.trust.differed()) throw new ObjectChanged('the server sends other bytes than it did');
    if (startsAtZero) return await work.forgetBehind(at);
    const from = Math.max(0, claim.proof - this.trust.overlapBytes);
    work.ledger.doubt(await work.forget(from, claim.proof));
    throw retry('SourceChanged', `The server does not repeat what is on disk at byte ${at}`);
  }
}
