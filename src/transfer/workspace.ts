/**
 * What is open while a directory is worked in: its owner, the partial file, the journal, the ledger of what is there, the
 * writer before them and the hash job behind. They are opened, corrected and closed together, so that they never speak of
 * different bytes.
 */
import { join } from 'node:path';
import type { ChecksumAlgorithm } from '../jobs/product.js';
import { stored } from './errors.js';
import type { Files } from './files.js';
import type { HashJob, HashPool } from './hash-pool.js';
import { Journal, spansOf, type JournalState } from './journal.js';
import { Ledger } from './ledger.js';
import type { Owner } from './owner.js';
import { makeOwnCopy } from './own-copy.js';
import { assertStillThere, isUnfinished, openPart, type PartFile } from './part-file.js';
import { PartWriter } from './part-writer.js';
import type { SourceFacts } from './records.js';
import { Spans, type Span } from './spans.js';

export interface WorkspaceOptions {
  files: Files;
  pool: HashPool;
  directory: string;
  algorithms: ChecksumAlgorithm[];
  signal: AbortSignal;
  onWritten: (bytes: number) => void;
}

export class Workspace {
  readonly ledger: Ledger;
  readonly writer: PartWriter;
  #hash: HashJob;
  /** The stream ended by itself, and nobody had said how long it is; or a server says that this is all. */
  hasEnded = false;
  /** The partial file has become something else. */
  #isRenamed = false;
  /** Where blocks of earlier processes lie: they count as wholes, by the digest that the journal holds of each. */
  readonly #inherited: readonly Span[];

  private constructor(
    readonly options: WorkspaceOptions,
    readonly owner: Owner,
    readonly part: PartFile,
    readonly journal: Journal,
  ) {
    this.#inherited = spansOf(journal.state.blocks);
    this.ledger = new Ledger(this.#inherited);
    this.ledger.doubtAll();
    this.#hash = this.#follow();
    this.writer = new PartWriter(part, journal, this.ledger, options.pool.slabs, {
      onWritten: () => {
        this.#hash.advance(this.have);
        options.onWritten(this.ledger.bytes);
      },
      hash: () => this.#hash,
      digestOfBlock: options.pool.digestOfBlock,
      assertOurs: async () => {
        await owner.assertOwned();
        await assertStillThere(part);
      },
      beforePromise: () => owner.flush(),
    });
    this.writer.savesDigests = journal.state.checkpoint !== null;
  }

  /** `state` is believed where it speaks of the partial file, and as far as that has bytes. What others left among the directory's `names` goes. */
  static async open(
    options: WorkspaceOptions,
    owner: Owner,
    state: JournalState,
    names: readonly string[],
  ): Promise<Workspace> {
    const { files, directory, signal } = options;
    if (state.part !== owner.part) state.blocks = [];
    if (owner.shared) {
      const { blocks } = state;
      const { digestOfBlock } = options.pool;
      // Whoever may still be alive writes for a moment longer: what we copy is read again.
      state.checkpoint = null;
      state.blocks = await makeOwnCopy(owner, { files, directory, blocks, digestOfBlock, signal });
    }
    const part = await openPart(files, directory, owner);
    let journal: Journal | null = null;
    try {
      state.part = owner.part;
      state.blocks = state.blocks.filter(({ offset, length }) => offset + length <= part.size);
      const there = new Spans(spansOf(state.blocks));
      state.flushed = state.flushed.filter(({ start, end }) => there.has(start, end));
      if (state.checkpoint && !new Spans(state.flushed).has(0, state.checkpoint.upTo))
        state.checkpoint = null;
      journal = Journal.of(files, directory, state, () => owner.assertOwned());
      if (names.includes('journal')) await journal.replace();
      await owner.assertOwned();
      for (const name of names)
        if (isUnfinished(name) && name !== owner.part)
          await stored(files.remove(join(directory, name)));
      return new Workspace(options, owner, part, journal);
    } catch (error) {
      await journal?.close().catch(() => undefined);
      await part.close();
      throw error;
    }
  }

  /** Bytes on disk, without a gap from the start. */
  get have(): number {
    return this.ledger.written.prefix;
  }

  get hash(): HashJob {
    return this.#hash;
  }

  get facts(): SourceFacts | null {
    return this.journal.state.source;
  }

  async learn(facts: SourceFacts): Promise<void> {
    if (JSON.stringify(facts) !== JSON.stringify(this.facts)) await this.journal.setSource(facts);
  }

  /**
   * Forgets bytes [start, end), durably; what was hashed of them is hashed anew. Of a block that an earlier process wrote the
   * rest goes too: the journal's digest is of the whole, and nothing else would tell whether the disk still has it.
   * @returns where what is forgotten begins
   */
  async forget(start: number, end: number): Promise<number> {
    const cut = this.#inherited.filter((block) => block.start < end && block.end > start);
    const from = cut.reduce((least, block) => Math.min(least, block.start), start);
    const to = cut.reduce((most, block) => Math.max(most, block.end), end);
    await this.#forget(from, to);
    return from;
  }

  /**
   * Forgets the blocks of earlier processes that the disk did not give back as they were written, and no others.
   * @param isUnpinned nothing tells whether the object is still the same: then what follows the first of them goes too
   */
  async forgetDamaged(isUnpinned: boolean): Promise<void> {
    const spans = new Spans(spansOf(this.#hash.damaged)).toArray();
    if (isUnpinned && spans[0]) spans[0].end = Number.MAX_SAFE_INTEGER;
    for (const { start, end } of spans) this.ledger.doubt(await this.forget(start, end));
  }

  /** Forgets what lies behind bytes that the server has just repeated, and these alone. */
  async forgetBehind(position: number): Promise<void> {
    if (this.ledger.written.touches(position, Number.MAX_SAFE_INTEGER))
      await this.#forget(position, Number.MAX_SAFE_INTEGER);
  }

  /** Also how long the file is: who said so may have been as wrong as the bytes. */
  async forgetAll(): Promise<void> {
    await this.#forget(0, Number.MAX_SAFE_INTEGER);
    if (this.facts) await this.learn({ ...this.facts, total: null });
  }

  async #forget(start: number, end: number): Promise<void> {
    await this.writer.forget({ start, end });
    this.#hash.forget(start, end);
    if (this.#hash.isOver || this.#hash.handed > start) await this.followAnew();
    this.hasEnded = false;
  }

  /** Begins the digests again, from where they were saved last. */
  async followAnew(): Promise<void> {
    const before = this.#hash;
    this.#hash = this.#follow();
    await before.cancel();
  }

  /** Gives the partial file another name in the directory, durably. Nothing may be written afterwards. */
  async rename(name: string): Promise<string> {
    const { files, directory } = this.options;
    const path = join(directory, name);
    await this.owner.assertOwned();
    await stored(files.rename(this.part.path, path));
    this.#isRenamed = true;
    await stored(files.syncDirectory(directory));
    return path;
  }

  /** Harmless to the bytes: whatever was written stays so, and is recorded if it may be of use. */
  async close(): Promise<void> {
    if (!this.#isRenamed && this.writer.hasUnrecorded)
      await this.writer.flush().catch(() => undefined);
    await this.writer.settle();
    await this.#hash.cancel();
    await this.journal.close().catch(() => undefined);
    await this.part.close();
    await this.owner.release(this.#isRenamed).catch(() => undefined);
  }

  #follow(): HashJob {
    const { blocks, checkpoint } = this.journal.state;
    const hash = this.options.pool.follow({
      fd: this.part.file.fd,
      algorithms: this.options.algorithms,
      written: blocks,
      checkpoint,
    });
    hash.advance(this.have);
    return hash;
  }
}
