/**
 * The way of bytes from memory to the disk, for all connections of one file: two positional writes at a time, each block's
 * digest into the journal once both are there, and every second or so a flush, after which the journal may promise. Bytes
 * that are on disk already are compared and not written. Memory is bounded by the slabs under way.
 */
import type { BlockDigest } from './block-digest.js';
import { PartialLost, stored } from './errors.js';
import type { HashJob } from './hash-pool.js';
import type { Journal } from './journal.js';
import type { Ledger } from './ledger.js';
import type { PartFile } from './part-file.js';
import type { Checkpoint } from './records.js';
import type { Slab, SlabPool } from './slabs.js';
import { Spans, type Span } from './spans.js';

/** The second is at hand when the first is done. */
const MOST_WRITES = 2;
const FLUSH_BYTES = 64 * 1024 * 1024;
const FLUSH_MS = 1_000;
/** What lasts no longer than this need not be recorded, where it may be lost. */
const BRIEF_MS = 200;
/** What was not recorded when it was written is read back in pieces of this size. */
const READ_BYTES = 64 * 1024;
/** The directory is looked at this often; should it be somebody else's by then, they have a file of their own. */
const CHECK_MS = 200;
/** Slabs that one transfer may hold: so many, or with several connections a few and one for each. */
const LEAST_SLABS = 5;
const FEW_SLABS = 2;

/** Bytes in a slab, to be placed at `position` of the file. */
export interface Piece {
  slab: Slab;
  start: number;
  length: number;
  position: number;
  /** Served bytes differ from those on disk at this offset: forgets what is wrong and returns, or throws. */
  onDifference: (at: number) => Promise<void>;
  /** Called before anything else is begun: this piece was refused, and what follows of the same answer is void. */
  onFailure: (error: unknown) => void;
  /** An earlier piece of the same answer was refused: nothing that follows is kept. */
  isVoid: () => boolean;
}

export interface WriterHooks {
  digestOfBlock: BlockDigest;
  onWritten: () => void;
  /** The hash job of the moment: it is another one after bytes were forgotten. */
  hash: () => HashJob;
  /** Throws when the directory belongs to somebody else or the file is gone. */
  assertOurs: () => Promise<void>;
  /** Called before the journal promises anything: what leads to the file is flushed as well. */
  beforePromise: () => Promise<void>;
}

export class PartWriter {
  /** Connections that bring bytes at the moment. */
  connections = 0;
  /** As long as the file will be; it is made so before its first byte, so that blocks may be written anywhere. */
  fileBytes = 0;
  /** As many bytes may wait for disk and journal before connections wait too: an interruption would cost them. */
  mostUnsafe = Infinity;
  /** An interruption may cost the whole file: nothing of it is recorded before the first flush. */
  isExpendable = false;
  /** The digests' state is saved with each flush, where it can be. */
  savesDigests = false;
  readonly #queue: {
    piece: Piece;
    resolve: (newBytes: number) => void;
    reject: (error: unknown) => void;
  }[] = [];
  readonly #waiting = new Set<() => void>();
  #working = 0;
  /** Where: what comes for the same place is compared with it afterwards. */
  readonly #writing = new Spans();
  /** A comparison is under way: what follows depends on it. */
  #isComparing = false;
  /** Bytes are about to be forgotten: nothing is begun meanwhile. */
  #forgetting = 0;
  #slabs = 0;
  #failure: { error: unknown } | null = null;
  #unwritten = 0;
  /** On disk, on their way to the journal. */
  #untold = 0;
  #unflushed = 0;
  /** Lines of the journal that are under way; none of them rejects. */
  readonly #recording = new Set<Promise<void>>();
  /** On disk, and not meant for the journal yet. */
  readonly #unrecorded = new Spans();
  #flushing: Promise<void> | null = null;
  #flushTimer: NodeJS.Timeout | undefined;
  #checkedAtMs = 0;
  #checking: Promise<void> | null = null;
  #checkpoint: { hash: HashJob; saved: Checkpoint } | null = null;

  constructor(
    readonly part: PartFile,
    readonly journal: Journal,
    readonly ledger: Ledger,
    readonly pool: SlabPool,
    readonly hooks: WriterHooks,
  ) {}

  /** Memory for the next bytes of this file, of which `bytes` are handed in together. */
  takeSlab(bytes?: number): Slab {
    this.#slabs++;
    return this.pool.take(() => {
      this.#slabs--;
      this.#tellRoom();
    }, bytes);
  }

  /** Should connections wait, because disk or digests do not keep up? What they fill at the moment they may always fill. */
  get isBehind(): boolean {
    const most = Math.max(LEAST_SLABS, FEW_SLABS + this.connections);
    if (this.#unwritten + this.#untold >= this.mostUnsafe) return true;
    return this.#slabs >= most || (this.pool.isTight && this.#slabs > this.connections);
  }

  /** Calls once, as soon as it is worth looking again. */
  whenRoom(callback: () => void): void {
    this.#waiting.add(callback);
    this.pool.whenFreed(() => this.#tellRoom());
    queueMicrotask(() => this.#makeRoom());
  }

  /** Takes the piece's hold on its slab over. Resolves when the bytes are in the file, with how many were not there before. */
  async place(piece: Piece): Promise<number> {
    this.#unwritten += piece.length;
    return await new Promise<number>((resolve, reject) => {
      this.#queue.push({ piece, resolve, reject });
      this.#work();
    });
  }

  /** Would a later process not know of some of the bytes? */
  get hasUnrecorded(): boolean {
    return this.#unrecorded.bytes > 0;
  }

  /** Forces what is in the file to the disk. The journal is not told: there is nothing left to go on from. */
  async sync(): Promise<void> {
    await this.#endFlush();
    this.#throwFailure();
    await this.#syncPart();
  }

  /** Forces what is in the file to the disk, and then says so in the journal. */
  async flush(): Promise<void> {
    while (this.#flushing) await this.#flushing;
    this.#stopTimer();
    this.#throwFailure();
    this.#flushing = this.#flush().finally(() => (this.#flushing = null));
    await this.#flushing;
  }

  /** Nothing is written any longer behind the caller's back. */
  async settle(): Promise<void> {
    await this.#endFlush();
    await this.#recorded();
  }

  /** Forgets bytes durably, before they may be overwritten. */
  async forget(span: Span): Promise<void> {
    this.#forgetting++;
    try {
      // A line that came later would bring them back.
      while (this.#flushing || this.#recording.size > 0) {
        await this.#flushing?.catch(() => undefined);
        await this.#recorded();
      }
      this.ledger.forget(span.start, span.end);
      this.#unrecorded.remove(span.start, span.end);
      await this.journal.lose(span);
    } catch (error) {
      // The journal on disk still believes in these bytes: nothing may be written over them.
      this.#failure ??= { error };
      throw error;
    } finally {
      this.#forgetting--;
      this.#work();
    }
  }

  #work(): void {
    if (this.#forgetting > 0) return;
    for (let next; (next = this.#queue[0]) && this.#working < MOST_WRITES;) {
      const { piece, resolve, reject } = next;
      const { position } = piece;
      const end = position + piece.length;
      const isKnown = [this.ledger.written, this.#writing].some((spans) =>
        spans.touches(position, end),
      );
      if (this.#isComparing || (isKnown && this.#working > 0)) return;
      this.#queue.shift();
      this.#isComparing = isKnown;
      this.#writing.add(position, end);
      this.#working++;
      this.#place(piece)
        .then(resolve, (error: unknown) => {
          piece.onFailure(error);
          reject(error);
        })
        .finally(() => {
          this.#isComparing = false;
          this.#writing.remove(position, end);
          this.#working--;
          this.#unwritten -= piece.length;
          piece.slab.release();
          this.#work();
          this.#makeRoom();
        });
    }
  }

  async #place(piece: Piece): Promise<number> {
    const { slab, start, length, position } = piece;
    this.#throwFailure();
    if (piece.isVoid()) return 0;
    await this.#assertOurs();
    const end = position + length;
    let newBytes = 0;
    for (let at = position; at < end;) {
      const bytes = slab.memory.subarray(start + at - position, start + length);
      const known = Math.min(this.ledger.written.endAt(at), end) - at;
      if (known > 0) {
        const equal = await this.#compare(bytes.subarray(0, known), at);
        if (equal < known) await piece.onDifference(at + equal);
        at += equal;
      } else {
        const fresh = Math.min(this.ledger.written.nextStart(at), end) - at;
        await this.#write(slab, start + at - position, fresh, at);
        at += fresh;
        newBytes += fresh;
      }
    }
    return newBytes;
  }

  async #write(slab: Slab, start: number, length: number, position: number): Promise<void> {
    const bytes = slab.memory.subarray(start, start + length);
    await this.part.lengthen(this.fileBytes);
    const isBlock = !this.isExpendable;
    const offered = this.hooks.hash().offer({ position, slab, start, length, isBlock });
    const xxh64 = isBlock ? this.#digestOf(bytes, slab.hold(), offered) : null;
    await this.part.write(bytes, position, slab.offset === null ? null : slab.offset + start);
    this.ledger.written.add(position, position + length);
    this.hooks.onWritten();
    if (xxh64 === null) this.#unrecorded.add(position, position + length);
    else this.#record(position, length, xxh64);
    this.#unflushed += length;
    this.#flushSoon();
  }

  /** From the hash thread, or our own where that does not come to these bytes in memory. Lets go of the slab. */
  async #digestOf(bytes: Buffer, slab: Slab, offered: Promise<string | null>): Promise<string> {
    const digest = (await offered) ?? this.hooks.digestOfBlock(bytes);
    slab.release();
    return digest;
  }

  /** The journal follows; nobody waits for a line, but whoever flushes hears of its failure. */
  #record(offset: number, length: number, xxh64: string | Promise<string>): void {
    this.#untold += length;
    const line = async () => this.journal.addBlock({ offset, length, xxh64: await xxh64 });
    const recording = line()
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => {
        this.#recording.delete(recording);
        this.#untold -= length;
        this.#tellRoom();
      });
    this.#recording.add(recording);
  }

  /** Resolves once the journal has said all that it is to say so far. */
  async #recorded(): Promise<void> {
    await Promise.all(this.#recording);
  }

  /** From now on every block is recorded, and those that were not are read back for it. */
  async #recordAll(): Promise<void> {
    this.isExpendable = false;
    const spans = this.#unrecorded.toArray();
    const memory = Buffer.allocUnsafeSlow(spans.length > 0 ? READ_BYTES : 0);
    for (const { start, end } of spans)
      for (let at = start; at < end; at += READ_BYTES) {
        const wanted = memory.subarray(0, end - at);
        const bytes = await this.#readBack(wanted, at);
        if (bytes.length < wanted.length) throw new PartialLost('The partial file was cut');
        this.#unrecorded.remove(at, at + bytes.length);
        this.#record(at, bytes.length, this.hooks.digestOfBlock(bytes));
      }
  }

  /** How many of these bytes are on disk at `position` just so. */
  async #compare(bytes: Buffer, position: number): Promise<number> {
    const onDisk = await this.#readBack(Buffer.allocUnsafe(bytes.length), position);
    if (bytes.equals(onDisk)) return bytes.length;
    let at = 0;
    while (at < onDisk.length && bytes[at] === onDisk[at]) at++;
    return at;
  }

  /** Fills `memory`, or less of it where the file ends. */
  async #readBack(memory: Buffer, position: number): Promise<Buffer> {
    let fill = 0;
    while (fill < memory.length) {
      const { bytesRead } = await stored(
        this.part.file.read(memory, fill, memory.length - fill, position + fill),
      );
      if (bytesRead === 0) break;
      fill += bytesRead;
    }
    return memory.subarray(0, fill);
  }

  #flushSoon(): void {
    if (this.#flushing || this.#failure) return;
    const start = () => {
      if (this.#flushing || this.#failure) return;
      this.#flushTimer = undefined;
      this.#flushing = this.#flush()
        .catch((error: unknown) => void (this.#failure ??= { error }))
        .finally(() => {
          this.#flushing = null;
          if (this.#unflushed > 0) this.#flushSoon();
        });
    };
    const waitMs = this.isExpendable ? BRIEF_MS : FLUSH_MS;
    if (this.#unflushed < FLUSH_BYTES) this.#flushTimer ??= setTimeout(start, waitMs);
    else {
      this.#stopTimer();
      start();
    }
  }

  async #endFlush(): Promise<void> {
    this.#stopTimer();
    // One that ends may begin the next.
    while (this.#flushing) await this.#flushing.catch(() => undefined);
    this.#stopTimer();
  }

  #stopTimer(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
  }

  /** Flush first, then the line that says so; digests are saved once all that they cover outlives a power cut. */
  async #flush(): Promise<void> {
    // A journal that is only begun takes the place of whatever is there.
    if (!this.journal.isBegun) await this.hooks.assertOurs();
    await this.#recordAll();
    const hash = this.hooks.hash();
    const fresh = this.savesDigests ? await hash.checkpoint().catch(() => null) : null;
    this.#unflushed = 0;
    const written = this.ledger.written.toArray();
    const recorded = this.#recorded();
    await this.#syncPart();
    await recorded;
    await this.#assertOurs();
    await this.hooks.beforePromise();
    await this.journal.addFlushed(written);
    const flushedTo = written[0]?.start === 0 ? written[0].end : 0;
    const earlier = this.#checkpoint?.hash === hash ? this.#checkpoint.saved : null;
    const covered = [fresh, earlier].find((one) => one && one.upTo <= flushedTo);
    if (covered && hash === this.hooks.hash()) await this.journal.addCheckpoint(covered);
    this.#checkpoint = fresh && { hash, saved: fresh };
  }

  /** What could not be flushed is lost, though it may still be read and the next flush says nothing of it. */
  async #syncPart(): Promise<void> {
    try {
      await stored(this.part.file.datasync());
    } catch (error) {
      this.#failure ??= { error };
      const unsafe = new Spans(this.ledger.written.toArray());
      for (const { start, end } of this.journal.state.flushed) unsafe.remove(start, end);
      if (this.journal.isBegun)
        for (const span of unsafe.toArray()) await this.journal.lose(span).catch(() => undefined);
      throw error;
    }
  }

  async #assertOurs(): Promise<void> {
    if (performance.now() - this.#checkedAtMs < CHECK_MS) return;
    this.#checking ??= this.hooks
      .assertOurs()
      .then(() => void (this.#checkedAtMs = performance.now()))
      .finally(() => (this.#checking = null));
    await this.#checking;
  }

  /** Nothing is on its way to the disk: what the digests keep for later would wait for bytes that wait for room. */
  #makeRoom(): void {
    if (this.#working === 0 && this.#waiting.size > 0) this.hooks.hash().letGo();
    this.#tellRoom();
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error as Error;
  }

  #tellRoom(): void {
    if (this.isBehind) return;
    const callbacks = [...this.#waiting];
    this.#waiting.clear();
    for (const callback of callbacks) callback();
  }
}
