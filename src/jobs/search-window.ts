/**
 * Searching no further than needed: with `max_products`, the newest (or oldest) products are looked for in windows of time
 * that grow from that end, each searched whole before the next, until there are enough. Pure.
 */
import type { SearchDownloadRequest } from './request.js';
import { requestWindow } from './request.js';

/** Where the search stands; travels as part of a cursor. */
export interface SearchWindow {
  /** Half-open [fromMs, toMs). */
  fromMs: number;
  toMs: number;
}

const DAY_MS = 86_400_000;
const GROWTH = 4;

type Wanted = Pick<SearchDownloadRequest, 'start_date' | 'end_date' | 'order' | 'max_products'>;

/** The first window, or null where the whole time has to be searched at once. */
export function firstWindow(request: Wanted): SearchWindow | null {
  const whole = requestWindow(request);
  if (whole === null || request.max_products === undefined) return null;
  if (request.order === 'newest')
    return { fromMs: Math.max(whole.startMs, whole.endMs - DAY_MS), toMs: whole.endMs };
  if (request.order === 'oldest')
    return { fromMs: whole.startMs, toMs: Math.min(whole.endMs, whole.startMs + DAY_MS) };
  return null;
}

/** The window after this one, four times as long; null when nothing of the request's time is left. */
export function nextWindow(request: Wanted, { fromMs, toMs }: SearchWindow): SearchWindow | null {
  const whole = requestWindow(request);
  if (whole === null) return null;
  const lengthMs = (toMs - fromMs) * GROWTH;
  if (request.order === 'newest')
    return fromMs <= whole.startMs
      ? null
      : { fromMs: Math.max(whole.startMs, fromMs - lengthMs), toMs: fromMs };
  return toMs >= whole.endMs
    ? null
    : { fromMs: toMs, toMs: Math.min(whole.endMs, toMs + lengthMs) };
}

/** The request, narrowed to the window. */
export function withinWindow<R extends Wanted>(request: R, { fromMs, toMs }: SearchWindow): R {
  return {
    ...request,
    start_date: new Date(fromMs).toISOString(),
    end_date: new Date(toMs - 1).toISOString(),
  };
}
