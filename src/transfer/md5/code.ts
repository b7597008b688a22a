/**
 * MD5 (RFC 1321) as WebAssembly, written out step by step. Each of its 64 steps waits for the one before, so that a core is
 * idle most of the time while it takes in one message; `four` therefore takes in four at once, one in each lane of a
 * 128-bit register, at three times the bytes a second. Both leave padding and odd bytes to their caller.
 *
 * Bytes that another core has just written are slow to come, and `one` has nothing else to do meanwhile: it therefore looks
 * at a few blocks' first words together, so that they come at the same time. For the same reason `oneAndXxh64` costs
 * hardly more than MD5 alone.
 */
import { Body, compile, I32, I64, V128, type Code } from '../wasm/module.js';
import { STRIPE_BYTES, takeStripes } from '../xxh64/code.js';

/** Bytes of memory at `state`: the words, and at the end what nobody needs. */
export const MD5_STATE_BYTES = 1024;

export interface Md5Code {
  /** Takes in `blocks` (at least 1) of 64 bytes at `from`; the words a, b, c, d are at `state`. */
  one: (from: number, blocks: number, state: number) => void;
  /** And takes them into an XXH64 besides, whose four sums are at `sums`. */
  oneAndXxh64: (from: number, blocks: number, state: number, sums: number) => void;
  /**
   * The same for four messages; at `state` lie four words a, one for each message, then four b, c and d. Not there on
   * processors without SIMD.
   */
  four?: (a: number, b: number, c: number, d: number, blocks: number, state: number) => void;
}

const STEPS = Array.from({ length: 64 }, (_, step) => {
  const round = step >> 4;
  return {
    round,
    constant: Math.floor(Math.abs(Math.sin(step + 1)) * 2 ** 32),
    /** Which of the block's 16 words. */
    word: [step, 5 * step + 1, 3 * step + 5, 7 * step][round]! % 16,
    shift: [
      [7, 12, 17, 22],
      [5, 9, 14, 20],
      [4, 11, 16, 23],
      [6, 10, 15, 21],
    ][round]![step % 4]!,
  };
});

const BLOCK_BYTES = 64;
/** A power of two. */
const BLOCKS_AHEAD = 16;
const UNUSED_WORD = MD5_STATE_BYTES / 4 - 1;

/** The module: imports a shared memory `engine.memory` of any size, exports what it can of `Md5Code`. */
export function md5Module(): WebAssembly.Module {
  const scalar = { one: one(), oneAndXxh64: one(true) };
  try {
    return compile({ ...scalar, four: four() });
  } catch {
    return compile(scalar);
  }
}

/** Parameters: from, blocks, state and, for XXH64 alone, sums. */
function one(withXxh64 = false): Code {
  const [from, blocks, state, sumsAt] = [0, 1, 2, 3];
  const [words, before, sums] = [[4, 5, 6, 7], 8, withXxh64 ? [12, 13, 14, 15] : []];
  const body = new Body([8, I32], [sums.length, I64]);
  const { add, and, xor, rotl } = I32_OPERATIONS;
  words.forEach((word, i) => body.get(state).i32Load(i).set(word));
  sums.forEach((sum, i) => body.get(sumsAt).i64Load(i).set(sum));
  body.loop();
  lookAhead(body, from, blocks, state);
  takeStripes(body, from, BLOCK_BYTES / STRIPE_BYTES, sums);
  takeIn(body, words, before, {
    ...I32_OPERATIONS,
    andNot: (x, y) => body.get(y).i32(-1).op(xor).get(x).op(and),
    not: (x) => body.get(x).i32(-1).op(xor),
    addInput: ({ word, constant }) => body.get(from).i32Load(word).op(add).i32(constant).op(add),
    rotate: (_, shift) => body.i32(shift).op(rotl),
  });
  body.again([from], BLOCK_BYTES, blocks);
  words.forEach((word, i) => body.get(state).get(word).i32Store(i));
  sums.forEach((sum, i) => body.get(sumsAt).get(sum).i64Store(i));
  return { parameters: 4, code: body.end() };
}

/** Parameters: four times from, blocks, state. */
function four(): Code {
  const [froms, blocks, state, words] = [[0, 1, 2, 3], 4, 5, [6, 7, 8, 9]];
  const [before, block, row] = [10, 14, 30];
  const body = new Body([28, V128]);
  const { andNot, not, or, shiftLeft, shiftRight, ...operations } = V128_OPERATIONS;
  words.forEach((word, i) => body.get(state).v128Load(i).set(word));
  body.loop();
  // the messages' words come in rows, one for each message, and are needed in columns
  for (const quarter of [0, 1, 2, 3]) {
    const [w, x, y, z] = [row, row + 1, row + 2, row + 3];
    for (const from of froms) {
      const into = row + from;
      body.get(from).v128Load(quarter).set(into);
    }
    const at = block + 4 * quarter;
    const [first, second, third, fourth] = [at, at + 1, at + 2, at + 3];
    body.get(w).get(x).shuffle(0, 4, 1, 5).set(first);
    body.get(y).get(z).shuffle(0, 4, 1, 5).set(second);
    body.get(w).get(x).shuffle(2, 6, 3, 7).set(third);
    body.get(y).get(z).shuffle(2, 6, 3, 7).set(fourth);
    for (const [left, right] of [
      [first, second],
      [third, fourth],
    ] as const) {
      body.get(left).get(right).shuffle(0, 1, 4, 5).set(w);
      body.get(left).get(right).shuffle(2, 3, 6, 7).set(right);
      body.get(w).set(left);
    }
  }
  takeIn(body, words, before, {
    ...operations,
    or,
    andNot: (x, y) => body.get(x).get(y).op(andNot),
    not: (x) => body.get(x).op(not),
    addInput: ({ word, constant }) =>
      body
        .v128(constant)
        .op(operations.add)
        .get(block + word)
        .op(operations.add),
    rotate: (spare, shift) =>
      body
        .tee(spare)
        .i32(shift)
        .op(shiftLeft)
        .get(spare)
        .i32(32 - shift)
        .op(shiftRight)
        .op(or),
  });
  body.again(froms, BLOCK_BYTES, blocks);
  words.forEach((word, i) => body.get(state).get(word).v128Store(i));
  return { parameters: 6, code: body.end() };
}

/** Loads whose values nobody needs might be left out by a compiler: their sum is kept. */
function lookAhead(body: Body, from: number, blocks: number, state: number): void {
  const { add, and } = I32_OPERATIONS;
  body
    .get(blocks)
    .i32(BLOCKS_AHEAD - 1)
    .op(and)
    .ifZero()
    .get(state)
    .i32(0);
  for (let block = 0; block < BLOCKS_AHEAD; block++)
    body
      .get(from)
      .i32Load((BLOCK_BYTES / 4) * block)
      .op(add);
  body.i32Store(UNUSED_WORD).endIf();
}

type Operation = readonly number[];

/** What a step is made of, for one message or for four. */
interface Operations {
  add: Operation;
  and: Operation;
  or: Operation;
  xor: Operation;
  /** Puts `x` without the bits of `not` on the stack. */
  andNot: (x: number, not: number) => void;
  not: (x: number) => void;
  /** Adds the step's word of the block and its constant to what is on the stack. */
  addInput: (step: (typeof STEPS)[number]) => void;
  rotate: (spare: number, shift: number) => void;
}

/** One block: the 64 steps, and the words as they were `before` added to what came of them. */
function takeIn(
  body: Body,
  words: readonly number[],
  before: number,
  operations: Operations,
): void {
  const { add, and, or, xor, andNot, not, addInput, rotate } = operations;
  words.forEach((word, i) => body.get(word).set(before + i));
  let [p, q, r, s] = words as [number, number, number, number];
  for (const step of STEPS) {
    body.get(p);
    addInput(step);
    if (step.round === 0) body.get(r).get(s).op(xor).get(q).op(and).get(s).op(xor);
    else if (step.round === 1) {
      // both halves of a selection have no bit in common: they may be added, and one is ready before q is
      andNot(r, s);
      body.op(add).get(s).get(q).op(and);
    } else if (step.round === 2) body.get(r).get(s).op(xor).get(q).op(xor);
    else {
      not(s);
      body.get(q).op(or).get(r).op(xor);
    }
    body.op(add);
    rotate(p, step.shift);
    body.get(q).op(add).set(p);
    [p, q, r, s] = [s, p, q, r];
  }
  words.forEach((word, i) =>
    body
      .get(word)
      .get(before + i)
      .op(add)
      .set(word),
  );
}

const I32_OPERATIONS = {
  add: [0x6a],
  and: [0x71],
  or: [0x72],
  xor: [0x73],
  rotl: [0x77],
} as const;

const V128_OPERATIONS = {
  not: [0xfd, 0x4d],
  and: [0xfd, 0x4e],
  andNot: [0xfd, 0x4f],
  or: [0xfd, 0x50],
  xor: [0xfd, 0x51],
  shiftLeft: [0xfd, 0xab, 0x01],
  shiftRight: [0xfd, 0xad, 0x01],
  add: [0xfd, 0xae, 0x01],
} as const;
