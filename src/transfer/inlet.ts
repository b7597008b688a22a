/**
 * Where the body of one answer lands: reads fill slabs, full slabs go to the writer, and reading is held while disk,
 * digests or a bandwidth limit do not keep up.
 */
import { LONGEST_STEP_MS } from './bandwidth.js';
import { retry, tooMuch } from './errors.js';
import type { BodySink } from './http/exchange.js';
import type { PartWriter } from './part-writer.js';
import { PAGE_BYTES, type Slab } from './slabs.js';
import type { Bandwidth } from './bandwidth.js';

/** What came is written at least this often, however little. */
const WRITE_MS = 400;
/** The first bytes are held back until there are enough to tell what they are. */
export const SNIFF_BYTES = 512;
/** Under a limit a read brings no more: it is booked once it is there, and nobody waits behind the last one. */
export const LIMITED_READ_BYTES = 128 * 1024;

export interface InletOptions {
  /** Where in the file the body starts. */
  position: number;
  /** Where it must end at the latest; what is beyond is refused. */
  end: number;
  /** Where enough has come: the rest is somebody else's. */
  stopAt: number;
  /** Asked for each piece: as many bytes are written together, at most a slab. */
  pieceBytes: () => number;
  bandwidth: Bandwidth | undefined;
  onBytes: (bytes: number) => void;
  /** Reading is held because disk, digests or bandwidth do not keep up; or goes on. */
  onHold: (isHeld: boolean) => void;
  /** Before any byte is kept of a body that starts at 0. Throws to refuse it. */
  inspect: (first: Buffer) => void;
  /** See Piece. */
  onDifference: (at: number) => Promise<void>;
}

export class Inlet implements BodySink {
  onDrain: (failure?: unknown) => void = () => undefined;
  /** The body has brought more than its end allows. */
  isOverrun = false;
  /** All that was wanted has come, and the body goes on. */
  isStopped = false;
  /** In the file by now, and not before. */
  newBytes = 0;
  #slab: Slab | null = null;
  #fill = 0;
  #cut = 0;
  /** Where in the slab the piece is full that is being filled. */
  #pieceEnd = 0;
  #position: number;
  #isSniffing: boolean;
  #placing = 0;
  #failure: { error: unknown } | null = null;
  #settled: () => void = () => undefined;
  #isHeld = false;
  #bookedUntilMs = 0;
  /** The limit, if there is one, had reading wait when it was asked last. */
  #isLimited: boolean;
  #isOver = false;
  readonly #timer: NodeJS.Timeout;

  constructor(
    readonly writer: PartWriter,
    readonly options: InletOptions,
  ) {
    this.#position = options.position;
    this.#isSniffing = options.position === 0;
    this.#isLimited = options.bandwidth !== undefined;
    this.#timer = setInterval(() => this.#handInSafely(false), WRITE_MS);
  }

  space(): Buffer {
    const slab = (this.#slab ??= this.#begin());
    const limit = this.#isLimited ? LIMITED_READ_BYTES : Infinity;
    return slab.memory.subarray(this.#fill, Math.min(this.#pieceEnd, this.#fill + limit));
  }

  filled(bytes: number): boolean {
    this.#fill += bytes;
    this.options.onBytes(bytes);
    const excess = this.#received - this.options.end;
    if (excess > 0) {
      this.#fill -= excess;
      this.isOverrun = true;
      throw tooMuch();
    }
    const surplus = this.#received - this.options.stopAt;
    if (surplus >= 0 && this.options.stopAt < this.options.end) {
      this.#fill -= surplus;
      this.isStopped = true;
      throw retry('SourceUnavailable', 'Enough has come');
    }
    if (this.#fill >= this.#pieceEnd) this.#handIn(this.#fill === this.#slab?.memory.length);
    if (this.#failure) throw this.#failure.error as Error;
    const holdMs = this.options.bandwidth?.take(bytes) ?? 0;
    this.#isLimited = holdMs > 0;
    if (holdMs > 0) this.#bookedUntilMs = performance.now() + holdMs;
    if (holdMs <= 0 && !this.writer.isBehind) return true;
    this.#hold();
    return false;
  }

  /** Hands in all that has come and waits for it. Throws the first failure. */
  async settle(): Promise<void> {
    clearInterval(this.#timer);
    this.#isOver = true;
    this.#setHeld(false);
    this.#handInSafely(true);
    this.#slab?.release();
    this.#slab = null;
    if (this.#placing > 0) await new Promise<void>((resolve) => (this.#settled = resolve));
    if (this.#failure) throw this.#failure.error as Error;
  }

  #begin(): Slab {
    const slab = this.writer.takeSlab(this.options.pieceBytes());
    // Memory and file lie alike on their pages, so that whole pages can be written directly.
    this.#fill = this.#cut = this.#position % PAGE_BYTES;
    this.#beginPiece(slab);
    return slab;
  }

  /** What is in memory alone is what an interruption costs: no more than a piece at a time, and no less than a page. */
  #beginPiece({ memory }: Slab): void {
    const end = this.#cut + Math.max(this.options.pieceBytes(), PAGE_BYTES);
    this.#pieceEnd = Math.min(end, memory.length);
  }

  /** End of what has come, as an offset in the file. */
  get #received(): number {
    return this.#position + this.#fill - this.#cut;
  }

  #hold(): void {
    if (this.#isHeld) return;
    this.#setHeld(true);
    this.#waitOnce();
  }

  /** Never drains before it returns: whoever holds reading has to know first that it does. */
  #waitOnce(): void {
    const waitMs = this.#bookedUntilMs - performance.now();
    if (waitMs <= 0 && this.writer.isBehind) this.writer.whenRoom(() => this.#drain());
    else setTimeout(() => this.#askAgain(), Math.max(0, Math.min(waitMs, LONGEST_STEP_MS)));
  }

  /** A limit that was lifted or changed meanwhile is followed at once. */
  #askAgain(): void {
    if (this.#isOver) return;
    const holdMs = this.options.bandwidth?.take(0) ?? 0;
    this.#bookedUntilMs = performance.now() + holdMs;
    if (holdMs > 0) this.#waitOnce();
    else this.#drain();
  }

  #drain(): void {
    if (this.#isOver) return;
    if (this.writer.isBehind) return this.#waitOnce();
    this.#setHeld(false);
    this.onDrain();
  }

  #setHeld(isHeld: boolean): void {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    this.options.onHold(isHeld);
  }

  #handInSafely(all: boolean): void {
    try {
      if (!this.#failure) this.#handIn(all);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    if (!this.#isOver) this.onDrain(error);
  }

  /** Gives the writer what the slab holds, `all` of it or whole pages only. */
  #handIn(all: boolean): void {
    const slab = this.#slab;
    if (!slab) return;
    const upTo = all ? this.#fill : this.#fill - (this.#fill % PAGE_BYTES);
    const length = upTo - this.#cut;
    if (length > 0 && !(this.#isSniffing && !all && length < SNIFF_BYTES)) {
      const start = this.#cut;
      if (this.#isSniffing) this.options.inspect(slab.memory.subarray(start, upTo));
      this.#isSniffing = false;
      this.#place({ slab: slab.hold(), start, length, position: this.#position });
      this.#position += length;
      this.#cut = upTo;
      this.#beginPiece(slab);
    }
    if (this.#fill < slab.memory.length) return;
    this.#slab = null;
    slab.release();
  }

  #place(bytes: { slab: Slab; start: number; length: number; position: number }): void {
    this.#placing++;
    this.writer
      .place({
        ...bytes,
        onDifference: this.options.onDifference,
        onFailure: (error) => this.#fail(error),
        isVoid: () => this.#failure !== null,
      })
      .then(
        (newBytes) => (this.newBytes += newBytes),
        (error: unknown) => this.#fail(error),
      )
      .finally(() => {
        if (--this.#placing === 0) this.#settled();
      });
  }
}
