/**
 * Limits in bytes per second, shared by every transfer that books on them. A limiter serves its transfers as a line would
 * that is divided equally at every moment: each busy transfer gets the same share however many connections it has, and
 * what one does not use goes to the others. What arrived is booked afterwards, so a limiter never loses count: whoever
 * was let through too early waits longer the next time. It knows nothing of weeks; bandwidth-table.ts says which limit
 * is in force when.
 *
 * @see Demers, Keshav, Shenker: Analysis and Simulation of a Fair Queueing Algorithm (1989); `#served` is its round number
 */

export interface Bandwidth {
  /**
   * Books `bytes` that have arrived and returns for how many milliseconds reading should be held, whole and at least 0.
   * Whoever holds for long waits in steps of at most {@link LONGEST_STEP_MS} and asks again with `take(0)`, which books
   * nothing and says what is left: so a limit that is lifted takes effect at once. Allocates nothing.
   */
  take(bytes: number): number;
}

export const LONGEST_STEP_MS = 250;

/** What an idle line may save up, so that timers that fire late cost no throughput. */
export const BURST_MS = 100;
/** Shorter holds are not worth a timer: they add up until they are. */
const LEAST_HOLD_MS = 5;

export class Limiter {
  /** Bytes a millisecond; null = no limit, and no cost. */
  #rate: number | null = null;
  #atMs: number;
  /** Bytes that each busy transfer was served since the line was last idle. */
  #served = 0;
  #credit = 0;
  readonly #busy: Share[] = [];

  /** @param now a clock in milliseconds that never goes back */
  constructor(
    limit: number | null,
    readonly now: () => number = () => performance.now(),
  ) {
    this.#atMs = now();
    this.setLimit(limit);
  }

  /** Bytes per second, above 0; null = unlimited. Holds that are asked about again follow the new limit. */
  setLimit(limit: number | null): void {
    this.#advance();
    this.#rate = limit === null ? null : limit / 1000;
    this.#credit = Math.min(this.#credit, (this.#rate ?? 0) * BURST_MS);
    if (this.#rate !== null) return;
    for (const share of this.#busy) share.isBusy = false;
    this.#busy.length = 0;
    this.#served = 0;
  }

  /** One transfer's place on this line; to be shared by all of its connections. Needs no closing. */
  join(): Bandwidth {
    return new Share(this);
  }

  /** @internal */
  book(share: Share, bytes: number): number {
    if (this.#rate === null) return 0;
    this.#advance();
    const saved = Math.min(this.#credit, bytes);
    this.#credit -= saved;
    if (bytes > saved) {
      if (!share.isBusy) {
        share.isBusy = true;
        share.finish = this.#served;
        this.#busy.push(share);
      }
      share.finish += bytes - saved;
    }
    return share.isBusy ? this.#holdOf(share) : 0;
  }

  /** Until everything that this share booked is served, if nobody books more meanwhile. */
  #holdOf(share: Share): number {
    let bytes = 0;
    for (const other of this.#busy) bytes += Math.min(other.finish, share.finish) - this.#served;
    const holdMs = Math.ceil(bytes / this.#rate!);
    return holdMs < LEAST_HOLD_MS ? 0 : holdMs;
  }

  /** Serves what the line could carry since the last look; what nobody had booked is saved up. */
  #advance(): void {
    const nowMs = this.now();
    let bytes = Math.max(0, nowMs - this.#atMs) * (this.#rate ?? 0);
    this.#atMs = nowMs;
    const busy = this.#busy;
    while (busy.length > 0) {
      let least = Infinity;
      for (const { finish } of busy) least = Math.min(least, finish);
      const toLeast = (least - this.#served) * busy.length;
      if (toLeast > bytes) {
        this.#served += bytes / busy.length;
        return;
      }
      bytes -= toLeast;
      this.#served = least;
      for (let i = busy.length - 1; i >= 0; i--) if (busy[i]!.finish <= least) this.#leave(i);
    }
    this.#served = 0;
    this.#credit = Math.min(this.#credit + bytes, (this.#rate ?? 0) * BURST_MS);
  }

  #leave(index: number): void {
    this.#busy[index]!.isBusy = false;
    const last = this.#busy.pop()!;
    if (index < this.#busy.length) this.#busy[index] = last;
  }
}

class Share implements Bandwidth {
  isBusy = false;
  /** Where the limiter's round number has to be for everything booked here to be served. */
  finish = 0;

  constructor(readonly limiter: Limiter) {}

  take(bytes: number): number {
    return this.limiter.book(this, bytes);
  }
}

/** One transfer's place on several lines at once: booked on each, held by the slowest. */
export function joinAll(limiters: readonly Limiter[]): Bandwidth {
  const shares = limiters.map((limiter) => limiter.join());
  return {
    take(bytes) {
      let holdMs = 0;
      for (const share of shares) holdMs = Math.max(holdMs, share.take(bytes));
      return holdMs;
    },
  };
}
