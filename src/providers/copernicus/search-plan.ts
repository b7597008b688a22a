/**
 * How a search gets past pages of 1,000 and past the catalogue's window of 10,000: the time still to be searched, cut into adjacent windows,
 * of which the first is being paged through. Pure. The invariant: the products of all pages so far and those of the windows that are left
 * are together all that match; a window is dropped only when its end is proven.
 *
 * A missing nextLink proves the end only far from the limit. A window deeper than the limit goes on from the last instant seen; a single
 * instant deeper than the limit is searched by publication date. A catalogue that breaks the order it was asked for gets windows
 * so small that each fits on one page.
 */
import { z } from 'zod';
import { ServiceError } from '../../jobs/error-codes.js';

const instant = z.number().int();
const cuts = z.array(instant).min(2);

/** Travels through workflow history, below 4 kB: at most 2 × 42 halvings, or a tail of marks. Times are milliseconds since the epoch. */
export const searchStateSchema = z.object({
  /** Bounds of the windows of sensing start, ascending: the first window is [times[0], times[1]). */
  times: cuts,
  /** The same for publication, when the first window is one crowded instant. */
  published: cuts.nullable(),
  skip: z.number().int().nonnegative(),
  /** The greatest instant of the last page, and marks of its last products. */
  last: instant.nullable(),
  tail: z.array(z.string()),
  ordered: z.boolean(),
});
export type SearchState = z.infer<typeof searchStateSchema>;

/** Half-open, [from, to). */
export interface TimeSpan {
  from: number;
  to: number;
}

export interface Window {
  start: TimeSpan;
  published: TimeSpan | null;
  /** The field by which the window is ordered and cut. */
  orderBy: 'ContentDate/Start' | 'PublicationDate';
}

/** What one answer listed, in its order. */
export interface SeenPage {
  items: { id: string; startMs: number; publishedMs: number | null }[];
  /** `$skip` of the nextLink; null = no link. */
  linkSkip: number | null;
}

export interface PlanLimits {
  /** Products a page; at most half of `skipMax`. */
  pageSize: number;
  /** The deepest `$skip` that the catalogue takes. */
  skipMax: number;
}

/** 2109-05-15: no product is published later. */
const PUBLISHED_END = 2 ** 42;
/** With marks of 8 characters, some 2 kB. */
const TAIL = 200;

const mark = (id: string): string => id.slice(0, 8);

export const firstState = (startMs: number, endMs: number): SearchState =>
  fresh([startMs, endMs], null, true);

function fresh(times: number[], published: number[] | null, ordered: boolean): SearchState {
  return { times, published, skip: 0, last: null, tail: [], ordered };
}

const firstSpan = (bounds: number[]): TimeSpan => ({ from: bounds[0]!, to: bounds[1]! });

export function currentWindow({ times, published }: SearchState): Window {
  return {
    start: firstSpan(times),
    published: published === null ? null : firstSpan(published),
    orderBy: published === null ? 'ContentDate/Start' : 'PublicationDate',
  };
}

/**
 * The state after a page; null when the search is complete.
 * @throws SourceRefused for a nextLink that does not advance and for products outside the window, SourceUnavailable for more products of one
 * instant than can be listed
 */
export function advance(
  state: SearchState,
  page: SeenPage,
  limits: PlanLimits,
): SearchState | null {
  const keys = page.items.map(({ startMs, publishedMs }) =>
    state.published === null ? startMs : (publishedMs ?? NaN),
  );
  const ordered = state.ordered && followsOrder(state, page, keys);
  const skip = nextSkip(state, page, limits);
  // where the order breaks on a later page, those before it were pages of another list
  const isProven = skip === null && (ordered || state.skip === 0);
  if (isProven || (!ordered && keys.length === 0)) return dropFirst(state, ordered);
  const last = keys.at(-1) ?? state.last;
  if (ordered && skip !== null && skip <= limits.skipMax) {
    const tail = page.items.slice(-TAIL).map(({ id }) => mark(id));
    return { ...state, skip, last, tail };
  }
  mustLieInside(firstSpan(state.published ?? state.times), keys);
  return ordered && last !== null ? goOnFrom(state, last) : halve(state);
}

/** Null when the end of the window is proven. */
function nextSkip(state: SearchState, page: SeenPage, limits: PlanLimits): number | null {
  const isEmpty = page.items.length === 0;
  if (page.linkSkip !== null) {
    if (page.linkSkip <= state.skip)
      throw new ServiceError(
        'SourceRefused',
        `The catalogue’s link to the next page leads back: from $skip=${state.skip} to $skip=${page.linkSkip}`,
      );
    return isEmpty && page.linkSkip > limits.skipMax ? null : page.linkSkip;
  }
  const next = state.skip + limits.pageSize;
  const wouldBeLeftOut = next + limits.pageSize > limits.skipMax;
  return wouldBeLeftOut && !isEmpty ? next : null;
}

/** Ascending, across the edge between pages too, and without a product of the page before. */
function followsOrder(state: SearchState, page: SeenPage, keys: number[]): boolean {
  const isAscending = keys.every((key, index) => {
    const before = index === 0 ? state.last : keys[index - 1]!;
    return before === null || key >= before;
  });
  return isAscending && !page.items.some(({ id }) => state.tail.includes(mark(id)));
}

/** A catalogue that ignores the window would be cut for ever. */
function mustLieInside({ from, to }: TimeSpan, keys: number[]): void {
  if (keys.every((key) => key >= from && key < to)) return;
  throw new ServiceError(
    'SourceRefused',
    'The catalogue lists products outside the time that was asked for, and more of them than it lets anyone page through',
  );
}

function dropFirst({ times, published }: SearchState, ordered: boolean): SearchState | null {
  if (published !== null && published.length > 2) return fresh(times, published.slice(1), ordered);
  return times.length > 2 ? fresh(times.slice(1), null, ordered) : null;
}

/** Everything before `last` has been seen; of `last` itself perhaps not all. */
function goOnFrom(state: SearchState, last: number): SearchState {
  const [from, ...later] = state.published ?? state.times;
  return last > from! ? withBounds(state, [last, ...later], true) : searchInstant(state, true);
}

function halve(state: SearchState): SearchState {
  const bounds = state.published ?? state.times;
  const { from, to } = firstSpan(bounds);
  if (to - from === 1) return searchInstant(state, false);
  return withBounds(state, [from, Math.floor((from + to) / 2), ...bounds.slice(1)], false);
}

function withBounds(state: SearchState, bounds: number[], ordered: boolean): SearchState {
  return state.published === null
    ? fresh(bounds, null, ordered)
    : fresh(state.times, bounds, ordered);
}

/** The first millisecond of the window holds too many: it becomes a window of its own, searched by publication. */
function searchInstant({ times, published }: SearchState, ordered: boolean): SearchState {
  const { from, to } = firstSpan(times);
  if (published !== null)
    throw new ServiceError(
      'SourceUnavailable',
      `The catalogue lists more products for ${new Date(from).toISOString()} than it lets anyone page through: the search cannot be completed`,
    );
  const later = to === from + 1 ? times.slice(1) : [from + 1, ...times.slice(1)];
  return fresh([from, ...later], [0, PUBLISHED_END], ordered);
}
