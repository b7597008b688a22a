/**
 * As much of a WebAssembly assembler as digests need: functions that take addresses and counts, work in one loop over a
 * shared memory, and return nothing.
 */

export const I32 = 0x7f;
export const I64 = 0x7e;
export const V128 = 0x7b;

/** A function: how many 32-bit numbers it takes, and its body. */
export interface Code {
  parameters: number;
  code: readonly number[];
}

/** Imports a shared memory `engine.memory` of any size, exports the functions under their names. */
export function compile(functions: Record<string, Code>): WebAssembly.Module {
  const all = Object.entries(functions);
  return new WebAssembly.Module(
    Uint8Array.from([
      ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(
        1,
        all.map(([, { parameters }]) => [
          0x60,
          ...list(Array.from({ length: parameters }, () => [I32])),
          0,
        ]),
      ),
      ...section(2, [[...name('engine'), ...name('memory'), 2, 3, 0, ...unsigned(65_536)]]),
      ...section(
        3,
        all.map((_, i) => [i]),
      ),
      ...section(
        7,
        all.map(([called], i) => [...name(called), 0, i]),
      ),
      ...section(
        10,
        all.map(([, { code }]) => [...unsigned(code.length), ...code]),
      ),
    ]),
  );
}

/** The functions themselves, at work on this memory. */
export function instantiate<T>(module: WebAssembly.Module, memory: WebAssembly.Memory): T {
  return new WebAssembly.Instance(module, { engine: { memory } }).exports as T;
}

/** The instructions of a function, in order: https://webassembly.github.io/spec/core/binary/instructions.html */
export class Body {
  readonly #code: number[];

  /** @param locals beside the parameters: how many of each type, numbered in this order */
  constructor(...locals: (readonly [count: number, type: number])[]) {
    this.#code = list(locals.map(([count, type]) => [...unsigned(count), type]));
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
    return this.op([0x41]).op(signed(BigInt(value | 0)));
  }
  /** @param word which one from the address on the stack */
  i32Load(word: number): this {
    return this.op([0x28, 0]).op(unsigned(4 * word));
  }
  i32Store(word: number): this {
    return this.op([0x36, 0]).op(unsigned(4 * word));
  }
  i64(value: bigint): this {
    return this.op([0x42]).op(signed(BigInt.asIntN(64, value)));
  }
  /** @param word which word of eight bytes from the address on the stack */
  i64Load(word: number): this {
    return this.op([0x29, 0]).op(unsigned(8 * word));
  }
  i64Store(word: number): this {
    return this.op([0x37, 0]).op(unsigned(8 * word));
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
  /** Goes on only where a zero is on the stack. */
  ifZero(): this {
    return this.op([0x45, 0x04, 0x40]);
  }
  endIf(): this {
    return this.op([0x0b]);
  }
  loop(): this {
    return this.op([0x03, 0x40]);
  }
  /** Ends the loop: on by `bytes` from each of the addresses, and again until `count` is down to none. */
  again(addresses: readonly number[], bytes: number, count: number): this {
    for (const address of addresses) this.get(address).i32(bytes).op([0x6a]).set(address);
    return this.get(count).i32(1).op([0x6b]).tee(count).op([0x0d, 0, 0x0b]);
  }
  end(): readonly number[] {
    return this.op([0x0b]).#code;
  }
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: bigint): number[] {
  const isLast = value >= -0x40n && value < 0x40n;
  const low = Number(value & 0x7fn);
  return isLast ? [low] : [low | 0x80, ...signed(value >> 7n)];
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
