/**
 * The connections that one account may have open at once, shared by all its transfers. Every transfer gets a first one in
 * turn before anybody gets a second; seconds are given back when somebody waits. A provider that says "too many" lowers
 * what is given out, which then grows back slowly.
 */
import { cancelledError } from './errors.js';

export interface Slot {
  readonly isHeld: boolean;
  release: () => void;
}

export interface ConnectionSlots {
  readonly limit: number;
  readonly inUse: number;
  /** Does a transfer wait for its first? */
  readonly isWanted: boolean;
  /** A first connection, in turn. Rejects with the abort's reason. */
  take: (signal: AbortSignal) => Promise<Slot>;
  /** One more, only if it is free and nobody waits for a first. */
  takeExtra: () => Slot | null;
  /** The provider refused one connection more than it allows now. */
  refused: () => void;
}

/** After a refusal, one more is tried each time this has passed. */
const RECOVER_MS = 30_000;

export function createConnectionSlots(limit: number): ConnectionSlots {
  const queue: (() => void)[] = [];
  let inUse = 0;
  let lowered = 0;
  let loweredAtMs = 0;
  let recovery: NodeJS.Timeout | undefined;

  const allowed = () => {
    const recovered = Math.floor((performance.now() - loweredAtMs) / RECOVER_MS);
    return Math.max(1, limit - Math.max(0, lowered - recovered));
  };
  const give = (): Slot => {
    inUse++;
    let isHeld = true;
    return {
      get isHeld() {
        return isHeld;
      },
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        inUse--;
        handOut();
      },
    };
  };
  const handOut = (): void => {
    while (inUse < allowed()) {
      const next = queue.shift();
      if (!next) return;
      next();
    }
  };
  /** Whoever waits need not wait for a release, which may be long in coming. */
  const recover = (): void => {
    handOut();
    if (allowed() < limit) recovery = setTimeout(recover, RECOVER_MS).unref();
  };

  return {
    limit,
    get inUse() {
      return inUse;
    },
    get isWanted() {
      return queue.length > 0;
    },
    async take(signal) {
      if (signal.aborted) throw cancelledError(signal);
      if (inUse < allowed() && queue.length === 0) return give();
      return await new Promise<Slot>((resolve, reject) => {
        const granted = () => {
          signal.removeEventListener('abort', onAbort);
          resolve(give());
        };
        const onAbort = () => {
          queue.splice(queue.indexOf(granted), 1);
          reject(cancelledError(signal));
        };
        queue.push(granted);
        signal.addEventListener('abort', onAbort, { once: true });
        handOut();
      });
    },
    takeExtra: () => (inUse < allowed() && queue.length === 0 ? give() : null),
    refused() {
      lowered = Math.max(0, limit - Math.max(1, Math.min(inUse, allowed()) - 1));
      loweredAtMs = performance.now();
      clearTimeout(recovery);
      recovery = setTimeout(recover, RECOVER_MS + 1).unref();
    },
  };
}
