/**
 * MD5 (RFC 1321) as WebAssembly, written out step by step. Each of its 64 steps waits for the one before, so that a core is
 * idle most of the time while it takes in one message; `four` therefore takes in four at once, one in each lane of a
 * 128-bit register, at three times the bytes a second. Both leave padding and odd bytes to their caller.
 */

export interface Md5Code {
  /** Takes in `blocks` (at least 1) of 64 bytes at `from`; the words a, b, c, d are at `state`. */
  one: (from: number, blocks: number, state: number) => void;
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

const I32 = 0x7f;
const V128 = 0x7b;
const BLOCK_BYTES = 64;

/** The module: imports a shared memory `engine.memory` of any size, exports what it can of `Md5Code`. */
export function md5Module(): WebAssembly.Module {
  try {
    return compile([one(), four()]);
  } catch {
    return compile([one()]);
  }
}

function compile(functions: { parameters: number; code: readonly number[] }[]): WebAssembly.Module {
  const names = ['one', 'four'];
  return new WebAssembly.Module(
    Uint8Array.from([
      ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(
        1,
        functions.map(({ parameters }) => [
          0x60,
          ...list(Array.from({ length: parameters }, () => [I32])),
          0,
        ]),
      ),
      ...section(2, [[...name('engine'), ...name('memory'), 2, 3, 0, ...unsigned(65_536)]]),
      ...section(
        3,
        functions.map((_, i) => [i]),
      ),
      ...section(
        7,
        functions.map((_, i) => [...name(names[i]!), 0, i]),
      ),
      ...section(
        10,
        functions.map(({ code }) => [...unsigned(code.length), ...code]),
      ),
    ]),
  );
}

/** Parameters: from, blocks, state. */
function one() {
  const [from, blocks, state, words, before] = [0, 1, 2, [3, 4, 5, 6], 7];
  const body = new Body(8, I32);
  const { add, and, xor, rotl } = I32_OPERATIONS;
  words.forEach((word, i) => body.get(state).i32Load(i).set(word));
  body.loop();
  takeIn(body, words, before, {
    ...I32_OPERATIONS,
    andNot: (x, y) => body.get(y).i32(-1).op(xor).get(x).op(and),
    not: (x) => body.get(x).i32(-1).op(xor),
    addInput: ({ word, constant }) => body.get(from).i32Load(word).op(add).i32(constant).op(add),
    rotate: (_, shift) => body.i32(shift).op(rotl),
  });
  again(body, [from], blocks);
  words.forEach((word, i) => body.get(state).get(word).i32Store(i));
  return { parameters: 3, code: body.end() };
}

/** Parameters: four times from, blocks, state. */
function four() {
  const [froms, blocks, state, words] = [[0, 1, 2, 3], 4, 5, [6, 7, 8, 9]];
  const [before, block, row] = [10, 14, 30];
  const body = new Body(28, V128);
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
  again(body, froms, blocks);
  words.forEach((word, i) => body.get(state).get(word).v128Store(i));
  return { parameters: 6, code: body.end() };
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

/** On to the next block, until none is left. */
function again(body: Body, froms: readonly number[], blocks: number): void {
  for (const from of froms) body.get(from).i32(BLOCK_BYTES).op(I32_OPERATIONS.add).set(from);
  body.get(blocks).i32(1).op(I32_OPERATIONS.sub).tee(blocks).againIfNotZero();
}

const I32_OPERATIONS = {
  add: [0x6a],
  sub: [0x6b],
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

/** The instructions of a function, in order: https://webassembly.github.io/spec/core/binary/instructions.html */
class Body {
  readonly #code: number[];

  constructor(locals: number, type: number) {
    this.#code = [1, ...unsigned(locals), type];
  }

  op(code: readonly number[]): this {
    for (const byte of code) this.#code.push(byte);
    return this;
  }
  get(local: number): this {
    return this.op([0x20, local]);
  }
  set(local: number): this {
    return this.op([0x21, local]);
  }
  tee(local: number): this {
    return this.op([0x22, local]);
  }
  i32(value: number): this {
    return this.op([0x41]).op(signed(value | 0));
  }
  /** @param word which one from the address on the stack */
  i32Load(word: number): this {
    return this.op([0x28, 0]).op(unsigned(4 * word));
  }
  i32Store(word: number): this {
    return this.op([0x36, 0]).op(unsigned(4 * word));
  }
  /** The same word in all four lanes. */
  v128(word: number): this {
    const bytes = [word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, (word >> 24) & 0xff];
    return this.op([0xfd, 0x0c]).op(bytes).op(bytes).op(bytes).op(bytes);
  }
  /** @param four which four words */
  v128Load(four: number): this {
    return this.op([0xfd, 0x00, 0]).op(unsigned(16 * four));
  }
  v128Store(four: number): this {
    return this.op([0xfd, 0x0b, 0]).op(unsigned(16 * four));
  }
  /** Four words out of two registers: 0 to 3 are the first one's, 4 to 7 the second's. */
  shuffle(...words: [number, number, number, number]): this {
    this.op([0xfd, 0x0d]);
    for (const word of words) this.op([4 * word, 4 * word + 1, 4 * word + 2, 4 * word + 3]);
    return this;
  }
  loop(): this {
    return this.op([0x03, 0x40]);
  }
  againIfNotZero(): this {
    return this.op([0x0d, 0, 0x0b]);
  }
  end(): readonly number[] {
    return this.op([0x0b]).#code;
  }
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  const isLast = value >= -0x40 && value < 0x40;
  return isLast ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}

function list(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function name(text: string): number[] {
  return list([...Buffer.from(text)].map((byte) => [byte]));
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  const content = list(items);
  return [id, ...unsigned(content.length), ...content];
}
