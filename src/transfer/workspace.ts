/**
 * What is open while a directory is worked in: its owner, the partial file, the journal, the writer before them and the
 * hash job behind. They are opened, rolled back and closed together, so that they never speak of different bytes.
 */
import { join } from 'node:path';
import type { ChecksumAlgorithm } from '../jobs/product.js';
import { BlockWriter, type WriterHooks } from './block-writer.js';
import { stored } from './errors.js';
import type { FileHandleLike, Files } from './files.js';
import type { HashJob, HashPool } from './hash-pool.js';
import { Journal, type Block, type JournalState, type SourceFacts } from './journal.js';
import type { Owner } from './owner.js';
import { assertStillThere, openPart, type PartFile } from './part-file.js';

export interface WorkspaceOptions {
  files: Files;
  pool: HashPool;
  directory: string;
  algorithms: ChecksumAlgorithm[];
  blockBytes: number;
  hooks: Pick<WriterHooks, 'inspect' | 'onDifference' | 'onDurable'>;
}

/** Hashes a file while it grows, checking blocks that an earlier process wrote. */
export function follow(
  { pool, algorithms }: Pick<WorkspaceOptions, 'pool' | 'algorithms'>,
  file: FileHandleLike,
  written: readonly Block[],
): HashJob {
  const blocks = [...written].sort((a, b) => a.offset - b.offset);
  return pool.follow(file.fd, algorithms, blocks);
}

export class Workspace {
  readonly writer: BlockWriter;
  #hash: HashJob;
  /** The stream ended by itself, and nobody had said how long it is; or a server says that this is all. */
  hasEnded = false;

  private constructor(
    readonly options: WorkspaceOptions,
    readonly owner: Owner,
    readonly part: PartFile,
    readonly journal: Journal,
  ) {
    this.#hash = follow(options, part.file, journal.state.blocks);
    this.writer = new BlockWriter(options.files, part, journal, options.blockBytes, {
      ...options.hooks,
      onWritten: (have) => this.#hash.advance(have),
      assertOurs: async () => {
        await owner.assertOwned();
        await assertStillThere(part);
      },
    });
    this.#hash.advance(this.have);
  }

  /** `state` is believed as far as the partial file has bytes. */
  static async open(
    options: WorkspaceOptions,
    owner: Owner,
    state: JournalState,
  ): Promise<Workspace> {
    const { files, directory } = options;
    const part = await openPart(files, directory, owner);
    try {
      state.blocks = state.blocks.filter((block) => block.offset + block.length <= part.size);
      return new Workspace(options, owner, part, await Journal.start(files, directory, state));
    } catch (error) {
      await part.file.close();
      throw error;
    }
  }

  /** Bytes on disk, without a gap from the start. */
  get have(): number {
    return this.writer.have;
  }

  get hash(): HashJob {
    return this.#hash;
  }

  get facts(): SourceFacts | null {
    return this.journal.state.source;
  }

  /** Size of the whole as a server has said it; null = nobody has. */
  get total(): number | null {
    return this.facts?.total ?? null;
  }

  get isWhole(): boolean {
    return this.hasEnded || this.have === this.total;
  }

  async learn(facts: SourceFacts): Promise<void> {
    if (JSON.stringify(facts) !== JSON.stringify(this.facts))
      await this.journal.setSource(this.options.files, facts);
  }

  /** Forgets bytes at and behind `upTo` (see BlockWriter); what was hashed of them is hashed anew. */
  async rollback(upTo: number, exact: boolean): Promise<void> {
    await this.#hash.cancel();
    await this.writer.rollback(upTo, exact);
    this.#hash = follow(this.options, this.part.file, this.journal.state.blocks);
    this.#hash.advance(this.have);
    this.hasEnded = false;
  }

  /** Gives the partial file another name in the directory, durably. Nothing may be written afterwards. */
  async rename(name: string): Promise<string> {
    const { files, directory } = this.options;
    const path = join(directory, name);
    await this.owner.assertOwned();
    await stored(files.rename(this.part.path, path));
    await stored(files.syncDirectory(directory));
    return path;
  }

  /** Harmless to the bytes: whatever was durable stays so. */
  async close(): Promise<void> {
    await this.#hash.cancel();
    await this.journal.close().catch(() => undefined);
    await this.part.file.close().catch(() => undefined);
    await this.owner.release().catch(() => undefined);
  }
}
