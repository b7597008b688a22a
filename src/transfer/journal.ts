/**
 * The crash-safe record, beside a partial file, of which of its bytes are there. Append-only lines, each led by its own
 * CRC-32; a line that does not match ends what is believed. A block is recorded once it is written, with its XXH64: after
 * a crash it counts only if the disk gives back just these bytes. `flushed` names what was forced to the disk before the
 * line was written, and that alone is promised to outlive a power cut. Blocks come in any order.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { stored } from './errors.js';
import { replaceFile, type FileHandleLike, type Files } from './files.js';
import {
  isJournalRecord,
  VERSION,
  type Block,
  type Checkpoint,
  type JournalRecord,
  type Mismatch,
  type SourceFacts,
} from './records.js';
import { Spans, type Span } from './spans.js';

export interface JournalState {
  identity: string | null;
  /** Name of the partial file that the rest speaks of; empty = of none yet. */
  part: string;
  source: SourceFacts | null;
  blocks: Block[];
  flushed: Span[];
  checkpoint: Checkpoint | null;
  mismatches: Mismatch[];
}

export function emptyState(identity: string | null = null): JournalState {
  return {
    identity,
    part: '',
    source: null,
    blocks: [],
    flushed: [],
    checkpoint: null,
    mismatches: [],
  };
}

export function spansOf(blocks: readonly Block[]): Span[] {
  return blocks.map(({ offset, length }) => ({ start: offset, end: offset + length }));
}

/** What the bytes of a journal say: everything up to the first line that is torn or garbled. Never throws. */
export function readJournal(bytes: Buffer): JournalState {
  const state = emptyState();
  for (let at = 0; ;) {
    const newline = bytes.indexOf(10, at);
    const record = newline < 0 ? null : bodyOf(bytes.toString('utf8', at, newline));
    if (!isJournalRecord(record)) return state;
    apply(state, record);
    at = newline + 1;
  }
}

/** What a whole line holds; null otherwise. */
function bodyOf(line: string): unknown {
  const body = line.slice(9);
  if (line[8] !== ' ' || line.slice(0, 8) !== checksumOf(body)) return null;
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function formatLine(record: JournalRecord): string {
  const body = JSON.stringify(record);
  return `${checksumOf(body)} ${body}\n`;
}

function checksumOf(body: string): string {
  return crc32(body).toString(16).padStart(8, '0');
}

function apply(state: JournalState, record: JournalRecord): void {
  if ('header' in record) {
    state.identity = record.header.identity;
    state.part = record.header.part;
  } else if ('source' in record) state.source = record.source;
  else if ('block' in record) state.blocks.push(record.block);
  else if ('flushed' in record) state.flushed = record.flushed;
  else if ('hashed' in record) state.checkpoint = record.hashed;
  else if ('lost' in record) lose(state, record.lost);
  else state.mismatches.push(record.mismatch);
}

function lose(state: JournalState, { start, end }: Span): void {
  state.blocks = state.blocks.filter(
    (block) => block.offset >= end || block.offset + block.length <= start,
  );
  const flushed = new Spans(state.flushed);
  flushed.remove(start, end);
  state.flushed = flushed.toArray();
  if (state.checkpoint && state.checkpoint.upTo > start) state.checkpoint = null;
}

function pathIn(directory: string): string {
  return join(directory, 'journal');
}

function compact(state: JournalState): string {
  const { identity, part } = state;
  const records: JournalRecord[] = [
    { header: { version: VERSION, identity: identity ?? '', part } },
  ];
  if (state.source) records.push({ source: state.source });
  for (const mismatch of state.mismatches) records.push({ mismatch });
  // One by one: there may be more of them than a call takes arguments.
  for (const block of state.blocks) records.push({ block });
  if (state.flushed.length > 0) records.push({ flushed: state.flushed });
  if (state.checkpoint) records.push({ hashed: state.checkpoint });
  return records.map(formatLine).join('');
}

export class Journal {
  #pending: string[] = [];
  #writing: Promise<void> | null = null;
  #file: FileHandleLike | null = null;
  #size = 0;
  #isNamed = false;

  private constructor(
    readonly files: Files,
    readonly directory: string,
    readonly state: JournalState,
    readonly assertOurs: () => Promise<void>,
  ) {}

  /** Is there one on disk? */
  get isBegun(): boolean {
    return this.#file !== null;
  }

  /** What the journal of `directory` says; nothing when it speaks of another `identity`. */
  static async load(files: Files, directory: string, identity: string): Promise<JournalState> {
    const content = await stored(files.read(pathIn(directory)));
    const state = content && readJournal(content);
    return state?.identity === identity ? state : emptyState(identity);
  }

  /**
   * A journal that goes on from what is known, and is begun on disk when it has something to say.
   * @param assertOurs the last thing asked before it takes the place of another: a newcomer's must stay
   */
  static of(
    files: Files,
    directory: string,
    state: JournalState,
    assertOurs: () => Promise<void> = async () => undefined,
  ): Journal {
    return new Journal(files, directory, state, assertOurs);
  }

  /**
   * Begins the journal on disk, in a file of its own that replaces an old one: a torn tail is gone, and an earlier owner
   * that still lives cannot append to it. What was promised there is flushed before.
   */
  async begin(): Promise<void> {
    while (this.#writing) await this.#writing;
    if (!this.#file) await this.#write();
  }

  /** Begins the journal in the place of one that promises what will no longer be true: durably. */
  async replace(): Promise<void> {
    try {
      await this.begin();
      await this.#name();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Resolves once the line is in the journal; lines that wait for each other travel together. */
  async addBlock(block: Block): Promise<void> {
    await this.#append({ block });
  }

  /** These bytes outlive a power cut, and so does what says so: flushed itself before it returns. */
  async addFlushed(flushed: Span[]): Promise<void> {
    await this.#append({ flushed });
    await this.#sync();
  }

  async addCheckpoint(hashed: Checkpoint): Promise<void> {
    await this.#append({ hashed });
  }

  /** Flushed before it returns: what follows may overwrite bytes that earlier lines speak of. */
  async lose(lost: Span): Promise<void> {
    await this.#append({ lost });
    await this.#sync();
  }

  /** Of no use without blocks: no journal is begun for it. */
  async setSource(source: SourceFacts): Promise<void> {
    if (this.#file || this.#writing) await this.#append({ source });
    else this.state.source = source;
  }

  async addMismatch(mismatch: Mismatch): Promise<void> {
    await this.#append({ mismatch });
    await this.#sync();
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    await this.#file?.close();
  }

  async #sync(): Promise<void> {
    await stored(this.#file!.datasync());
    await this.#name();
  }

  /** Until its name is flushed, a power cut may bring the journal back that was there before. */
  async #name(): Promise<void> {
    if (!this.#isNamed) await stored(this.files.syncDirectory(this.directory));
    this.#isNamed = true;
  }

  async #append(record: JournalRecord): Promise<void> {
    this.#pending.push(formatLine(record));
    apply(this.state, record);
    while (this.#writing) await this.#writing;
    if (this.#pending.length > 0) await this.#write();
  }

  /** Writes what is pending; into a journal that is only begun goes all that is known, which includes it. */
  async #write(): Promise<void> {
    const lines = Buffer.from(this.#file ? this.#pending.join('') : compact(this.state));
    this.#pending = [];
    this.#writing = (this.#file ? this.#extend(this.#file, lines) : this.#replace(lines)).finally(
      () => (this.#writing = null),
    );
    await this.#writing;
  }

  async #extend(file: FileHandleLike, lines: Buffer): Promise<void> {
    await stored(this.files.writeAll(file, lines, this.#size));
    this.#size += lines.length;
  }

  async #replace(content: Buffer): Promise<void> {
    this.#file = await replaceFile(this.files, pathIn(this.directory), async (fresh) => {
      await stored(this.files.writeAll(fresh, content, 0));
      await stored(fresh.datasync());
      await this.assertOurs();
    });
    this.#size = content.length;
  }
}
