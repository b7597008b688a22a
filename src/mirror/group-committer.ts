/**
 * Group commit: while one transaction is in flight, whatever else arrives waits and goes together into the next one,
 * so that the cost of making a write durable is shared by all who wait for it. One group that cannot be stored is
 * tried again one by one: a bad item fails alone.
 */
import { isServiceError } from '../jobs/error-codes.js';

interface Waiting<Item> {
  item: Item;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export interface GroupCommitter<Item> {
  /** Resolves once the group of `item` is committed. */
  submit(item: Item): Promise<void>;
}

export function createGroupCommitter<Item>(options: {
  commit: (items: Item[]) => Promise<void>;
  /** What one item adds to a group. */
  weigh: (item: Item) => number;
  /** A group stops growing once it weighs this much. */
  maxWeight: number;
}): GroupCommitter<Item> {
  let queue: Waiting<Item>[] = [];
  let running = false;

  function takeGroup(): Waiting<Item>[] {
    let weight = 0;
    let size = 0;
    while (size < queue.length && weight < options.maxWeight)
      weight += options.weigh(queue[size++]!.item);
    const group = queue.slice(0, size);
    queue = queue.slice(size);
    return group;
  }

  async function commitGroup(group: Waiting<Item>[]): Promise<void> {
    try {
      await options.commit(group.map(({ item }) => item));
      for (const { resolve } of group) resolve();
    } catch (error) {
      if (isServiceError(error) && error.code === 'StoreUnavailable') {
        // Whoever waits would only find out later, one timeout after the other.
        for (const { reject } of group.concat(queue.splice(0))) reject(error);
      } else if (group.length === 1) {
        group[0]!.reject(error);
      } else {
        for (const waiting of group) await commitGroup([waiting]);
      }
    }
  }

  async function run(): Promise<void> {
    running = true;
    while (queue.length > 0) await commitGroup(takeGroup());
    running = false;
  }

  return {
    submit: (item) =>
      new Promise((resolve, reject) => {
        queue.push({ item, resolve, reject });
        if (!running) void run();
      }),
  };
}
