/**
 * What the journal remembers of a block, to tell whether the disk gives back what was written: its XXH64. Unlike a provider's
 * digest it need not withstand anybody who means harm, and must cost next to nothing.
 */
import { instantiate } from './wasm/module.js';
import { PRIMES, xxh64Module, type Xxh64Code } from './xxh64/code.js';
import { xxh64, XXH64_SCRATCH_BYTES, type Xxh64 } from './xxh64/xxh64.js';

/** Room for bytes that lie elsewhere. */
const ROOM_BYTES = 64 * 1024;

/** Bytes of shared memory that it needs for itself. */
export const BLOCK_DIGEST_BYTES = XXH64_SCRATCH_BYTES + ROOM_BYTES;

export type BlockDigest = (bytes: Buffer) => string;

/** Of bytes wherever they are, most quickly in this memory itself. */
export function blockDigest(memory: WebAssembly.Memory, ownPart: number): BlockDigest {
  const room = Buffer.from(memory.buffer, ownPart + XXH64_SCRATCH_BYTES, ROOM_BYTES);
  let hash: Xxh64 | undefined;
  return (bytes) => {
    hash ??= xxh64(instantiate<Xxh64Code>(xxh64Module(), memory), PRIMES, memory.buffer, ownPart);
    hash.begin();
    if ((bytes.buffer as unknown) === memory.buffer) hash.add(bytes.byteOffset, bytes.length);
    else
      for (let at = 0; at < bytes.length; at += ROOM_BYTES)
        hash.add(room.byteOffset, bytes.copy(room, 0, at, at + ROOM_BYTES));
    return hash.end();
  };
}
