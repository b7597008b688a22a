/**
 * MD5 of many files on one thread, and the XXH64 of their pieces besides. What came of up to four is taken in together (see
 * code.ts); where there are several, bytes wait a moment for those of others. Runs from its own source text inside a hash
 * thread: it may use nothing but its parameters and globals.
 */
import type { Xxh64 } from '../xxh64/xxh64.js';
import { MD5_STATE_BYTES, type Md5Code } from './code.js';

/** Bytes of memory that `md5Lanes` needs for itself. */
export const MD5_SCRATCH_BYTES = 4 * MD5_STATE_BYTES;

/** How many bytes a saved state has taken in; null when it is none. */
export function bytesOfMd5(saved: Uint8Array): number | null {
  if (saved.length < 24) return null;
  const { buffer, byteOffset, byteLength } = saved;
  const bytes = Number(new DataView(buffer, byteOffset, byteLength).getBigUint64(16));
  return saved.length === 24 + (bytes % 64) ? bytes : null;
}

/** Bytes at `offset` of the memory. */
export interface Piece {
  offset: number;
  length: number;
  /** Is its XXH64 asked for? */
  isBlock: boolean;
}

export interface Md5 {
  /** a, b, c, d. */
  readonly words: Uint32Array;
  /** What has come since the last whole block. */
  readonly rest: Uint8Array;
  /** Taken in so far. */
  bytes: number;
  /** When it began, or bytes were handed over last. */
  addedAtMs: number;
  readonly waiting: (Piece & { done: (xxh64: string | null) => void; xxh64: string | null })[];
}

export interface Md5Lanes {
  /** @param saved by `save`, see `bytesOfMd5` */
  create: (saved?: Uint8Array) => Md5;
  /** Takes the piece in before long, then calls `done`. */
  add: (md5: Md5, piece: Piece, done: (xxh64: string | null) => void) => void;
  /** Takes them in at once, and what waits before them. */
  addNow: (md5: Md5, offset: number, length: number) => void;
  save: (md5: Md5) => Uint8Array;
  /** The end of it, in hexadecimal. */
  digest: (md5: Md5) => string;
  drop: (md5: Md5) => void;
}

/** @param scratch where in the memory its own part lies */
export function md5Lanes(
  { one, oneAndXxh64, four }: Md5Code,
  memory: SharedArrayBuffer,
  scratch: number,
  ofBlock: Xxh64,
): Md5Lanes {
  const BLOCK = 64;
  const LANES = 4;
  /** Twice as long as a piece takes to come where it matters: over 100 MB/s. */
  const WAIT_MS = 40;
  /** Whoever brought nothing for so long is not waited for. */
  const IDLE_MS = 80;
  /** Whoever has so many pieces here waits for nobody: its connection could run out of memory. */
  const MOST_WAITING = 3;
  const all = new Uint8Array(memory);
  const states = new DataView(memory, scratch, 16 * LANES);
  const blockAt = scratch + states.byteLength;
  const live = new Set<Md5>();
  const waiting = new Set<Md5>();
  let timer: NodeJS.Timeout | undefined;

  const takeOne = ({ words }: Md5, offset: number, blocks: number, sums?: number): void => {
    words.forEach((word, i) => states.setUint32(4 * i, word, true));
    if (sums === undefined) one(offset, blocks, scratch);
    else oneAndXxh64(offset, blocks, scratch, sums);
    words.forEach((_, i) => (words[i] = states.getUint32(4 * i, true)));
  };

  /** Its XXH64, where that was not found along with MD5. */
  const digestApart = ({ waiting: [first] }: Md5): void => {
    if (first?.isBlock) first.xxh64 ??= ofBlock.of(first.offset, first.length);
  };

  const takeAlone = (md5: Md5, blocks: number): void => {
    const { isBlock, xxh64, offset, length } = md5.waiting[0]!;
    const bytes = blocks * BLOCK;
    if (!isBlock || xxh64 !== null || length - bytes >= BLOCK) {
      digestApart(md5);
      return takeOne(md5, offset, blocks);
    }
    ofBlock.begin();
    ofBlock.add(offset, bytes, (from, _stripes, sums) => takeOne(md5, from, blocks, sums));
    ofBlock.add(offset + bytes, length - bytes);
    md5.waiting[0]!.xxh64 = ofBlock.end();
  };

  const takeFew = (few: readonly Md5[], blocks: number): void => {
    if (few.length === 1 || !four) {
      for (const md5 of few) takeAlone(md5, blocks);
      return;
    }
    few.forEach(digestApart);
    const at = (lane: number, word: number): number => 4 * (LANES * word + lane);
    few.forEach(({ words }, lane) =>
      words.forEach((word, i) => states.setUint32(at(lane, i), word, true)),
    );
    // a lane that is left over works for nobody
    const from = (lane: number): number => (few[lane] ?? few[0]!).waiting[0]!.offset;
    four(from(0), from(1), from(2), from(3), blocks, scratch);
    few.forEach(({ words }, lane) =>
      words.forEach((_, i) => (words[i] = states.getUint32(at(lane, i), true))),
    );
  };

  const restOf = ({ bytes }: Md5): number => bytes % BLOCK;

  const advance = (md5: Md5, bytes: number): void => {
    const [first] = md5.waiting;
    if (!first) return;
    first.offset += bytes;
    first.length -= bytes;
    md5.bytes += bytes;
    if (first.length > 0) return;
    md5.waiting.shift();
    if (md5.waiting.length === 0) waiting.delete(md5);
    first.done(first.xxh64);
  };

  /** Takes in what is no whole block: the end of one that began before, or the beginning of one. */
  const takeOdd = (md5: Md5): void => {
    digestApart(md5);
    const { offset, length } = md5.waiting[0]!;
    const fill = restOf(md5);
    const bytes = Math.min(length, BLOCK - fill);
    md5.rest.set(all.subarray(offset, offset + bytes), fill);
    if (fill + bytes === BLOCK) {
      all.set(md5.rest, blockAt);
      takeOne(md5, blockAt, 1);
    }
    advance(md5, bytes);
  };

  /** As much as all of the few have. */
  const together = (few: readonly Md5[]): void => {
    const odd = few.find((md5) => restOf(md5) > 0 || md5.waiting[0]!.length < BLOCK);
    if (odd) return takeOdd(odd);
    const blocks = Math.min(...few.map((md5) => Math.floor(md5.waiting[0]!.length / BLOCK)));
    takeFew(few, blocks);
    for (const md5 of few) advance(md5, blocks * BLOCK);
  };

  const isRoundFull = (): boolean => waiting.size >= Math.min(LANES, live.size);

  const takeAll = (): void => {
    timer = undefined;
    while (waiting.size > 0) together([...waiting].slice(0, LANES));
  };

  const settle = (md5: Md5): void => {
    while (waiting.has(md5))
      together([md5, ...[...waiting].filter((one) => one !== md5).slice(0, LANES - 1)]);
  };

  const addNow = (md5: Md5, offset: number, length: number): void => {
    settle(md5);
    md5.waiting.push({ offset, length, isBlock: false, xxh64: null, done: () => undefined });
    while (md5.waiting.length > 0) together([md5]);
  };

  return {
    create(saved) {
      const rest = new Uint8Array(BLOCK);
      const words = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
      const md5: Md5 = { words, rest, bytes: 0, addedAtMs: performance.now(), waiting: [] };
      live.add(md5);
      if (!saved) return md5;
      const view = new DataView(saved.buffer, saved.byteOffset, saved.byteLength);
      words.forEach((_, i) => (words[i] = view.getUint32(4 * i)));
      md5.bytes = Number(view.getBigUint64(16));
      rest.set(saved.subarray(24));
      return md5;
    },
    add(md5, piece, done) {
      if (piece.length === 0) return done(piece.isBlock ? ofBlock.of(0, 0) : null);
      md5.addedAtMs = performance.now();
      live.add(md5);
      waiting.add(md5);
      md5.waiting.push({ ...piece, xxh64: null, done });
      for (const one of live) if (md5.addedAtMs - one.addedAtMs > IDLE_MS) live.delete(one);
      while (waiting.size > 0 && (isRoundFull() || md5.waiting.length >= MOST_WAITING))
        together([...waiting].slice(0, LANES));
      if (waiting.size > 0) timer ??= setTimeout(takeAll, WAIT_MS);
    },
    addNow,
    save(md5) {
      settle(md5);
      const saved = Buffer.alloc(24 + restOf(md5));
      md5.words.forEach((word, i) => saved.writeUInt32BE(word, 4 * i));
      saved.writeBigUInt64BE(BigInt(md5.bytes), 16);
      saved.set(md5.rest.subarray(0, restOf(md5)), 24);
      return saved;
    },
    digest(md5) {
      settle(md5);
      live.delete(md5);
      const bits = BigInt(md5.bytes) * 8n;
      const fill = restOf(md5);
      // 0x80, zeros up to a whole number of blocks, of which the last eight bytes say how long all was
      const last = Buffer.alloc(fill < BLOCK - 8 ? BLOCK : 2 * BLOCK);
      last.set(md5.rest.subarray(0, fill));
      last[fill] = 0x80;
      last.writeBigUInt64LE(BigInt.asUintN(64, bits), last.length - 8);
      all.set(last, blockAt);
      takeOne(md5, blockAt, last.length / BLOCK);
      const digest = Buffer.alloc(16);
      md5.words.forEach((word, i) => digest.writeUInt32LE(word, 4 * i));
      return digest.toString('hex');
    },
    drop(md5) {
      live.delete(md5);
      waiting.delete(md5);
    },
  };
}
