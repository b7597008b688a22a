/**
 * Memory that bytes land in on their way to the disk: slabs of two megabytes, page-aligned so that they can be written past
 * the page cache, and shared with the hash threads so that digests need neither a copy nor a second read. Each has as many
 * holders as there are uses under way, and is free again when the last lets go.
 */

/** Each costs a write, a line in the journal and a message to a thread: half as large takes a seventh longer for a large file. */
export const SLAB_BYTES = 2 * 1024 * 1024;
/** Alignment of memory and file positions for direct writes. */
export const PAGE_BYTES = 4096;
const PAGE_OF_WASM_BYTES = 65_536;
const MOST = 24;
/** Beyond the shared ones, each connection of a crowd has so little: a whole slab each would be a lot in all. */
const ORDINARY_BYTES = 256 * 1024;
/** Beyond this many in use, no connection should take more than it fills. */
const PLENTY = 12;

export class Slab {
  #holders = 1;
  #onFree: () => void = () => undefined;

  constructor(
    readonly memory: Buffer,
    /** Where the slab lies in the pool's shared memory; null = it is not shared. */
    readonly offset: number | null,
  ) {}

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders === 0) this.#onFree();
  }

  /** Another use of the same memory, with one holder. */
  renew(onFree: () => void): this {
    this.#holders = 1;
    this.#onFree = onFree;
    return this;
  }
}

export class SlabPool {
  /** The only memory that JavaScript gives out page-aligned. */
  readonly memory: WebAssembly.Memory;
  /** Where the bytes behind the slabs begin, which are for others. */
  readonly besides = MOST * SLAB_BYTES;
  readonly #free: Slab[] = [];
  readonly #waiting = new Set<() => void>();
  #made = 0;
  #inUse = 0;

  constructor(bytesBesides = 0) {
    const pages = Math.ceil((this.besides + bytesBesides) / PAGE_OF_WASM_BYTES);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  }

  /** Always gives one: when all the shared ones are taken, a smaller one of ordinary memory. */
  take(onFree: () => void): Slab {
    this.#inUse++;
    const slab = this.#free.pop() ?? this.#make();
    return slab.renew(() => {
      this.#inUse--;
      if (slab.offset !== null) this.#free.push(slab);
      onFree();
      this.#tell();
    });
  }

  /** Should whoever reads from a connection wait? */
  get isTight(): boolean {
    return this.#inUse >= PLENTY;
  }

  /** Calls once, as soon as it is worth looking again. */
  whenFreed(callback: () => void): void {
    this.#waiting.add(callback);
  }

  #make(): Slab {
    if (this.#made === MOST) return new Slab(Buffer.allocUnsafeSlow(ORDINARY_BYTES), null);
    const offset = this.#made++ * SLAB_BYTES;
    return new Slab(Buffer.from(this.memory.buffer, offset, SLAB_BYTES), offset);
  }

  #tell(): void {
    if (this.isTight) return;
    const callbacks = [...this.#waiting];
    this.#waiting.clear();
    for (const callback of callbacks) callback();
  }
}
