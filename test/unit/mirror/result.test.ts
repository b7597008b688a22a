import { describe, expect, it } from 'vitest';
import { initialSnapshot } from '../../../src/jobs/snapshot.js';
import { buildResult } from '../../../src/mirror/result.js';
import { artifact, event, storedData } from '../../contract/mirror.fixtures.js';

const snapshot = { ...initialSnapshot('2025-01-01T00:00:00Z'), state: 'succeeded' as const };
const cancelled = { type: '/problems/cancelled', title: 'Cancelled', status: 409, detail: '' };

describe('buildResult', () => {
  it('calls a product cancelled whose failure was a cancellation', () => {
    const data = { product_id: 'a', name: 'a.SAFE', error: { ...cancelled, code: 'Cancelled' } };
    const result = buildResult('j', snapshot, [event('j', 1, 'product.failed', data)]);
    expect(result.products).toMatchObject([{ id: 'a', outcome: 'cancelled', paths: [] }]);
  });

  it('does not call a product cancelled that a running job has begun', () => {
    const started = event('j', 1, 'product.started', { product_id: 'a' });
    const running = { ...snapshot, state: 'running' as const };
    expect(buildResult('j', running, [started]).products).toEqual([]);
    expect(buildResult('j', snapshot, [started]).products).toMatchObject([
      { id: 'a', name: 'a', outcome: 'cancelled' },
    ]);
  });

  it('names a path once that two products share', () => {
    const events = ['a', 'b'].map((product, index) =>
      event('j', index + 1, 'product.reused', storedData(product, [artifact('jobs/j/same.zip')])),
    );
    expect(buildResult('j', snapshot, events)).toMatchObject({
      paths: ['jobs/j/same.zip'],
      bytes: 20,
    });
  });

  it('passes over an event whose data it does not understand', () => {
    const events = [
      event('j', 1, 'product.completed', { product_id: 'a' }),
      event('j', 2, 'product.failed', {}),
      event('j', 3, 'product.started', { product_id: { $ne: null } }),
    ];
    expect(buildResult('j', snapshot, events).products).toEqual([]);
  });

  it('keeps a path that is named like a prototype', () => {
    const events = [event('j', 1, 'product.completed', storedData('a', [artifact('__proto__')]))];
    const { checksums } = buildResult('j', snapshot, events);
    expect(Object.keys(checksums)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(checksums)).toBe(Object.prototype);
  });
});
