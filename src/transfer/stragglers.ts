/**
 * Which request holds a file up: one that brings so little that another connection, as good as the best so far, would be
 * done long before. Each one given up makes the next wait for twice as long, and there are only a few. Pure: it is told
 * what happened, and when.
 */
import { ServiceError } from '../jobs/error-codes.js';
import type { Claim } from './ledger.js';

const PATIENCE_MS = 3_000;
const MOST = 6;
/** So many times as long as another would need it may take. */
const TIMES = 4;
/** What fewer bytes took says nothing of a connection. */
const LEAST_BYTES = 64 * 1024;

export class Underway {
  bytes = 0;
  isHeld = false;
  answeredMs: number | null = null;
  /** Since then it has been looked at. */
  mark: { atMs: number; bytes: number };
  readonly #stop = new AbortController();

  constructor(
    readonly claim: Claim,
    nowMs: number,
  ) {
    this.mark = { atMs: nowMs, bytes: 0 };
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get isGivenUp(): boolean {
    return this.#stop.signal.aborted;
  }

  giveUp(): void {
    this.#stop.abort(new ServiceError('SourceUnavailable', 'The connection was much too slow'));
  }
}

export class Stragglers {
  readonly #underway = new Set<Underway>();
  /** Bytes a millisecond of the fastest request. */
  #best = 0;
  #longestFirstByteMs = 0;
  #found = 0;

  begin(claim: Claim, nowMs: number): Underway {
    const request = new Underway(claim, nowMs);
    this.#underway.add(request);
    return request;
  }

  answered(request: Underway, firstByteMs: number, nowMs: number): void {
    request.answeredMs = nowMs;
    request.mark = { atMs: nowMs, bytes: request.bytes };
    this.#longestFirstByteMs = Math.max(this.#longestFirstByteMs, firstByteMs);
  }

  /** @param isAll it brought what it was asked for */
  end(request: Underway, isAll: boolean, nowMs: number): void {
    if (!this.#underway.delete(request) || !isAll || request.answeredMs === null) return;
    if (request.bytes < LEAST_BYTES) return;
    this.#best = Math.max(this.#best, request.bytes / Math.max(1, nowMs - request.answeredMs));
  }

  /** Call often, where a connection would be free for what is given up. */
  find(nowMs: number): Underway | null {
    if (this.#best === 0 || this.#found >= MOST) return null;
    const patienceMs = PATIENCE_MS * 2 ** this.#found;
    for (const request of this.#underway)
      if (this.#isTooSlow(request, patienceMs, nowMs)) {
        this.#found++;
        return request;
      }
    return null;
  }

  #isTooSlow(request: Underway, patienceMs: number, nowMs: number): boolean {
    const { claim, bytes, mark } = request;
    const elapsedMs = nowMs - mark.atMs;
    if (request.isHeld) request.mark = { atMs: nowMs, bytes };
    if (request.isHeld || elapsedMs < patienceMs) return false;
    if (request.answeredMs === null)
      return elapsedMs > patienceMs + TIMES * this.#longestFirstByteMs;
    request.mark = { atMs: nowMs, bytes };
    const left = claim.end - claim.start - bytes;
    const needsMs = left / ((bytes - mark.bytes) / elapsedMs);
    const othersMs = left / this.#best + this.#longestFirstByteMs;
    return left > 0 && needsMs > patienceMs + TIMES * othersMs;
  }
}
