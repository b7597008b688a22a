import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCatalogue } from '../../../src/sandbox/catalogue/catalogue.js';
import { parseArea } from '../../../src/sandbox/odata/area.js';
import { matches } from '../../../src/sandbox/odata/filter-match.js';
import { FilterError, parseFilter, parseTime } from '../../../src/sandbox/odata/filter-parser.js';

const { products } = createCatalogue({ seed: 1, products: 600, scale: 1 });
const count = (filter: string): number => {
  const parsed = parseFilter(filter);
  return products.filter((product) => matches(parsed, product)).length;
};
const attribute = (name: string, rest: string, outer = 'String', inner = 'String'): string =>
  `Attributes/OData.CSC.${outer}Attribute/any(att:att/Name eq '${name}' and att/OData.CSC.${inner}Attribute/Value ${rest})`;

describe('$filter', () => {
  it('combines and, or, not and parentheses with the usual precedence', () => {
    const s1 = count("Collection/Name eq 'SENTINEL-1'");
    const s2 = count("Collection/Name eq 'SENTINEL-2'");
    expect(s1).toBeGreaterThan(0);
    expect(count("Collection/Name eq 'SENTINEL-1' or Collection/Name eq 'SENTINEL-2'")).toBe(
      s1 + s2,
    );
    expect(count("not Collection/Name eq 'SENTINEL-1'")).toBe(600 - s1);
    expect(count("not (Collection/Name eq 'SENTINEL-1' or Collection/Name eq 'SENTINEL-2')")).toBe(
      600 - s1 - s2,
    );
    // `and` binds tighter: the right side adds nothing.
    expect(
      count(
        "Collection/Name eq 'SENTINEL-1' or Collection/Name eq 'SENTINEL-2' and Name eq 'nothing'",
      ),
    ).toBe(s1);
  });

  it('reads dates bare, as a day, with an offset and in quotes', () => {
    const day = count('ContentDate/Start ge 2025-01-05');
    expect(day).toBeGreaterThan(0);
    expect(day).toBeLessThan(600);
    for (const literal of [
      '2025-01-05T00:00:00.000Z',
      '2025-01-05T00:00:00Z',
      "'2025-01-05T00:00:00.000000Z'",
      '2025-01-05T01:00:00+01:00',
      '2025-01-05T00:00:00',
    ])
      expect(count(`ContentDate/Start ge ${literal}`), literal).toBe(day);
  });

  it('finds names by part, start and end', () => {
    const name = products[7]!.name;
    expect(count(`Name eq '${name}'`)).toBe(1);
    expect(count(`contains(Name,'${name.slice(4, -5)}')`)).toBe(1);
    expect(count(`startswith(Name, '${name.slice(0, 60)}')`)).toBeGreaterThan(0);
    expect(count("endswith(Name,'.EOF')")).toBeGreaterThan(0);
    expect(count("contains(Name,'it''s')")).toBe(0);
  });

  it('compares attributes by their value, whatever types the filter declares', () => {
    const exact = count(attribute('relativeOrbitNumber', 'eq 94', 'Integer', 'Integer'));
    expect(exact).toBeGreaterThan(0);
    expect(count(attribute('relativeOrbitNumber', 'eq 94', 'Integer', 'String'))).toBe(exact);
    expect(count(attribute('relativeOrbitNumber', 'eq 94', 'String', 'Integer'))).toBe(exact);
    expect(count(attribute('relativeOrbitNumber', "eq '94'"))).toBe(exact);
    const clear = count(attribute('cloudCover', 'le 20.0', 'Double', 'Double'));
    const cloudy = count(attribute('cloudCover', 'gt 20.0', 'Double', 'Double'));
    expect(clear + cloudy).toBe(count("Collection/Name eq 'SENTINEL-2'"));
    expect(count(attribute('sliceProductFlag', 'eq false', 'Boolean', 'Boolean'))).toBeGreaterThan(
      0,
    );
    expect(
      count(
        attribute(
          'beginningDateTime',
          'ge 2025-01-05T00:00:00.000Z',
          'DateTimeOffset',
          'DateTimeOffset',
        ),
      ),
    ).toBe(count('ContentDate/Start ge 2025-01-05'));
  });

  it('takes any variable name and spaces around the colon', () => {
    const usual = count(attribute('tileId', "eq '29SPT'"));
    const other =
      "Attributes/OData.CSC.StringAttribute/any(d : d/Name eq 'tileId' and d/OData.CSC.StringAttribute/Value eq '29SPT')";
    expect(usual).toBeGreaterThan(0);
    expect(count(other)).toBe(usual);
  });

  it('never matches a product without footprint by area', () => {
    const world =
      "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((-180 -90,180 -90,180 90,-180 90,-180 -90))')";
    const without = products.filter(({ footprint }) => footprint === null).length;
    expect(without).toBeGreaterThan(0);
    expect(count(world)).toBe(600 - without);
    expect(
      count("OData.CSC.Intersects(area=geography'SRID=4326;POINT(-7.5 33.6)')"),
    ).toBeGreaterThan(0);
  });

  it.each([
    ['', 'expected a field or a function at position 0, found the end'],
    ['Name', 'expected a comparison at position 4, found the end'],
    ["Name like 'x'", 'expected eq, ne, lt, le, gt or ge at position 5, found "like"'],
    ["Nam eq 'x'", 'expected a known field at position 0, found "Nam"'],
    ['Name eq 5', 'expected a quoted text at position 8, found "5"'],
    [
      "Name eq 'x' Name eq 'y'",
      'expected the end or a logical operator at position 12, found "Name"',
    ],
    ["(Name eq 'x'", 'expected ")" at position 12, found the end'],
    ["Name eq 'x", 'unclosed quote at position 8'],
    ['Online eq 1', 'expected true or false at position 10, found "1"'],
    ['ContentDate/Start gt yesterday', 'expected a number, a date or a quoted text at position 21'],
    ["ContentDate/Start gt '2025-13-45'", 'expected a date at position 21'],
    [attribute('a', "eq 'b'", 'Text'), 'expected a known attribute type at position 0'],
  ])('refuses %j', (filter, message) => {
    expect(() => parseFilter(filter)).toThrow(FilterError);
    expect(() => parseFilter(filter)).toThrow(message);
  });

  it.each([
    ['POLYGON((0 0,1 0,1 1,0 1))', 'the ring is not closed'],
    ['POLYGON((0 0,1 1,0 0))', 'a ring needs at least four positions'],
    ['POLYGON((0 0,1 1,1 0,0 1,0 0))', 'the ring crosses itself'],
    ['POLYGON((0 0,200 0,1 1,0 0))', 'position out of bounds "200 0"'],
    ['POLYGON((0 0,a b,1 1,0 0))', 'malformed position "a b"'],
    ['MULTIPOLYGON(((0 0,1 0,1 1,0 0)))', 'geometry type MULTIPOLYGON is not supported'],
  ])('refuses the area %s', (area, message) => {
    const filter = `OData.CSC.Intersects(area=geography'SRID=4326;${area}')`;
    expect(() => parseFilter(filter)).toThrow(message);
  });

  it('accepts a blank between POLYGON and its rings', () => {
    expect(parseArea('SRID=4326;POLYGON ((0 0, 1 0, 1 1, 0 0))')).toEqual(
      parseArea('SRID=4326;POLYGON((0 0,1 0,1 1,0 0))'),
    );
  });

  it('answers any text with a filter or a FilterError, never with another error', () => {
    const pieces = fc.constantFrom(
      'Name',
      ' eq ',
      "'x'",
      '(',
      ')',
      ' and ',
      ' or ',
      'not ',
      'Online',
      'true',
      '2025-01-01',
      'contains(',
      ',',
      'ContentDate/Start',
      ' ge ',
      ':',
      "'",
      'OData.CSC.Intersects(area=geography',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces).map((parts) => parts.join('')),
        ),
        (text) => {
          try {
            parseFilter(text);
          } catch (error) {
            expect(error).toBeInstanceOf(FilterError);
          }
        },
      ),
    );
    expect(() => parseFilter('('.repeat(100_000))).toThrow('nested too deeply');
    expect(() => parseFilter('not '.repeat(100_000))).toThrow('nested too deeply');
  });
});

describe('time literals', () => {
  it('keeps milliseconds and cuts what is finer', () => {
    expect(parseTime('2025-01-02T11:00:37.024999Z')).toBe(Date.UTC(2025, 0, 2, 11, 0, 37, 24));
    expect(parseTime('2025-01-02T11:00')).toBe(Date.UTC(2025, 0, 2, 11));
    expect(parseTime('2025-02-30T00:00:61Z')).toBeNaN();
  });
});
