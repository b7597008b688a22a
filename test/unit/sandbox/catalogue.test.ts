import { describe, expect, it } from 'vitest';
import { createCatalogue } from '../../../src/sandbox/catalogue/catalogue.js';
import {
  splitAtAntimeridian,
  tileFootprint,
  tileGrid,
} from '../../../src/sandbox/catalogue/footprint.js';
import { passesOver } from '../../../src/sandbox/catalogue/sentinel-2.js';
import { matches } from '../../../src/sandbox/odata/filter-match.js';
import { parseFilter } from '../../../src/sandbox/odata/filter-parser.js';

const catalogue = createCatalogue({ seed: 1, products: 4000, scale: 0.0005 });
const demo =
  "Collection/Name eq 'SENTINEL-2' and OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))')";
const ofType = (type: string): string =>
  `Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and att/OData.CSC.StringAttribute/Value eq '${type}')`;
const find = (filter: string) =>
  catalogue.products.filter((product) => matches(parseFilter(filter), product));

describe('the catalogue by rule', () => {
  it('is the same for the same seed and another for another', () => {
    const ids = (seed: number, products: number): string[] =>
      createCatalogue({ seed, products, scale: 1 }).products.map(({ id }) => id);
    expect(ids(1, 300)).toEqual(catalogue.products.slice(0, 300).map(({ id }) => id));
    expect(ids(2, 300)).not.toEqual(ids(1, 300));
  });

  it('has every id and every name once', () => {
    expect(new Set(catalogue.products.map(({ id }) => id)).size).toBe(4000);
    expect(new Set(catalogue.products.map(({ name }) => name)).size).toBe(4000);
  });

  it('has UUIDs of versions 1, 4 and 5', () => {
    const versions = new Set(catalogue.products.map(({ id }) => id[14]));
    expect([...versions].toSorted()).toEqual(['1', '4', '5']);
    for (const { id } of catalogue.products)
      expect(id).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-[145][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
  });

  it('has a handful of sound products over the demo area in the first three days of 2025', () => {
    const days = 'ContentDate/Start ge 2025-01-01 and ContentDate/Start lt 2025-01-04';
    for (const type of ['S2MSI2A', 'S2MSI1C']) {
      const found = find(`${demo} and ${ofType(type)} and ${days}`);
      expect(found).toHaveLength(4);
      for (const product of found) {
        expect(product).toMatchObject({ online: true, lengthKnown: true, checksums: 'md5-blake3' });
        expect(product.name).toMatch(/_T29SP[ST]_/);
      }
    }
  });

  it('covers January 2025 over the demo area in both levels', () => {
    const january = 'ContentDate/Start ge 2025-01-01 and ContentDate/Start lt 2025-02-01';
    expect(find(`${demo} and ${ofType('S2MSI2A')} and ${january}`).length).toBeGreaterThan(20);
    expect(find(`${demo} and ${ofType('S2MSI1C')} and ${january}`).length).toBeGreaterThan(20);
  });

  it('has every oddity of the real catalogue', () => {
    const { products } = catalogue;
    expect(products.some(({ online }) => !online)).toBe(true);
    expect(products.some(({ lengthKnown }) => !lengthKnown)).toBe(true);
    expect(products.some(({ footprint }) => footprint === null)).toBe(true);
    expect(products.some(({ footprint }) => footprint?.length === 2)).toBe(true);
    expect(new Set(products.map(({ checksums }) => checksums))).toEqual(
      new Set(['md5-blake3', 'blake3-md5', 'md5', 'blake3', 'empty', 'empty-object']),
    );
    expect(products.some(({ name }) => name.endsWith('.EOF'))).toBe(true);
    expect(products.some(({ name }) => !name.includes('.'))).toBe(true);
  });

  it('makes as many tiny bulk products as asked', () => {
    const bulk = { collection: 'SENTINEL-2', count: 25_000 };
    const large = createCatalogue({ seed: 1, products: 10, scale: 1, bulk });
    expect(large.products).toHaveLength(25_010);
    expect(new Set(large.products.map(({ name }) => name)).size).toBe(25_010);
    const found = large.products.filter((product) => matches(parseFilter(demo), product));
    expect(found.length).toBeGreaterThanOrEqual(25_000);
  });
});

describe('orbits', () => {
  it('gives the real relative orbits over 31UFS their real days and numbers', () => {
    // S2B_MSIL2A_20190329T104029_…_R008_T31UFS has orbit 10759.
    const passes = passesOver('31UFS', Date.UTC(2019, 2, 29));
    expect(passes).toContainEqual(
      expect.objectContaining({ satellite: 'B', relativeOrbit: 8, orbitNumber: 10_759 }),
    );
    // S2A_MSIL2A_20190725T105031_…_R051_T31UFS.
    expect(passesOver('31UFS', Date.UTC(2019, 6, 25))).toContainEqual(
      expect.objectContaining({ satellite: 'A', relativeOrbit: 51 }),
    );
    // S2A_MSIL2A_20210925T105811_…_R094_T30TVN.
    expect(passesOver('30TVN', Date.UTC(2021, 8, 25))).toContainEqual(
      expect.objectContaining({ satellite: 'A', relativeOrbit: 94 }),
    );
  });
});

describe('footprints', () => {
  it('places tiles where they are', () => {
    expect(tileGrid('29SPT')).toEqual({
      zone: 29,
      easting: 600_000,
      northing: 3_700_000,
      south: false,
    });
    // Corners of a real product over 31UFS.
    const [ring] = tileFootprint('31UFS', null);
    expect(ring![1]![0]).toBeCloseTo(4.40871510963764, 7);
    expect(ring![1]![1]).toBeCloseTo(50.4552721606619, 7);
    expect(ring![3]![0]).toBeCloseTo(6.01702500852582, 7);
  });

  it('splits a tile on the antimeridian into two polygons that stay inside', () => {
    const polygons = tileFootprint('01KAB', null);
    expect(polygons).toHaveLength(2);
    for (const polygon of polygons) {
      expect(polygon[0]).toEqual(polygon.at(-1));
      for (const [lon] of polygon) expect(Math.abs(lon)).toBeLessThanOrEqual(180);
    }
  });

  it('leaves a ring that touches the antimeridian in one piece', () => {
    const ring: [number, number][] = [
      [179, 0],
      [180, 0],
      [180, 1],
      [179, 1],
    ];
    expect(splitAtAntimeridian(ring)).toEqual([[...ring, ring[0]]]);
  });
});
