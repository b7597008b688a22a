/**
 * The crash-safe record, beside a partial file, of which of its bytes are durable. Append-only lines, each led by its own
 * CRC-32; a line that does not match ends what is believed. A block is recorded only after its bytes were flushed, so what
 * can be read here never promises more than the disk holds. Blocks carry offset and length: several connections may add
 * theirs in any order, and `durable` is the prefix without a gap.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { stored } from './errors.js';
import type { FileHandleLike, Files } from './files.js';

const blockSchema = z.object({
  offset: z.number().int().nonnegative(),
  length: z.number().int().positive(),
  crc32: z.number().int().nonnegative(),
});
/** Bytes [offset, offset + length) are on disk, and had this CRC-32. */
export type Block = z.infer<typeof blockSchema>;

const sourceFactsSchema = z.object({
  /** Size of the whole, once a server has said it. */
  total: z.number().int().nonnegative().nullable(),
  etag: z.string().nullable(),
  lastModified: z.string().nullable(),
  disposition: z.string().nullable(),
});
/** What the server said of the object that the bytes belong to. */
export type SourceFacts = z.infer<typeof sourceFactsSchema>;

const mismatchSchema = z.object({ bytes: z.number(), digests: z.record(z.string(), z.string()) });
/** A full copy that contradicted the announced digests. */
export type Mismatch = z.infer<typeof mismatchSchema>;

const recordSchema = z.union([
  z.object({ header: z.object({ version: z.literal(1), identity: z.string() }) }),
  z.object({ source: sourceFactsSchema }),
  z.object({ block: blockSchema }),
  /** Nothing at or behind this offset is believed any longer. */
  z.object({ keep: z.number().int().nonnegative() }),
  z.object({ mismatch: mismatchSchema }),
]);
type JournalRecord = z.infer<typeof recordSchema>;

export interface JournalState {
  identity: string | null;
  source: SourceFacts | null;
  blocks: Block[];
  mismatches: Mismatch[];
}

export function emptyState(): JournalState {
  return { identity: null, source: null, blocks: [], mismatches: [] };
}

/** End of the gapless prefix that the blocks cover. */
export function durablePrefix(blocks: readonly Block[]): number {
  let end = 0;
  for (const block of [...blocks].sort((a, b) => a.offset - b.offset)) {
    if (block.offset > end) break;
    end = Math.max(end, block.offset + block.length);
  }
  return end;
}

/** What the bytes of a journal prove: everything up to the first line that is torn or garbled. Never throws. */
export function readJournal(bytes: Buffer): JournalState {
  const state = emptyState();
  for (let at = 0; ;) {
    const newline = bytes.indexOf(10, at);
    if (newline < 0) return state;
    const record = parseLine(bytes.toString('utf8', at, newline));
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
  else if ('keep' in record)
    state.blocks = state.blocks.filter((block) => block.offset + block.length <= record.keep);
  else state.mismatches.push(record.mismatch);
}

function pathIn(directory: string): string {
  return join(directory, 'journal');
}

function compact(state: JournalState): string {
  const records: JournalRecord[] = [{ header: { version: 1, identity: state.identity ?? '' } }];
  if (state.source) records.push({ source: state.source });
  records.push(...state.mismatches.map((mismatch) => ({ mismatch })));
  records.push(...state.blocks.map((block) => ({ block })));
  return records.map(formatLine).join('');
}

export class Journal {
  private constructor(
    readonly state: JournalState,
    private readonly file: FileHandleLike,
    private size: number,
  ) {}

  /** What the journal of `directory` proves; nothing when it speaks of another `identity`. */
  static async load(files: Files, directory: string, identity: string): Promise<JournalState> {
    const state = readJournal((await stored(files.read(pathIn(directory)))) ?? Buffer.alloc(0));
    return state.identity === identity ? state : { ...emptyState(), identity };
  }

  /**
   * Starts a journal with what is known, in a file of its own that replaces the old one: a torn tail is gone, and an
   * earlier owner that still lives cannot append to it.
   */
  static async start(files: Files, directory: string, state: JournalState): Promise<Journal> {
    const path = pathIn(directory);
    const temporary = `${path}.${files.token()}.tmp`;
    const content = Buffer.from(compact(state));
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const file = await stored(files.open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW));
    try {
      await stored(files.writeAll(file, content, 0));
      await stored(file.datasync());
      await stored(files.rename(temporary, path));
      return new Journal(state, file, content.length);
    } catch (error) {
      await file.close().catch(() => undefined);
      await files.remove(temporary).catch(() => undefined);
      throw error;
    }
  }

  get durable(): number {
    return durablePrefix(this.state.blocks);
  }

  async addBlock(files: Files, block: Block): Promise<void> {
    await this.#append(files, { block });
  }

  /** Flushed before it returns: what follows may overwrite bytes that earlier records speak of. */
  async keep(files: Files, upTo: number): Promise<void> {
    await this.#append(files, { keep: upTo });
    await this.sync();
  }

  async setSource(files: Files, source: SourceFacts): Promise<void> {
    await this.#append(files, { source });
  }

  async addMismatch(files: Files, mismatch: Mismatch): Promise<void> {
    await this.#append(files, { mismatch });
    await this.sync();
  }

  async sync(): Promise<void> {
    await stored(this.file.datasync());
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  async #append(files: Files, record: JournalRecord): Promise<void> {
    const line = Buffer.from(formatLine(record));
    await stored(files.writeAll(this.file, line, this.size));
    this.size += line.length;
    apply(this.state, record);
  }
}
