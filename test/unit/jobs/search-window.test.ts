import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requestWindow } from '../../../src/jobs/request.js';
import { firstWindow, nextWindow, withinWindow } from '../../../src/jobs/search-window.js';

const request = (
  order: 'newest' | 'oldest' | 'cloud',
  days: number,
  max_products: number | undefined = 1,
) => ({
  start_date: '2020-01-01',
  end_date: new Date(Date.UTC(2020, 0, days)).toISOString().slice(0, 10),
  order,
  max_products,
});

describe('search windows', () => {
  it('cover the whole time once, from the wanted end, and touch without overlap', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('newest' as const, 'oldest' as const),
        fc.integer({ min: 1, max: 4000 }),
        (order, days) => {
          const wanted = request(order, days);
          const whole = requestWindow(wanted)!;
          let covered = 0;
          let edge = order === 'newest' ? whole.endMs : whole.startMs;
          for (
            let window = firstWindow(wanted);
            window !== null;
            window = nextWindow(wanted, window)
          ) {
            expect(order === 'newest' ? window.toMs : window.fromMs).toBe(edge);
            expect(requestWindow(withinWindow(wanted, window))).toEqual({
              startMs: window.fromMs,
              endMs: window.toMs,
            });
            edge = order === 'newest' ? window.fromMs : window.toMs;
            covered += window.toMs - window.fromMs;
          }
          expect(covered).toBe(whole.endMs - whole.startMs);
        },
      ),
    );
  });

  it('are few: ten years take seven', () => {
    let count = 0;
    const wanted = request('newest', 3652);
    for (let window = firstWindow(wanted); window !== null; window = nextWindow(wanted, window))
      count++;
    expect(count).toBe(7);
  });

  it('are not used without max_products, or where every product has to be compared', () => {
    expect(firstWindow({ ...request('newest', 9), max_products: undefined })).toBeNull();
    expect(firstWindow(request('cloud', 9))).toBeNull();
  });
});
