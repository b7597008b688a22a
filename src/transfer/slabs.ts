/**
 * Memory that bytes land in on their way to the disk: slabs of two megabytes, page-aligned so that they can be written past
 * the page cache, and shared with the hash threads so that digests need neither a copy nor a second read. Each has as many
 * holders as there are uses under way, and is free again when the last lets go. Each also costs a write, a line in the
 * journal and a message to a thread, which is what a large file waits for: one that is alone gets slabs twice as large.
 */

export const SLAB_BYTES = 2 * 1024 * 1024;
export const WIDE_BYTES = 2 * SLAB_BYTES;
/** Alignment of memory and file positions for direct writes. */
export const PAGE_BYTES = 4096;
const PAGE_OF_WASM_BYTES = 65_536;
const MOST = 24;
/** With this many in use, nobody is alone. */
const FEW = 6;
/** Beyond the shared ones, each connection of a crowd has so little: a whole slab each would be a lot in all. */
const ORDINARY_BYTES = 256 * 1024;
/** Beyond this many in use, no connection should take more than it fills. */
const PLENTY = 12;

export class Slab {
  #holders = 1;

  constructor(
    readonly memory: Buffer,
    /** Where the slab lies in the pool's shared memory; null = it is not shared. */
    readonly offset: number | null,
    private readonly onFree: () => void,
  ) {}

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders === 0) this.onFree();
  }
}

export class SlabPool {
  /** The only memory that JavaScript gives out page-aligned. */
  readonly memory: WebAssembly.Memory;
  /** Where the bytes behind the slabs begin, which are for others. */
  readonly besides = MOST * SLAB_BYTES;
  readonly #isTaken = new Array<boolean>(MOST).fill(false);
  readonly #waiting = new Set<() => void>();
  /** In slabs of the usual size. */
  #inUse = 0;

  constructor(bytesBesides = 0) {
    const pages = Math.ceil((this.besides + bytesBesides) / PAGE_OF_WASM_BYTES);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  }

  /**
   * Always gives one, of up to `wanted` bytes where there is room for more than the usual, and when all the shared memory is
   * taken a smaller one of its own.
   */
  take(onFree: () => void, wanted = SLAB_BYTES): Slab {
    const isWide = wanted >= WIDE_BYTES && this.#inUse < FEW;
    const shared = (isWide && this.#share(2, onFree)) || this.#share(1, onFree);
    return shared || this.#lend(Buffer.allocUnsafeSlow(ORDINARY_BYTES), null, 1, onFree);
  }

  /** Should whoever reads from a connection wait? */
  get isTight(): boolean {
    return this.#inUse >= PLENTY;
  }

  /** Calls once, as soon as it is worth looking again. */
  whenFreed(callback: () => void): void {
    this.#waiting.add(callback);
  }

  /** The first of the shared memory that is free, so that what was used before is used again. */
  #share(units: 1 | 2, onFree: () => void): Slab | null {
    for (let at = 0; at < MOST; at += units) {
      if (this.#isTaken[at] || this.#isTaken[at + units - 1]) continue;
      this.#isTaken.fill(true, at, at + units);
      const offset = at * SLAB_BYTES;
      const memory = Buffer.from(this.memory.buffer, offset, units * SLAB_BYTES);
      return this.#lend(memory, offset, units, () => {
        this.#isTaken.fill(false, at, at + units);
        onFree();
      });
    }
    return null;
  }

  #lend(memory: Buffer, offset: number | null, units: number, onFree: () => void): Slab {
    this.#inUse += units;
    return new Slab(memory, offset, () => {
      this.#inUse -= units;
      onFree();
      this.#tell();
    });
  }

  #tell(): void {
    if (this.isTight) return;
    const callbacks = [...this.#waiting];
    this.#waiting.clear();
    for (const callback of callbacks) callback();
  }
}
