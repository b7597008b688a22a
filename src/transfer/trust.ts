/**
 * What one transfer has learnt of its server, and how much of what comes may be believed therefore. Void once the
 * object is another one, but for how long it may be silent. Pure.
 */
import { tellsApart } from './answer.js';
import type { SourceFacts } from './records.js';

/** After an accident this many bytes must repeat themselves, four times as many after each difference. */
const OVERLAP_BYTES = 64 * 1024;
/** Times that served bytes may differ from those on disk before they count as another object's. */
const MAX_DIFFERENCES = 4;
const MOST_PATIENCE = 8;
const MOST_LITTLES = 3;
const MOST_USELESS_PARTS = 3;
/** An answer that gives less than was asked for, and less than this, counts as a failure. */
export const LEAST_PART_BYTES = 4096;

export interface TrustOptions {
  /** Are there announced digests that will decide in the end? */
  hasDigests: boolean;
  /** Would a file that is too short be found out in the end? */
  isProvable: boolean;
  blockBytes: number;
}

/** What an answer has brought. */
export interface Yield {
  /** Its body's, also those that repeated themselves. */
  bytes: number;
  /** Those behind what had to repeat itself. */
  wantedBytes: number;
  /** Those that were not in the file yet. */
  newBytes: number;
  /** It was over before it had brought all of its own range. */
  isCut: boolean;
  /** Its range went as far as it was asked to. */
  isAll: boolean;
}

export class Trust {
  /** A range was answered with everything, or not at all: one connection then. */
  servesRanges = true;
  /** Ranges are refused, or no good: nothing but the whole is asked for, also to go on. */
  asksForWhole = false;
  /** A range that was pinned with If-Range has not yet been answered with the same object's whole. */
  sendsIfRange = true;
  /** More came than had been announced. */
  wasOverrun = false;
  /** Validators mean something. Some sites answer from machines that each have their own; an announced digest then decides. */
  believesValidators = true;
  /** Nothing but the head of an answer that did not come whole says how long the file is, and no proof will. */
  isEndInDoubt: boolean;
  /** Every answer so far has carried a validator that the others carried too. */
  #isVouched = true;
  /** The shortest answer, and the shortest that was cut, of which too much only repeated itself. */
  #shortest = Infinity;
  #shortestCut = Infinity;
  #differences = 0;
  #silences = 0;
  /** Answers in a row that brought next to nothing. */
  #littles = 0;
  /** In a row, too. */
  #uselessParts = 0;
  #hasServedParts = false;
  /** Since an answer brought anything to speak of. */
  #refusedRanges = 0;

  constructor(readonly options: TrustOptions) {
    this.isEndInDoubt = !options.isProvable;
  }

  /** The object is another one. */
  startAnew(): void {
    this.servesRanges = true;
    this.asksForWhole = false;
    this.sendsIfRange = true;
    this.#littles = 0;
    this.#uselessParts = 0;
    this.#hasServedParts = false;
    this.#refusedRanges = 0;
    this.wasOverrun = false;
    this.isEndInDoubt = !this.options.isProvable;
    this.#isVouched = true;
    this.#shortest = Infinity;
    this.#shortestCut = Infinity;
    this.#differences = 0;
  }

  /** @param vouches see Reading */
  answered(vouches: boolean): void {
    this.#isVouched &&= vouches;
  }

  /** Would nothing tell if the object were replaced by another of its size? Then no bytes but those in order are of use. */
  isUnpinned(facts: SourceFacts | null): boolean {
    if (this.options.hasDigests || facts === null) return false;
    return !this.#isVouched || !tellsApart(facts);
  }

  /** So many bytes must repeat themselves: where answers are short, no more than leaves room for new ones. */
  get overlapBytes(): number {
    const least = Math.min(OVERLAP_BYTES, this.options.blockBytes / 4, this.#shortestCut / 4);
    return Math.floor(Math.min(least * 4 ** this.#differences, this.#shortest / 2));
  }

  /** Silence is borne so many times as long as usual. */
  get patience(): number {
    return Math.min(2 ** this.#silences, MOST_PATIENCE);
  }

  ended({ bytes, wantedBytes, newBytes, isCut, isAll }: Yield, facts: SourceFacts | null): void {
    if (newBytes >= LEAST_PART_BYTES) this.#littles = this.#refusedRanges = 0;
    if (newBytes > 0) this.#silences = 0;
    else if (isCut) this.#silences++;
    // A cut says nothing of how much comes the next time: the proof is not given up for it where nothing else tells.
    const mayBeShort = isCut ? !this.isUnpinned(facts) : !isAll;
    const isShort = mayBeShort && wantedBytes < bytes / 2;
    if (!isShort || bytes < LEAST_PART_BYTES) return;
    if (isCut) this.#shortestCut = Math.min(this.#shortestCut, bytes);
    else this.#shortest = Math.min(this.#shortest, bytes);
  }

  /** @param isUsable what came as a part can be one */
  gotPart(isUsable: boolean): void {
    this.#hasServedParts ||= isUsable;
    this.#uselessParts = isUsable ? 0 : this.#uselessParts + 1;
    if (this.#uselessParts >= MOST_USELESS_PARTS) this.giveUpRanges();
  }

  /** A range that there is was refused. @returns whether that may be an accident, for parts have come before */
  refusedRange(): boolean {
    const mayBeAccident = this.#hasServedParts && this.#refusedRanges++ === 0;
    if (!mayBeAccident) this.giveUpRanges();
    return mayBeAccident;
  }

  /** An answer brought less than a part is worth. */
  broughtLittle(): void {
    if (++this.#littles >= MOST_LITTLES) this.giveUpRanges();
  }

  /** From now on. */
  giveUpRanges(): void {
    this.servesRanges = false;
    this.asksForWhole = true;
  }

  /** Served bytes differ from those on disk. @returns whether that may still be an accident */
  differed(): boolean {
    return ++this.#differences <= MAX_DIFFERENCES;
  }
}
