/** So many pieces of work at once, in the order in which they came. */
import { abortedError, throwIfAborted } from '../aborted.js';

export interface Slots {
  run: <T>(signal: AbortSignal | undefined, work: () => Promise<T>) => Promise<T>;
}

export function createSlots(most: number): Slots {
  const waiting: (() => void)[] = [];
  let used = 0;

  async function take(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    if (used < most) {
      used++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const turn = () => {
        signal?.removeEventListener('abort', leave);
        used++;
        resolve();
      };
      const leave = () => {
        waiting.splice(waiting.indexOf(turn), 1);
        reject(abortedError(signal!));
      };
      waiting.push(turn);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  return {
    async run(signal, work) {
      await take(signal);
      try {
        return await work();
      } finally {
        used--;
        waiting.shift()?.();
      }
    },
  };
}
