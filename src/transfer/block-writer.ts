/**
 * The way of bytes from a connection to the disk and into the journal. Reads land in slabs that are reused; one positional
 * write is in flight at a time; behind it one flush, and behind the flush the journal's block. Bytes below `have` are on
 * disk already: they are compared and not written. Memory is bounded by the slabs, and what a crash would cost by
 * `blockBytes`: reading stops while half a block waits to become durable.
 */
import { crc32 } from 'node:zlib';
import { retry, stored } from './errors.js';
import type { Files } from './files.js';
import type { BodySink } from './http/exchange.js';
import type { Journal } from './journal.js';
import type { PartFile } from './part-file.js';

const SLAB_BYTES = 256 * 1024;
const MAX_SLABS = 4;
/** What came is flushed at least this often, however little. */
const FLUSH_MS = 400;
/** The directory is looked at this often; should it be somebody else's by then, they have a file of their own. */
const CHECK_MS = 50;
/** The first bytes are held back until there are enough to tell what they are. */
const SNIFF_BYTES = 512;

interface Piece {
  bytes: Buffer;
  position: number;
  /** The slab is free again once this piece is done. */
  last: Slab | null;
}

interface Slab {
  memory: Buffer;
}

export interface WriterHooks {
  /** Bytes [0, have) are in the file. */
  onWritten: (have: number) => void;
  /** A block became durable. */
  onDurable: (durable: number) => void;
  /** Before any byte of an answer is kept that starts at 0. Throws to refuse it. */
  inspect: (first: Buffer) => void;
  /** Served bytes differ from those on disk at this offset: rolls back and returns, or throws. */
  onDifference: (at: number) => Promise<void>;
  /** Throws when the directory belongs to somebody else or the file is gone. */
  assertOurs: () => Promise<void>;
}

export class BlockWriter implements BodySink {
  onDrain: (failure?: unknown) => void = () => undefined;
  /** Bytes [0, have) are in the file, flushed or not. */
  have: number;
  /** The present body has brought more than its end allows. */
  isOverrun = false;
  readonly #spare: Slab[] = [];
  #slab: Slab | null = null;
  #slabs = 0;
  #fill = 0;
  #cut = 0;
  #position = 0;
  #start = 0;
  #sniffing = false;
  #queue: Piece[] = [];
  #writing: Promise<void> | null = null;
  #syncing: Promise<void> | null = null;
  #failure: unknown;
  /** CRC-32 of [durable, have). */
  #crc = 0;
  #durable: number;
  #held = false;
  #end = Infinity;
  #checkedAtMs = 0;
  #syncedAtMs = 0;
  #flushTimer: NodeJS.Timeout | undefined;
  #compareMemory: Buffer | null = null;

  constructor(
    readonly files: Files,
    readonly part: PartFile,
    readonly journal: Journal,
    readonly blockBytes: number,
    readonly hooks: WriterHooks,
  ) {
    this.have = journal.durable;
    this.#durable = this.have;
  }

  /** The next body covers [position, end); what is beyond is refused. */
  begin(position: number, end: number): void {
    this.#position = this.#start = position;
    this.#end = end;
    this.isOverrun = false;
    this.#sniffing = position === 0;
    this.#fill = this.#cut = 0;
    this.#syncedAtMs = performance.now();
    this.#flushTimer = setInterval(() => {
      this.#flush(false);
      this.#syncSoon();
    }, FLUSH_MS);
  }

  /** Does the present body bring the file from its first byte? */
  get startsAtZero(): boolean {
    return this.#start === 0;
  }

  space(): Buffer {
    this.#slab ??= this.#takeSlab();
    return this.#slab.memory.subarray(this.#fill);
  }

  filled(bytes: number): boolean {
    this.#fill += bytes;
    if (this.#received() > this.#end) {
      this.#fill -= this.#received() - this.#end;
      this.isOverrun = true;
      throw retry('SourceRefused', 'The server sends more bytes than it announced');
    }
    if (this.#slab && this.#fill === this.#slab.memory.length) this.#flush(true);
    if (this.#failure !== undefined) throw this.#failure as Error;
    if (!this.#isBehind()) return true;
    this.#held = true;
    this.#flush(false);
    this.#syncSoon();
    return false;
  }

  /** Writes, flushes and journals all that has come. Throws the first failure; the next body may begin afterwards. */
  async settle(): Promise<void> {
    clearInterval(this.#flushTimer);
    this.#flush(true);
    await this.#writing;
    await this.#syncing;
    if (this.#failure === undefined)
      await this.#syncAll().catch((error: unknown) => this.#fail(error));
    const failure = this.#failure;
    this.#failure = undefined;
    this.#held = false;
    if (failure !== undefined) throw failure as Error;
  }

  /**
   * Forgets everything at and behind `upTo`, durably, before it may be overwritten. Afterwards `have` is `upTo`, or, when
   * `exact` is false, the end of the last whole block before it.
   */
  async rollback(upTo: number, exact: boolean): Promise<void> {
    await this.#syncing;
    await this.journal.keep(this.files, upTo);
    this.#durable = this.journal.durable;
    this.have = this.#durable;
    this.#crc = 0;
    if (exact) await this.#readAgain(upTo);
    this.hooks.onDurable(this.#durable);
  }

  /** Bytes [durable, upTo) are on disk and right: only their block is not in the journal any longer. */
  async #readAgain(upTo: number): Promise<void> {
    while (this.have < upTo) {
      const bytes = await this.#readBack(this.have, Math.min(SLAB_BYTES, upTo - this.have));
      this.#crc = crc32(bytes, this.#crc);
      this.have += bytes.length;
    }
  }

  #takeSlab(): Slab {
    this.#slabs++;
    return this.#spare.pop() ?? { memory: Buffer.allocUnsafeSlow(SLAB_BYTES) };
  }

  #isBehind(): boolean {
    return this.#slabs > MAX_SLABS || this.#received() - this.#durable > this.#room();
  }

  /** End of what has come of the present body, as an offset in the file. */
  #received(): number {
    return this.#position + this.#fill - this.#cut;
  }

  /** How far reading may run ahead of the journal. */
  #room(): number {
    return Math.max(this.blockBytes / 2, SLAB_BYTES);
  }

  /** Hands what the slab holds to the writer; `whole` also gives the slab away. */
  #flush(whole: boolean): void {
    const slab = this.#slab;
    if (!slab) return;
    const bytes = slab.memory.subarray(this.#cut, this.#fill);
    if (!whole && (bytes.length === 0 || (this.#sniffing && bytes.length < SNIFF_BYTES))) return;
    this.#queue.push({ bytes, position: this.#position, last: whole ? slab : null });
    this.#position += bytes.length;
    this.#cut = this.#fill;
    if (whole) {
      this.#slab = null;
      this.#fill = this.#cut = 0;
    }
    this.#writing ??= this.#writeQueue().finally(() => (this.#writing = null));
  }

  async #writeQueue(): Promise<void> {
    for (let piece; (piece = this.#queue.shift());) {
      if (this.#failure === undefined)
        await this.#place(piece).catch((error: unknown) => this.#fail(error));
      if (piece.last) {
        this.#slabs--;
        this.#spare.push(piece.last);
      }
      this.#drain();
    }
  }

  async #place({ bytes, position }: Piece): Promise<void> {
    if (bytes.length === 0) return;
    if (this.#sniffing) {
      this.hooks.inspect(bytes);
      this.#sniffing = false;
    }
    await this.#assertOurs();
    const known = Math.min(bytes.length, Math.max(0, this.have - position));
    const equal = await this.#compare(bytes.subarray(0, known), position);
    if (equal < known) await this.hooks.onDifference(position + equal);
    const fresh = bytes.subarray(equal);
    if (fresh.length === 0) return;
    await stored(this.files.writeAll(this.part.file, fresh, this.have));
    this.#crc = crc32(fresh, this.#crc);
    this.have += fresh.length;
    this.hooks.onWritten(this.have);
    this.#syncSoon();
  }

  /** How many of these bytes are on disk at `position` just so. */
  async #compare(bytes: Buffer, position: number): Promise<number> {
    if (bytes.length === 0) return 0;
    const onDisk = await this.#readBack(position, bytes.length);
    if (bytes.equals(onDisk)) return bytes.length;
    let at = 0;
    while (bytes[at] === onDisk[at]) at++;
    return at;
  }

  async #readBack(position: number, length: number): Promise<Buffer> {
    this.#compareMemory ??= Buffer.allocUnsafeSlow(SLAB_BYTES);
    let fill = 0;
    while (fill < length) {
      const { bytesRead } = await stored(
        this.part.file.read(this.#compareMemory, fill, length - fill, position + fill),
      );
      if (bytesRead === 0) break;
      fill += bytesRead;
    }
    return this.#compareMemory.subarray(0, fill);
  }

  #syncSoon(): void {
    if (this.#syncing || this.#failure !== undefined) return;
    const enough = this.#held || this.have - this.#durable >= this.#room() / 2;
    if (!enough && performance.now() - this.#syncedAtMs < FLUSH_MS) return;
    if (this.have === this.#durable) return;
    this.#syncedAtMs = performance.now();
    this.#syncing = this.#sync()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#syncing = null;
        this.#drain();
      });
  }

  async #syncAll(): Promise<void> {
    await this.#sync();
    await this.journal.sync();
  }

  /** Flush first, then the record that says so. */
  async #sync(): Promise<void> {
    const upTo = this.have;
    const block = { offset: this.#durable, length: upTo - this.#durable, crc32: this.#crc };
    if (block.length === 0) return;
    this.#crc = 0;
    await stored(this.part.file.datasync());
    await this.#assertOurs();
    await this.journal.addBlock(this.files, block);
    this.#durable = upTo;
    this.hooks.onDurable(upTo);
  }

  async #assertOurs(): Promise<void> {
    if (performance.now() - this.#checkedAtMs < CHECK_MS) return;
    await this.hooks.assertOurs();
    this.#checkedAtMs = performance.now();
  }

  #drain(): void {
    if (!this.#held || this.#isBehind()) return;
    this.#held = false;
    this.onDrain();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.onDrain(error);
  }
}
