/**
 * The crash-safe record, beside a partial file, of which of its bytes are there. Append-only lines, each led by its own
 * CRC-32; a line that does not match ends what is believed. A block is recorded once it is written, with its CRC-32: after
 * a crash it counts only if the disk gives back just these bytes. `flushed` names what was forced to the disk before the
 * line was written, and that alone is promised to outlive a power cut. Blocks come in any order.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { stored } from './errors.js';
import { replaceFile, type FileHandleLike, type Files } from './files.js';
import { Spans, type Span } from './spans.js';

const offsetSchema = z.number().int().nonnegative();
const blockSchema = z.object({
  offset: offsetSchema,
  length: z.number().int().positive(),
  crc32: offsetSchema,
});
/** Bytes [offset, offset + length) were written, and had this CRC-32. */
export type Block = z.infer<typeof blockSchema>;

const spanSchema = z.object({ start: offsetSchema, end: offsetSchema });

const sourceFactsSchema = z.object({
  /** Size of the whole, once a server has said it. */
  total: offsetSchema.nullable(),
  etag: z.string().nullable(),
  lastModified: z.string().nullable(),
  disposition: z.string().nullable(),
});
/** What the server said of the object that the bytes belong to. */
export type SourceFacts = z.infer<typeof sourceFactsSchema>;

const checkpointSchema = z.object({
  upTo: offsetSchema,
  /** By algorithm, as base64: the state of the hash over bytes [0, upTo). */
  states: z.record(z.string(), z.string()),
});
/** Digests half-way, so that a later process need not read these bytes again. */
export type Checkpoint = z.infer<typeof checkpointSchema>;

const mismatchSchema = z.object({ bytes: z.number(), digests: z.record(z.string(), z.string()) });
/** A full copy that contradicted the announced digests. */
export type Mismatch = z.infer<typeof mismatchSchema>;

const recordSchema = z.union([
  z.object({ header: z.object({ version: z.literal(2), identity: z.string() }) }),
  z.object({ source: sourceFactsSchema }),
  z.object({ block: blockSchema }),
  z.object({ flushed: z.array(spanSchema) }),
  z.object({ hashed: checkpointSchema }),
  /** Nothing in this span is believed any longer. */
  z.object({ lost: spanSchema }),
  z.object({ mismatch: mismatchSchema }),
]);
type JournalRecord = z.infer<typeof recordSchema>;

export interface JournalState {
  identity: string | null;
  source: SourceFacts | null;
  blocks: Block[];
  flushed: Span[];
  checkpoint: Checkpoint | null;
  mismatches: Mismatch[];
}

export function emptyState(): JournalState {
  return {
    identity: null,
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
    const record = newline < 0 ? null : parseLine(bytes.toString('utf8', at, newline));
    if (!record) return state;
    apply(state, record);
    at = newline + 1;
  }
}

function parseLine(line: string): JournalRecord | null {
  const body = line.slice(9);
  if (line[8] !== ' ' || line.slice(0, 8) !== checksumOf(body)) return null;
  try {
    return recordSchema.parse(JSON.parse(body));
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
  if ('header' in record) state.identity = record.header.identity;
  else if ('source' in record) state.source = record.source;
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
  const records: JournalRecord[] = [{ header: { version: 2, identity: state.identity ?? '' } }];
  if (state.source) records.push({ source: state.source });
  records.push(...state.mismatches.map((mismatch) => ({ mismatch })));
  records.push(...state.blocks.map((block) => ({ block })));
  if (state.flushed.length > 0) records.push({ flushed: state.flushed });
  if (state.checkpoint) records.push({ hashed: state.checkpoint });
  return records.map(formatLine).join('');
}

export class Journal {
  #pending: string[] = [];
  #writing: Promise<void> | null = null;

  private constructor(
    readonly files: Files,
    readonly state: JournalState,
    private readonly file: FileHandleLike,
    private size: number,
  ) {}

  /** What the journal of `directory` says; nothing when it speaks of another `identity`. */
  static async load(files: Files, directory: string, identity: string): Promise<JournalState> {
    const state = readJournal((await stored(files.read(pathIn(directory)))) ?? Buffer.alloc(0));
    return state.identity === identity ? state : { ...emptyState(), identity };
  }

  /**
   * Starts a journal with what is known, in a file of its own that replaces the old one: a torn tail is gone, and an
   * earlier owner that still lives cannot append to it.
   */
  static async start(files: Files, directory: string, state: JournalState): Promise<Journal> {
    const content = Buffer.from(compact(state));
    const file = await replaceFile(files, pathIn(directory), async (fresh) => {
      await stored(files.writeAll(fresh, content, 0));
      await stored(fresh.datasync());
    });
    return new Journal(files, state, file, content.length);
  }

  /** Resolves once the line is in the journal; lines that wait for each other travel together. */
  async addBlock(block: Block): Promise<void> {
    await this.#append({ block });
  }

  /** These bytes outlive a power cut. Flushed itself before it returns. */
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

  async setSource(source: SourceFacts): Promise<void> {
    await this.#append({ source });
  }

  async addMismatch(mismatch: Mismatch): Promise<void> {
    await this.#append({ mismatch });
    await this.#sync();
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    await this.file.close();
  }

  async #sync(): Promise<void> {
    await stored(this.file.datasync());
  }

  async #append(record: JournalRecord): Promise<void> {
    this.#pending.push(formatLine(record));
    apply(this.state, record);
    while (this.#writing) await this.#writing;
    if (this.#pending.length === 0) return;
    const lines = Buffer.from(this.#pending.join(''));
    this.#pending = [];
    this.#writing = stored(this.files.writeAll(this.file, lines, this.size))
      .then(() => void (this.size += lines.length))
      .finally(() => (this.#writing = null));
    await this.#writing;
  }
}
