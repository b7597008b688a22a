import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planProducts } from '../../../src/jobs/plan.js';
import { product } from '../../support/products.js';

const none = { max_products: undefined, max_bytes: undefined, products: undefined };

describe('a plan', () => {
  it('drops repeats by id and counts them', () => {
    const plan = planProducts([product('a'), product('b'), product('a')], {
      ...none,
      order: 'oldest',
    });
    expect(plan.products.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(plan.repeats).toBe(1);
  });

  it('F032 keeps two products that share a name', () => {
    const plan = planProducts([product('a', { name: 'same' }), product('b', { name: 'same' })], {
      ...none,
      order: 'newest',
    });
    expect(plan.products).toHaveLength(2);
  });

  it('is ordered as asked, ties broken by id', () => {
    const found = [
      product('a', { acquired_at: '2025-01-02T00:00:00Z', cloud_cover: 10, bytes: 5 }),
      product('b', { acquired_at: '2025-01-01T00:00:00Z', cloud_cover: null, bytes: null }),
      product('c', { acquired_at: '2025-01-02T00:00:00Z', cloud_cover: 2, bytes: 9 }),
    ];
    const order = (by: 'newest' | 'oldest' | 'cloud' | 'size') =>
      planProducts(found, { ...none, order: by })
        .products.map(({ id }) => id)
        .join('');
    expect({
      newest: order('newest'),
      oldest: order('oldest'),
      cloud: order('cloud'),
      size: order('size'),
    }).toEqual({
      newest: 'acb',
      oldest: 'bac',
      cloud: 'cab',
      size: 'acb',
    });
  });

  it('D17 does not know how much it is where single files are selected', () => {
    const found = ['a', 'b'].map((id) => product(id, { bytes: 10 }));
    const bytesTotal = (assets?: { include: string[]; exclude: string[] }) =>
      planProducts(found, { ...none, order: 'newest', assets }).bytesTotal;
    expect(bytesTotal({ include: ['*_B04_*'], exclude: [] })).toBeNull();
    expect(bytesTotal({ include: [], exclude: [] })).toBe(20);
    expect(bytesTotal()).toBe(20);
  });

  it('D25 stays within max_products and max_bytes and says what it left out', () => {
    const found = ['a', 'b', 'c'].map((id) => product(id, { bytes: 10 }));
    expect(planProducts(found, { ...none, order: 'oldest', max_products: 2 })).toMatchObject({
      leftOut: 1,
      limitedBy: 'max_products',
      bytesTotal: 20,
    });
    expect(planProducts(found, { ...none, order: 'oldest', max_bytes: 15 })).toMatchObject({
      leftOut: 2,
      limitedBy: 'max_bytes',
      bytesTotal: 10,
    });
    expect(planProducts(found, { ...none, order: 'oldest', max_bytes: 30 })).toMatchObject({
      leftOut: 0,
      limitedBy: null,
    });
  });

  it('D25 says which limit was reached when nothing more was found, because the search stops there', () => {
    const found = ['a', 'b'].map((id) => product(id));
    expect(planProducts(found, { ...none, order: 'newest', max_products: 2 })).toMatchObject({
      leftOut: 0,
      limitedBy: 'max_products',
    });
  });

  it('D25 takes nothing when the first product alone is more than max_bytes', () => {
    const found = [product('a', { bytes: 10 }), product('b', { bytes: 1 })];
    expect(planProducts(found, { ...none, order: 'oldest', max_bytes: 9 })).toMatchObject({
      products: [],
      leftOut: 2,
      limitedBy: 'max_bytes',
    });
  });

  it('D25 leaves sizes that nobody announced, as those of selected files, to the job itself', () => {
    const whole = [product('a', { bytes: 10 }), product('b', { bytes: null })];
    expect(planProducts(whole, { ...none, order: 'oldest', max_bytes: 10 })).toMatchObject({
      leftOut: 0,
      bytesTotal: null,
    });
    const assets = { include: ['*.jp2'], exclude: [] };
    expect(planProducts(whole, { ...none, order: 'oldest', max_bytes: 1, assets })).toMatchObject({
      leftOut: 0,
      limitedBy: null,
      bytesTotal: null,
    });
  });

  it('does not claim a total when one size is unknown', () => {
    expect(
      planProducts([product('a', { bytes: null })], { ...none, order: 'oldest' }).bytesTotal,
    ).toBeNull();
  });

  it('is the same whatever the order of the pages', () => {
    const products = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(products, fc.integer(), (ids, seed) => {
        const found = ids.map((id) =>
          product(id, { acquired_at: `2025-01-0${(id.length % 9) + 1}T00:00:00Z` }),
        );
        const shuffled = [...found].sort(
          (a, b) => ((a.id.charCodeAt(0) * seed) % 7) - ((b.id.charCodeAt(0) * seed) % 7),
        );
        expect(planProducts(shuffled, { ...none, order: 'newest' }).products).toEqual(
          planProducts(found, { ...none, order: 'newest' }).products,
        );
      }),
    );
  });
});
