/** Which bytes of the file are on disk, which ones somebody is fetching, and what should be fetched next. Pure. */
import { Spans, type Span } from './spans.js';

/** Bytes [start, end) for one request. Those before `proof` are on disk already: they must repeat themselves. */
export interface Claim extends Span {
  proof: number;
}

export class Ledger {
  readonly written: Spans;
  readonly #claimed = new Spans();
  /** Positions behind which bytes ended in an accident: what precedes them is to be proven again. */
  readonly #doubtful = new Set<number>();

  constructor(written: Iterable<Span>) {
    this.written = new Spans(written);
  }

  get bytes(): number {
    return this.written.bytes;
  }

  /** What comes after the byte before `position` must prove that it belongs to the same object. */
  doubt(position: number): void {
    if (position > 0) this.#doubtful.add(position);
  }

  /** Every end of what is on disk: after a restart nothing is known of the server any longer. */
  doubtAll(): void {
    for (const { end } of this.written.toArray()) this.doubt(end);
  }

  /** Bytes that nobody has and nobody fetches. */
  unclaimed(total: number): number {
    return this.#gaps(total).reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** The first missing bytes, at most `size` of them, cut at multiples of `grain`; null when nothing is left to claim. */
  claim(total: number, size: number, grain: number, overlap: number): Claim | null {
    const [gap] = this.#gaps(total);
    if (!gap) return null;
    const cut = Math.ceil((gap.start + size) / grain) * grain;
    const end = cut >= gap.end ? gap.end : cut;
    const isDoubtful = this.#doubtful.delete(gap.start);
    const start = isDoubtful
      ? Math.max(this.#spanStart(gap.start), gap.start - overlap)
      : gap.start;
    this.#claimed.add(gap.start, end);
    return { start, end, proof: gap.start };
  }

  /** Where the last missing bytes end, whoever fetches them. */
  missingUpTo(total: number): number {
    const last = this.written.toArray().at(-1);
    return last && last.end >= total ? last.start : total;
  }

  /** The server gives more than was asked for: up to where somebody else's bytes begin. */
  extend(claim: Claim, end: number): void {
    const limits = [this.written, this.#claimed].map((taken) =>
      taken.endAt(claim.end) > claim.end ? claim.end : taken.nextStart(claim.end),
    );
    const to = Math.min(end, ...limits);
    if (to <= claim.end) return;
    this.#claimed.add(claim.proof, to);
    claim.end = to;
  }

  /** Of the bytes before it no more has to be repeated, though none came behind them. */
  settle(claim: Claim): void {
    claim.start = claim.proof;
  }

  /** The claim is over, whatever came of it. */
  release(claim: Claim): void {
    const isProven = this.written.touches(claim.proof, claim.proof + 1);
    if (claim.start < claim.proof && !isProven) this.doubt(claim.proof);
    this.#claimed.remove(claim.proof, claim.end);
  }

  forget(start: number, end: number): void {
    this.written.remove(start, end);
    for (const position of this.#doubtful)
      if (position > start && position <= end) this.#doubtful.delete(position);
  }

  #spanStart(position: number): number {
    return this.written.toArray().find((span) => span.end === position)?.start ?? position;
  }

  #gaps(total: number): Span[] {
    const taken = new Spans([...this.written.toArray(), ...this.#claimed.toArray()]).toArray();
    const gaps: Span[] = [];
    let at = 0;
    for (const span of taken) {
      if (span.start > at) gaps.push({ start: at, end: Math.min(span.start, total) });
      at = span.end;
    }
    if (at < total) gaps.push({ start: at, end: total });
    return gaps.filter((gap) => gap.end > gap.start);
  }
}
