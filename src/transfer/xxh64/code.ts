/** The bulk of XXH64 as WebAssembly: four sums that take in eight bytes each, side by side. */
import { Body, compile, I64, type Code } from '../wasm/module.js';

/** Of its definition: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
export const PRIMES = [
  0x9e3779b185ebca87n,
  0xc2b2ae3d27d4eb4fn,
  0x165667b19e3779f9n,
  0x85ebca77c2b2ae63n,
  0x27d4eb2f165667c5n,
] as const;

export interface Xxh64Code {
  /** Takes in `stripes` (at least 1) of 32 bytes at `from`; the four sums are at `state`. */
  take: (from: number, stripes: number, state: number) => void;
}

export const STRIPE_BYTES = 32;

let module: WebAssembly.Module | undefined;

/** Imports a shared memory `engine.memory`, exports `Xxh64Code`. */
export function xxh64Module(): WebAssembly.Module {
  return (module ??= compile({ take: take() }));
}

/** Parameters: from, stripes, state. */
function take(): Code {
  const [from, stripes, state, sums] = [0, 1, 2, [3, 4, 5, 6]];
  const body = new Body([sums.length, I64]);
  sums.forEach((sum, i) => body.get(state).i64Load(i).set(sum));
  body.loop();
  takeStripes(body, from, 1, sums);
  body.again([from], STRIPE_BYTES, stripes);
  sums.forEach((sum, i) => body.get(state).get(sum).i64Store(i));
  return { parameters: 3, code: body.end() };
}

/** So many stripes from the address `from` on; the four sums are 64-bit locals. */
export function takeStripes(
  body: Body,
  from: number,
  stripes: number,
  sums: readonly number[],
): void {
  const [add, multiply, rotl] = [[0x7c], [0x7e], [0x89]];
  for (let word = 0; word < stripes * sums.length; word++) {
    const sum = sums[word % sums.length]!;
    body.get(from).i64Load(word).i64(PRIMES[1]).op(multiply).get(sum).op(add);
    body.i64(31n).op(rotl).i64(PRIMES[0]).op(multiply).set(sum);
  }
}
