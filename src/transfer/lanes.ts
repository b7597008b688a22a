/**
 * Fetching what is missing of one file over as many connections as it is worth and the account allows. Each lane asks for
 * one claim after another. A lane that fails while others are at work leaves its claim to them; the last one carries the
 * failures: it waits, tries again, and gives up where its owner says so.
 */
import { isServiceError } from '../jobs/error-codes.js';
import type { Concurrency } from './concurrency.js';
import { cancelledError, ObjectChanged, PartialLost, Retry } from './errors.js';
import type { Fetcher } from './fetcher.js';
import type { Claim } from './ledger.js';
import { PAGE_BYTES, SLAB_BYTES } from './slabs.js';
import type { ConnectionSlots, Slot } from './slots.js';
import { Stragglers } from './stragglers.js';
import type { Workspace } from './workspace.js';

const LOOK_MS = 50;
/** Refusals that may mean no more than "not one more connection". */
const MAY_MEAN_TOO_MANY = ['SourceThrottled', 'SourceDenied', 'SourceRefused'];
/** On a link that is slower than this, in bytes a second, a transfer takes long enough to be interrupted. */
const SLOW_PACE = 200 * 1024 * 1024;
const SURELY_SLOW_MS = 2_000;
/** With less than this to come, what came is soon read again. */
const WORTH_SAVING_BYTES = 64 * 1024 * 1024;

export interface LanesOptions {
  work: Workspace;
  fetcher: Fetcher;
  concurrency: Concurrency;
  slots: ConnectionSlots;
  blockBytes: number;
  signal: AbortSignal;
  /** The last lane failed: resolves when it should try again, rejects to give up. Lets its connection go should that take long. */
  onFailure: (error: unknown, letGo: () => void) => Promise<void>;
}

/** Of one request. */
interface Failure {
  error: unknown;
  /** No byte of a body came. */
  isBare: boolean;
  /** We gave it up, for another connection. */
  isGivenUp: boolean;
}

export class Lanes {
  readonly #running = new Set<Promise<void>>();
  readonly #stragglers = new Stragglers();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  /** A lane has ended: the last one, or one with a failure. */
  #ended: { resolve: () => void; reject: (error: unknown) => void } | null = null;
  /** Lanes with a request under way. */
  #busy = 0;
  /** Requests that wait for an answer. */
  #unanswered = 0;
  #slowSinceMs = performance.now();
  #lastLook = performance.eventLoopUtilization();

  constructor(readonly options: LanesOptions) {
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
  }

  /** Resolves once nothing is missing; rejects with the failure that ends the transfer, when all lanes are still. */
  async run(): Promise<void> {
    const slot = await this.options.slots.take(this.options.signal);
    const look = setInterval(() => this.#look(), LOOK_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#ended = { resolve, reject };
        this.#start(slot);
      });
    } catch (error) {
      this.#stop.abort();
      throw this.options.signal.aborted ? cancelledError(this.options.signal) : error;
    } finally {
      clearInterval(look);
      await Promise.allSettled(this.#running);
    }
  }

  #start(slot: Slot): void {
    const lane = this.#lane(slot).finally(() => this.#running.delete(lane));
    this.#running.add(lane);
    lane.then(
      () => this.#running.size === 0 && this.#ended?.resolve(),
      (error: unknown) => this.#ended?.reject(error),
    );
  }

  async #lane(first: Slot): Promise<void> {
    const { work, fetcher, slots } = this.options;
    const lane = { denials: 0, slot: first };
    try {
      while (!fetcher.isWhole(work) && !this.#isSurplus()) {
        if (!lane.slot.isHeld) {
          if (this.#isAllClaimed) return;
          lane.slot = await slots.take(this.#signal);
        }
        const claim = this.#claim();
        if (!claim) return;
        const failure = await this.#request(lane, claim);
        if (!failure || (failure.isGivenUp && !this.#signal.aborted)) continue;
        if (!(await this.#goesOn(failure, lane.slot))) return;
      }
    } finally {
      lane.slot.release();
      if (this.#unanswered > 0) fetcher.letGo();
    }
  }

  async #request(lane: { denials: number; slot: Slot }, claim: Claim): Promise<Failure | null> {
    const { work, fetcher, concurrency, slots } = this.options;
    this.#busy++;
    this.#unanswered++;
    const underway = this.#stragglers.begin(claim, performance.now());
    let isBusy = true;
    let isAnswered = false;
    const answered = () => {
      if (!isAnswered) this.#unanswered--;
      isAnswered = true;
    };
    let isBare = true;
    const rest = () => {
      if (isBusy) this.#busy--;
      isBusy = false;
    };
    try {
      await fetcher.fetch(work, {
        claim,
        lane,
        isAlone: () => this.#busy === 1,
        pace: () => concurrency.rate,
        isPart: this.#mayBeMany,
        signal: AbortSignal.any([this.#signal, underway.signal]),
        onThrottled: () => {
          // Whoever is alone has not one connection too many.
          if (slots.inUse > 1) slots.refused();
        },
        onAnswer: (firstByteMs) => {
          answered();
          concurrency.answered(firstByteMs);
          this.#stragglers.answered(underway, firstByteMs, performance.now());
        },
        onBytes: (bytes) => {
          isBare = false;
          underway.bytes += bytes;
          concurrency.received(bytes, performance.now());
        },
        onHold: (isHeld) => {
          underway.isHeld = isHeld;
          concurrency.holds(isHeld ? 1 : -1, performance.now());
        },
        onReceived: () => {
          this.#stragglers.end(underway, true, performance.now());
          if (!this.#isAllClaimed) return;
          // The next file need not wait for the disk.
          lane.slot.release();
          rest();
        },
      });
      return null;
    } catch (error) {
      return { error, isBare, isGivenUp: underway.isGivenUp };
    } finally {
      this.#stragglers.end(underway, false, performance.now());
      answered();
      rest();
      work.ledger.release(claim);
    }
  }

  /** Should a lane that failed try again? Rejects where the whole transfer ends. */
  async #goesOn({ error, isBare }: Failure, slot: Slot): Promise<boolean> {
    const { concurrency } = this.options;
    if (this.#signal.aborted) throw cancelledError(this.#signal);
    if (error instanceof ObjectChanged || error instanceof PartialLost) throw error;
    const cause = error instanceof Retry ? error.error : error;
    const others = this.#running.size - 1;
    const mayBeTooMany =
      isServiceError(cause) &&
      (MAY_MEAN_TOO_MANY.includes(cause.code) || cause.retryAfterMs !== undefined);
    // Whoever came with an expired token asks again with the next one; once in a row, see SourceClient.
    const isExpired = error instanceof Retry && error.options.waitMs === 0;
    if (others > 0 && isExpired && error.error.code === 'SourceDenied') return true;
    const isSpare = error instanceof Retry && this.#busy > 0;
    if (others > 0 && (mayBeTooMany || isSpare)) {
      // Servers refuse a connection too many in many ways. One that has begun with a body has not, nor is it a refusal what
      // can be asked again at once.
      const isRefusal = isBare && isSpare && error.options.waitMs !== 0;
      if (mayBeTooMany || isRefusal) concurrency.refused(others, performance.now());
      return false;
    }
    await this.options.onFailure(error, () => slot.release());
    return true;
  }

  get #isAllClaimed(): boolean {
    const total = this.options.fetcher.total(this.options.work);
    return total !== null && this.options.work.ledger.unclaimed(total) === 0;
  }

  /** May this file be fetched over several connections? */
  get #mayBeMany(): boolean {
    return this.options.concurrency.most > 1;
  }

  /** Others wait for a connection, or this one does not help. */
  #isSurplus(): boolean {
    const { slots, concurrency } = this.options;
    const lanes = this.#running.size;
    return lanes > 1 && (slots.isWanted || lanes > concurrency.wanted);
  }

  #claim() {
    const { work, fetcher, concurrency, blockBytes } = this.options;
    const total = fetcher.total(work) ?? Infinity;
    const isWholeAnswer = !this.#mayBeMany || !fetcher.trust.servesRanges;
    if (isWholeAnswer && this.#busy > 0) return null;
    const size = isWholeAnswer
      ? Infinity
      : total === Infinity
        ? blockBytes
        : concurrency.requestBytes(work.ledger.unclaimed(total));
    const grain = Math.min(SLAB_BYTES, Math.max(PAGE_BYTES, blockBytes));
    return work.ledger.claim(total, size, grain, fetcher.trust.overlapBytes);
  }

  /** Now and then: are more connections worth it? */
  #look(): void {
    const { work, fetcher, concurrency, slots } = this.options;
    const utilization = performance.eventLoopUtilization();
    const { utilization: busyShare } = performance.eventLoopUtilization(
      utilization,
      this.#lastLook,
    );
    this.#lastLook = utilization;
    concurrency.observe(this.#running.size, busyShare, performance.now());
    const total = fetcher.total(work);
    if (total === null || this.#signal.aborted) return;
    this.#weighSaving(total);
    const mayBeParts = fetcher.trust.servesRanges && !fetcher.trust.isUnpinned(work.facts);
    // Whoever is done could fetch what another one hardly brings.
    if (mayBeParts && this.#running.size < concurrency.most && this.#isAllClaimed)
      this.#stragglers.find(performance.now())?.giveUp();
    while (
      this.#busy > 0 &&
      mayBeParts &&
      this.#running.size < concurrency.wanted &&
      !work.writer.pool.isTight &&
      work.ledger.unclaimed(total) > 0
    ) {
      const slot = slots.takeExtra();
      if (!slot) return;
      this.#start(slot);
    }
  }

  /** On a slow link, where the transfer takes long, the next process is spared to read all that came. */
  #weighSaving(total: number): void {
    const { work, concurrency } = this.options;
    if (!concurrency.isLinkSlowerThan(SLOW_PACE)) this.#slowSinceMs = performance.now();
    const isWorthIt = total - work.ledger.bytes >= WORTH_SAVING_BYTES;
    if (isWorthIt && performance.now() - this.#slowSinceMs > SURELY_SLOW_MS)
      work.writer.savesDigests = true;
  }
}
