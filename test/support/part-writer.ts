/** A writer onto a disk that takes everything at once, and gives zeros back. */
import type { HashJob } from '../../src/transfer/hash-pool.js';
import type { Journal } from '../../src/transfer/journal.js';
import { Ledger } from '../../src/transfer/ledger.js';
import type { PartFile } from '../../src/transfer/part-file.js';
import { PartWriter, type WriterHooks } from '../../src/transfer/part-writer.js';
import { PAGE_BYTES, SlabPool } from '../../src/transfer/slabs.js';

export function writerWith(
  journal: Partial<Journal> = {},
  offer: HashJob['offer'] = async () => null,
): PartWriter {
  const part = {
    lengthen: async () => undefined,
    write: async () => undefined,
    file: {
      datasync: async () => undefined,
      read: async (memory: Buffer, offset: number, length: number) => {
        memory.fill(0, offset, offset + length);
        return { bytesRead: length };
      },
    },
  };
  const hooks: WriterHooks = {
    digestOfBlock: () => 'our own',
    onWritten: () => undefined,
    hash: () => ({ offer, letGo: () => undefined }) as unknown as HashJob,
    assertOurs: async () => undefined,
    beforePromise: async () => undefined,
  };
  return new PartWriter(
    part as unknown as PartFile,
    { addBlock: async () => undefined, ...journal } as Journal,
    new Ledger([]),
    new SlabPool(),
    hooks,
  );
}

export function placePage(writer: PartWriter, position: number): Promise<number> {
  return writer.place({
    slab: writer.takeSlab(),
    start: 0,
    length: PAGE_BYTES,
    position,
    onDifference: async () => undefined,
    onFailure: () => undefined,
    isVoid: () => false,
  });
}
