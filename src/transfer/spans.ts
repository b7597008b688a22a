/** A set of byte positions, kept as disjoint half-open spans in order. */

export interface Span {
  start: number;
  /** Exclusive. */
  end: number;
}

export class Spans {
  #spans: Span[] = [];

  constructor(spans: Iterable<Span> = []) {
    for (const { start, end } of spans) this.add(start, end);
  }

  add(start: number, end: number): void {
    if (end <= start) return;
    const first = this.#firstEndingAtOrAfter(start);
    let last = first;
    for (let span; (span = this.#spans[last]) && span.start <= end; last++) {
      start = Math.min(start, span.start);
      end = Math.max(end, span.end);
    }
    this.#spans.splice(first, last - first, { start, end });
  }

  remove(start: number, end: number): void {
    if (end <= start) return;
    this.#spans = this.#spans.flatMap((span) =>
      span.end <= start || span.start >= end
        ? [span]
        : [
            { start: span.start, end: start },
            { start: end, end: span.end },
          ].filter((part) => part.end > part.start),
    );
  }

  /** End of the span that starts at 0: bytes without a gap from the beginning. */
  get prefix(): number {
    return this.endAt(0);
  }

  /** End of the span that holds `position`; `position` itself where none does. */
  endAt(position: number): number {
    const span = this.#spans[this.#firstEndingAtOrAfter(position)];
    return span && span.start <= position ? Math.max(span.end, position) : position;
  }

  /** Start of the first span at or after `position`; Infinity where there is none. */
  nextStart(position: number): number {
    return this.#spans.find((span) => span.start >= position)?.start ?? Infinity;
  }

  has(start: number, end: number): boolean {
    return this.endAt(start) >= end;
  }

  /** Is any byte of [start, end) in the set? */
  touches(start: number, end: number): boolean {
    return this.endAt(start) > start || this.nextStart(start) < end;
  }

  get bytes(): number {
    return this.#spans.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  toArray(): Span[] {
    return this.#spans.map((span) => ({ ...span }));
  }

  #firstEndingAtOrAfter(position: number): number {
    let low = 0;
    let high = this.#spans.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#spans[middle] as Span).end < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
