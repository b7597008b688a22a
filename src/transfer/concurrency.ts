/**
 * How many connections one file is worth, and how much each should ask for at a time. One is enough where our own disk,
 * digests or processor are what a transfer waits for; where a provider serves each connection slowly, more are opened as
 * long as that helps. Pure: it is told what happened, and when.
 */

const MIB = 1024 * 1024;
/** Above this, in bytes a second, one connection is not what holds a transfer up. */
const FAST = 100 * MIB;
/** So long is looked before more are opened, and before it is decided whether they helped. */
const LOOK_MS = 60;
const TRIAL_MS = 1_500;
/** Share of the time in which we kept the server waiting, or had no time for it, above which more cannot help. */
const OURS = 0.5;
/** More connections stay when they bring at least this much more. */
const WORTH = 1.15;
/** After more did not help, or was refused, nothing more is tried for so long. */
const PATIENCE_MS = 30_000;
/** A request should last this many times as long as one waits for its first byte. */
const LENGTHS = 40;
/** And so long where it has the link to itself: nothing comes from its end to the next one's first byte. */
const ALONE_MS = 500;
const MOST_BYTES = 64 * MIB;
/** Nobody asks for less, unless there is no more. */
const LEAST_BYTES = MIB;

export class Concurrency {
  /** Connections that should be at work. */
  wanted = 1;
  /** Bytes that arrived, over all connections. */
  bytes = 0;
  #firstByteMs = 0;
  #look: { atMs: number; bytes: number } | null = null;
  #heldMs = 0;
  #heldAtMs = 0;
  #holding = 0;
  #before = 0;
  #quietUntilMs = 0;
  #rate = 0;
  #isLinkSlow = false;

  constructor(
    readonly most: number,
    readonly blockBytes: number,
  ) {}

  /** Bytes a second over all connections, lately. */
  get rate(): number {
    return this.#rate;
  }

  /** Does the link, and not our disk, digests or processor, keep this transfer below so many bytes a second? */
  isLinkSlowerThan(rate: number): boolean {
    return this.#isLinkSlow && this.#rate < rate;
  }

  received(bytes: number, nowMs: number): void {
    this.bytes += bytes;
    this.#look ??= { atMs: nowMs, bytes: this.bytes };
  }

  answered(firstByteMs: number): void {
    this.#firstByteMs =
      this.#firstByteMs === 0 ? firstByteMs : (3 * this.#firstByteMs + firstByteMs) / 4;
  }

  /** A connection was refused while `active` others were at work. */
  refused(active: number, nowMs: number): void {
    this.wanted = Math.max(1, Math.min(this.wanted, active));
    this.#quietUntilMs = nowMs + PATIENCE_MS;
    this.#before = 0;
  }

  /** From now on we keep one connection more, or one fewer, waiting for our disk or digests. */
  holds(change: 1 | -1, nowMs: number): void {
    this.#heldMs += this.#holding * (nowMs - this.#heldAtMs);
    this.#heldAtMs = nowMs;
    this.#holding += change;
  }

  /**
   * Looks at what came since the last decision; call often.
   * @param busyShare of the time since the last call in which our own thread was at work, 0 to 1
   */
  observe(active: number, busyShare: number, nowMs: number): void {
    const look = this.#look;
    if (!look) return;
    const elapsedMs = nowMs - look.atMs;
    if (elapsedMs < (this.#before > 0 ? TRIAL_MS : LOOK_MS)) return;
    this.#heldMs += this.#holding * (nowMs - this.#heldAtMs);
    this.#heldAtMs = nowMs;
    const isOurs = busyShare > OURS || this.#heldMs > OURS * elapsedMs * active;
    this.#rate = ((this.bytes - look.bytes) * 1000) / elapsedMs;
    this.#look = { atMs: nowMs, bytes: this.bytes };
    this.#heldMs = 0;
    this.#isLinkSlow = !isOurs;
    if (active >= this.wanted) this.#decide(isOurs, nowMs);
  }

  #decide(isOurs: boolean, nowMs: number): void {
    if (this.#before > 0 && this.#rate < this.#before * WORTH) {
      this.wanted = Math.max(1, Math.floor(this.wanted / 4));
      this.#quietUntilMs = nowMs + PATIENCE_MS;
      this.#before = 0;
    } else if (
      this.wanted < this.most &&
      !isOurs &&
      this.#rate < FAST &&
      nowMs >= this.#quietUntilMs
    ) {
      this.#before = this.#rate;
      this.wanted = Math.min(this.most, this.wanted === 1 ? 4 : 2 * this.wanted);
    } else {
      this.#before = 0;
    }
  }

  /**
   * Bytes for the next request: enough that waiting for its first byte does not matter, and towards the end so little that
   * all connections are done together. What several have under way stays near `blockBytes` where answers come at once.
   */
  requestBytes(unclaimed: number): number {
    const lanes = Math.max(1, this.wanted);
    const least = Math.min(LEAST_BYTES, this.blockBytes);
    const longMs = Math.max(LENGTHS * this.#firstByteMs, lanes === 1 ? ALONE_MS : 0);
    const long = (longMs * this.#rate) / lanes / 1000;
    const size = Math.min(Math.max(long, this.blockBytes / lanes), MOST_BYTES);
    const fair = lanes > 1 ? unclaimed / (2 * lanes) : size;
    return Math.max(least, Math.min(size, fair));
  }
}
