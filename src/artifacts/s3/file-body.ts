/**
 * Bytes of an open file as the body of a request, through memory that is used again: a file of gigabytes leaves no garbage
 * of gigabytes, which the collector would let grow to hundreds of megabytes first. The SDK pipes bodies into the request;
 * a slab is read into again only when the request has passed on what was in it.
 */
import type { FileHandle } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { ServiceError } from '../../jobs/error-codes.js';
import { stored } from '../../transfer/index.js';

const SLAB_BYTES = 256 * 1024;

/** Pieces of memory of one size, for a store to share. */
export interface Slabs {
  take: () => Buffer;
  /** Of a slab that nobody reads any more. */
  give: (slab: Buffer) => void;
}

export function createSlabs(): Slabs {
  const free: Buffer[] = [];
  return {
    take: () => free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES),
    give: (slab) => void free.push(slab),
  };
}

/** Fills the slab from the file, or less at the end of what is wanted. @throws StoreUnavailable where the file ends before */
export async function readSlab(
  file: FileHandle,
  slab: Buffer,
  position: number,
  wanted: number,
): Promise<Buffer> {
  const { bytesRead } = await stored(file.read(slab, 0, Math.min(slab.length, wanted), position));
  if (bytesRead === 0)
    throw new ServiceError(
      'StoreUnavailable',
      'The verified bytes were cut short before they were published',
    );
  return slab.subarray(0, bytesRead);
}

export class FileBody extends Readable {
  #at = 0;
  #target: Writable | null = null;

  /** Bytes [start, start + bytes). Destroying it leaves the file open: other parts are read from it too. */
  constructor(
    readonly file: FileHandle,
    readonly start: number,
    readonly bytes: number,
    readonly slabs: Slabs,
  ) {
    super({ highWaterMark: SLAB_BYTES });
  }

  /** From the first byte each time: after a redirect the SDK sends the same body to another server. */
  override pipe<T extends NodeJS.WritableStream>(target: T): T {
    this.#target = target as unknown as Writable;
    this.#at = 0;
    void this.#send(this.#target).catch((error: Error) => this.destroy(error));
    return target;
  }

  /** For whoever reads it otherwise. */
  override _read(): void {
    if (this.#at >= this.bytes) return void this.push(null);
    const slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    readSlab(this.file, slab, this.start + this.#at, this.bytes - this.#at).then(
      (piece) => {
        this.#at += piece.length;
        this.push(piece);
      },
      (error: Error) => this.destroy(error),
    );
  }

  /** A request that lost its body in the middle can only be given up. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#at < this.bytes) this.#target?.destroy(error ?? undefined);
    callback(error);
  }

  async #send(target: Writable): Promise<void> {
    const own = [this.slabs.take(), this.slabs.take()] as const;
    let passedOn: Promise<boolean> = Promise.resolve(true);
    const isOver = (): boolean => this.destroyed || this.#target !== target;
    for (let turn = 0; this.#at < this.bytes && !isOver(); turn++) {
      const left = this.bytes - this.#at;
      const piece = await readSlab(this.file, own[turn % 2]!, this.start + this.#at, left);
      if (!(await passedOn) || isOver()) return;
      passedOn = passOn(target, piece);
      if (piece.length === left) target.end();
      this.#at += piece.length;
    }
    // What a broken connection may still hold is not used again.
    if (await passedOn) own.forEach(this.slabs.give);
  }
}

/** True when the bytes have left, false when they never will. */
function passOn(target: Writable, piece: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const lost = () => resolve(false);
    target.once('close', lost);
    target.write(piece, (error) => {
      target.off('close', lost);
      resolve(!error);
    });
  });
}
