/**
 * One request after another for the same asset: from where to ask, what to make of the answer, and what a difference
 * between served bytes and those on disk means. Everything that came is on disk and in the journal when a request is over,
 * also when it was cut.
 */
import { ServiceError } from '../jobs/error-codes.js';
import { pinnedBy, readDataAnswer, readErrorAnswer, type Reading } from './answer.js';
import type { BlockWriter } from './block-writer.js';
import { retry } from './errors.js';
import type { Exchange } from './http/exchange.js';
import type { Framing } from './http/headers.js';
import { open, type Opened } from './http/open.js';
import { MAX_ERROR_BODY_BYTES } from './limits.js';
import { isPageLike, mediaTypeOf } from './media-type.js';
import type { TransferLimits, TransferNote, TransferSource } from './transfer.js';
import type { Workspace } from './workspace.js';

/** Without a validator, the bytes before the end must repeat themselves over this share of a block. */
const OVERLAP_SHARE = 1 / 4;
/** Times that served bytes may differ from those on disk before the source counts as unstable. */
const MAX_DIFFERENCES = 3;

export interface FetcherOptions {
  source: TransferSource;
  /** Are there announced digests that will decide in the end? */
  hasDigests: boolean;
  limits: TransferLimits;
  signal: AbortSignal;
  note: (note: TransferNote) => void;
  /** Everything is fetched anew: what counted as progress counts no longer. */
  onDropped: () => void;
}

export class Fetcher {
  /** Body bytes taken from the wire, repeats included. */
  fetchedBytes = 0;
  /** Offset from which the first useful answer went on. */
  resumedFrom: number | null = null;
  /** A server sent more than it had announced. */
  wasOverrun = false;
  #wasDenied = false;
  #saysHtml = false;
  #changes = 0;
  #differences = 0;

  constructor(readonly options: FetcherOptions) {}

  async fetchOnce(work: Workspace): Promise<void> {
    const { source, limits, signal } = this.options;
    const from = this.#nextStart(work);
    const pin = from > 0 ? pinnedBy(work.facts) : null;
    const trustedHeaders = await source.headers(signal);
    const opened = await open({
      url: source.url,
      rules: source,
      headers: {
        accept: '*/*',
        'accept-encoding': 'identity',
        ...(from > 0 && { range: `bytes=${from}-` }),
        ...(pin !== null && { 'if-range': pin }),
      },
      trustedHeaders,
      limits,
      signal,
    });
    const { exchange } = opened;
    try {
      if (![200, 206, 416].includes(exchange.status) || (exchange.status === 416 && from === 0))
        await this.#refuse(opened, trustedHeaders);
      this.#wasDenied = false;
      const { status, headers, framing } = exchange;
      const asked = { from, have: work.have, facts: work.facts };
      await this.#receive(work, exchange, readDataAnswer(status, headers, framing, asked));
    } finally {
      exchange.close();
    }
  }

  /** Where to go on: at the end of what is on disk when a validator pins it, else a little before. */
  #nextStart(work: Workspace): number {
    if (pinnedBy(work.facts) !== null) return work.have;
    const overlap = Math.max(1, Math.floor(this.options.limits.blockBytes * OVERLAP_SHARE));
    return Math.max(0, work.have - overlap);
  }

  /** An answer without data: always throws. */
  async #refuse({ exchange, trusted }: Opened, sent: Record<string, string>): Promise<never> {
    const { source } = this.options;
    const { status, headers } = exchange;
    if (status === 401 && trusted && !this.#wasDenied) {
      this.#wasDenied = true;
      source.rejected(sent);
      throw retry('SourceDenied', 'The server no longer accepts the token', { waitMs: 0 });
    }
    const body = await exchange.text(MAX_ERROR_BODY_BYTES);
    const translated = source.translate({ status, headers: { ...headers }, body });
    throw translated ?? readErrorAnswer(status, headers);
  }

  async #receive(work: Workspace, exchange: Exchange, reading: Reading): Promise<void> {
    if (reading.kind === 'whole') {
      if (work.facts && reading.total !== null)
        await work.learn({ ...work.facts, total: reading.total });
      work.hasEnded = true;
      return;
    }
    if (reading.changed !== null) await this.#drop(work, reading.changed);
    if (reading.kind === 'changed')
      throw retry('SourceChanged', `The product changed: ${reading.changed}`, { waitMs: 0 });
    await work.learn({ ...reading.facts, total: reading.facts.total ?? work.total });
    this.#noteResumed(work);
    this.#saysHtml = /html/i.test(exchange.headers['content-type'] ?? '');
    work.writer.begin(reading.start, reading.end ?? work.total ?? Infinity);
    await this.#stream(exchange, work.writer, this.#isSuspicious(exchange.framing, work.total));
    if (work.total === null && reading.end === null) work.hasEnded = true;
  }

  async #stream(exchange: Exchange, writer: BlockWriter, lingers: boolean): Promise<void> {
    const ending = await exchange.body(writer, lingers).then(
      (end) => ({ excess: end.excess, cut: null }),
      (cut: Error) => ({ excess: false, cut }),
    );
    this.fetchedBytes += exchange.received;
    this.wasOverrun ||= ending.excess || writer.isOverrun;
    await writer.settle();
    if (ending.cut) throw ending.cut;
  }

  /** An announced length that contradicts the catalogue may be a lie: does more come? */
  #isSuspicious(framing: Framing, total: number | null): boolean {
    const { expectedBytes } = this.options.source;
    return framing.kind === 'length' && expectedBytes !== null && total !== expectedBytes;
  }

  #noteResumed(work: Workspace): void {
    if (this.resumedFrom !== null) return;
    this.resumedFrom = work.have;
    const total = work.total ?? this.options.source.expectedBytes;
    if (work.have > 0)
      this.options.note({ type: 'resumed', offset: work.have, bytes_total: total });
  }

  /** The object is another one now: once that is taken as an accident. */
  async #drop(work: Workspace, why: string): Promise<void> {
    if (++this.#changes > 1)
      throw new ServiceError('SourceChanged', `The product keeps changing: ${why}`);
    const dropped = work.have;
    await work.rollback(0, false);
    await work.learn({ total: null, etag: null, lastModified: null, disposition: null });
    this.wasOverrun = false;
    this.options.onDropped();
    this.options.note({
      type: 'retried',
      reason: `The product changed: ${why}; the ${dropped} bytes of the old one are dropped`,
      offset: 0,
      attempt: 0,
    });
  }

  /** First bytes of an answer that starts at 0: a page about the product is refused before anything is kept. */
  inspect(first: Buffer, total: number | null): void {
    const type = mediaTypeOf(first);
    const { source, hasDigests } = this.options;
    const { expectedBytes } = source;
    const contradicts = expectedBytes !== null && total !== null && total !== expectedBytes;
    const isUnproven = !hasDigests && total !== expectedBytes;
    const isSmall = total === null || total <= MAX_ERROR_BODY_BYTES;
    const isPage =
      type === 'text/html'
        ? contradicts || isUnproven || this.#saysHtml
        : contradicts && isSmall && isPageLike(type);
    if (isPage)
      throw retry('SourceRefused', `The server sent a page (${type}) instead of the product`, {
        tries: 2,
      });
  }

  /**
   * Served bytes differ from those on disk at `at`. A body that starts at 0 brings everything anew, so that it is followed
   * from there; after another one the tail of what is on disk is dropped, and the second time all of it.
   */
  async onDifference(work: Workspace, at: number): Promise<void> {
    if (++this.#differences > MAX_DIFFERENCES)
      throw new ServiceError('SourceChanged', 'The server sends other bytes each time');
    if (work.writer.startsAtZero) {
      await work.rollback(at, true);
      return;
    }
    const { blockBytes } = this.options.limits;
    await work.rollback(this.#differences > 1 ? 0 : Math.max(0, at - blockBytes), false);
    throw retry('SourceChanged', `The server does not repeat what is on disk at byte ${at}`);
  }
}
