/** The connections of an account, shared by its transfers. */
import { afterEach, expect, it, vi } from 'vitest';
import {
  createConnectionSlots,
  type ConnectionSlots,
  type Slot,
} from '../../../src/transfer/slots.js';

const never = new AbortController().signal;
const tick = () => new Promise((resolve) => setImmediate(resolve));

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

it('first connections are given in turn, and never more than the limit', async () => {
  const slots = createConnectionSlots(2);
  const order: number[] = [];
  const held: Slot[] = [];
  for (const i of [0, 1, 2, 3, 4])
    void slots.take(never).then((slot) => {
      order.push(i);
      held.push(slot);
    });
  await tick();
  expect(order).toEqual([0, 1]);
  expect(slots.isWanted).toBe(true);
  for (const expected of [3, 4, 5]) {
    held.shift()?.release();
    await tick();
    expect(order.length).toBe(expected);
    expect(slots.inUse).toBe(2);
  }
  expect(order).toEqual([0, 1, 2, 3, 4]);
  expect(slots.isWanted).toBe(false);
});

it('a second connection is given only where one is free and nobody waits for a first', async () => {
  const slots = createConnectionSlots(2);
  const first = await slots.take(never);
  const extra = slots.takeExtra();
  expect(extra).not.toBeNull();
  expect(slots.takeExtra()).toBeNull();
  const waiting = slots.take(never);
  extra?.release();
  expect(slots.takeExtra()).toBeNull();
  (await waiting).release();
  expect(slots.takeExtra()).not.toBeNull();
  first.release();
});

it('a slot is given back once, however often it is said', async () => {
  const slots = createConnectionSlots(1);
  const slot = await slots.take(never);
  slot.release();
  slot.release();
  expect(slots.inUse).toBe(0);
  await slots.take(never);
  slot.release();
  expect(slots.inUse).toBe(1);
});

it('whoever gives up while waiting leaves the queue to the others', async () => {
  const slots = createConnectionSlots(1);
  const slot = await slots.take(never);
  const abort = new AbortController();
  const gone = slots.take(abort.signal);
  const next = slots.take(never);
  abort.abort();
  await expect(gone).rejects.toMatchObject({ code: 'Cancelled' });
  slot.release();
  (await next).release();
  expect(slots.inUse).toBe(0);
  await expect(slots.take(abort.signal)).rejects.toMatchObject({ code: 'Cancelled' });
});

it('a refusal lowers what is given out, one comes back each half minute, and one always remains', async () => {
  let nowMs = 1_000_000;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const slots = createConnectionSlots(4);
  const held = await Promise.all([0, 1, 2, 3].map(() => slots.take(never)));
  slots.refused();
  held.pop()?.release();
  expect(slots.takeExtra()).toBeNull();
  expect(slots.inUse).toBe(3);
  for (let i = 0; i < 5; i++) slots.refused();
  for (const slot of held) slot.release();
  const only = slots.takeExtra();
  expect(only).not.toBeNull();
  expect(slots.takeExtra()).toBeNull();
  nowMs += 30_000;
  expect(slots.takeExtra()).not.toBeNull();
  expect(slots.takeExtra()).toBeNull();
  nowMs += 60_000;
  expect(slots.takeExtra()).not.toBeNull();
  expect(slots.takeExtra()).not.toBeNull();
  expect(slots.takeExtra()).toBeNull();
});

/** Three are refused of four, and others wait: one is in use. */
async function loweredToOne(slots: ConnectionSlots): Promise<Slot[]> {
  const got = await Promise.all([0, 1, 2, 3].map(() => slots.take(never)));
  for (let i = 0; i < 3; i++) slots.refused();
  for (let i = 0; i < 10; i++) void slots.take(never).then((slot) => got.push(slot));
  for (const slot of got.splice(0)) slot.release();
  await tick();
  expect(slots.inUse).toBe(1);
  return got;
}

it('what was lowered comes back to those who wait, with the next release', async () => {
  let nowMs = 1_000_000;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const slots = createConnectionSlots(4);
  const [only] = await loweredToOne(slots);
  nowMs += 90_000;
  only?.release();
  expect(slots.inUse).toBe(4);
});

it('whoever is let in as soon as it asks, and gives up later, takes nobody out of the queue', async () => {
  let nowMs = 1_000_000;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const slots = createConnectionSlots(3);
  const held = await Promise.all([0, 1, 2].map(() => slots.take(never)));
  slots.refused();
  slots.refused();
  held.forEach((slot, i) => i > 0 && slot.release());
  const waited = slots.take(never);
  nowMs += 60_000;
  const abort = new AbortController();
  const letIn = slots.take(abort.signal);
  expect(slots.inUse).toBe(3);
  const next = slots.take(never);
  abort.abort();
  (await waited).release();
  await next;
  (await letIn).release();
});

it('what was lowered comes back to those who wait, though nobody releases any', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
  const slots = createConnectionSlots(4);
  await loweredToOne(slots);
  for (const expected of [2, 3, 4, 4]) {
    vi.advanceTimersByTime(30_100);
    expect(slots.inUse).toBe(expected);
  }
  expect(vi.getTimerCount()).toBe(0);
});
