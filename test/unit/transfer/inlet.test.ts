/** How much one read may bring, and when connections have to wait for disk and journal. */
import { expect, it } from 'vitest';
import { Inlet, LIMITED_READ_BYTES, type InletOptions } from '../../../src/transfer/inlet.js';
import { PAGE_BYTES, SLAB_BYTES } from '../../../src/transfer/slabs.js';
import { placePage, writerWith } from '../../support/part-writer.js';

function inletWith(options: Partial<InletOptions>): Inlet {
  return new Inlet(writerWith(), {
    position: 0,
    end: Infinity,
    stopAt: Infinity,
    pieceBytes: () => SLAB_BYTES,
    bandwidth: undefined,
    onBytes: () => undefined,
    onHold: () => undefined,
    inspect: () => undefined,
    onDifference: async () => undefined,
    ...options,
  });
}

it('D23 reads little at a time until a limit has let it through, and whenever it is held', async () => {
  let holdMs = 0;
  const inlet = inletWith({ bandwidth: { take: () => holdMs } });
  expect(inlet.space()).toHaveLength(LIMITED_READ_BYTES);
  inlet.filled(PAGE_BYTES);
  expect(inlet.space()).toHaveLength(SLAB_BYTES - PAGE_BYTES);
  holdMs = 20;
  inlet.filled(PAGE_BYTES);
  expect(inlet.space()).toHaveLength(LIMITED_READ_BYTES);
  await inlet.settle();
});

it('fills a piece that was begun, and makes the next one as small as it should be by then', async () => {
  let pieceBytes = 4 * PAGE_BYTES;
  const inlet = inletWith({ pieceBytes: () => pieceBytes });
  expect(inlet.space()).toHaveLength(4 * PAGE_BYTES);
  inlet.filled(3 * PAGE_BYTES);
  pieceBytes = PAGE_BYTES;
  expect(inlet.space()).toHaveLength(PAGE_BYTES);
  inlet.filled(PAGE_BYTES - 10);
  expect(inlet.space()).toHaveLength(10);
  inlet.filled(10);
  expect(inlet.space()).toHaveLength(PAGE_BYTES);
  await inlet.settle();
});

it('F077 holds connections back while the journal does not know what is on disk', async () => {
  let told: () => void = () => undefined;
  const addBlock = () => new Promise<void>((resolve) => (told = resolve));
  const writer = writerWith({ addBlock });
  writer.mostUnsafe = PAGE_BYTES;
  await placePage(writer, 0);
  expect(writer.isBehind).toBe(true);
  const room = new Promise<void>((resolve) => writer.whenRoom(resolve));
  told();
  await room;
  expect(writer.isBehind).toBe(false);
  await writer.settle();
});
