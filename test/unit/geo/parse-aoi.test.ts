// The corpus of F116: every odd area has a defined answer, a repair told in words or a refusal naming the vertex.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { intersects } from '../../../src/geo/intersects.js';
import { parseAoi } from '../../../src/geo/parse-aoi.js';
import { toParts } from '../../../src/geo/parts.js';
import { signedArea } from '../../../src/geo/planar.js';
import { isServiceError } from '../../../src/jobs/error-codes.js';
import type { AoiInput } from '../../../src/jobs/request.js';

function parse(input: AoiInput) {
  const aoi = parseAoi(input);
  if (!aoi) throw new Error('no area');
  return aoi;
}

function wkt(text: string) {
  return parse({ wkt: text });
}

function geojson(document: Record<string, unknown> & { type: string }) {
  return parse({ geojson: document });
}

/** The refusal's first field error; fails the test when the input is taken. */
function refusal(input: AoiInput): { path: string; message: string } {
  try {
    parseAoi(input);
  } catch (error) {
    if (!isServiceError(error)) throw error;
    expect(error.code).toBe('InvalidInput');
    const [first] = error.details['errors'] as { path: string; message: string }[];
    expect(first!.message).toBe(error.message);
    return first!;
  }
  throw new Error(`was taken: ${JSON.stringify(input).slice(0, 100)}`);
}

const ring = (positions: number[][]) => positions.map((p) => p.join(' ')).join(',');
const square = [
  [0, 0],
  [1, 0],
  [1, 1],
  [0, 1],
  [0, 0],
];

describe('an area without fault', () => {
  test('is taken as sent, as WKT and as GeoJSON', () => {
    const coordinates = [
      [
        [-7.8, 33.4],
        [-7.2, 33.4],
        [-7.2, 33.8],
        [-7.8, 33.8],
        [-7.8, 33.4],
      ],
    ];
    const expected = {
      geometry: { type: 'Polygon', coordinates },
      bbox: [-7.8, 33.4, -7.2, 33.8],
      repairs: [],
    };
    expect(wkt('POLYGON((-7.8 33.4, -7.2 33.4, -7.2 33.8, -7.8 33.8, -7.8 33.4))')).toEqual(
      expected,
    );
    expect(geojson({ type: 'Polygon', coordinates })).toEqual(expected);
    expect(
      geojson({ type: 'Feature', properties: null, geometry: { type: 'Polygon', coordinates } }),
    ).toEqual(expected);
  });

  test('global means no area', () => {
    expect(parseAoi({ global: true })).toBeNull();
  });

  test.each([
    ['point (1 2)', 'Point', [1, 2]],
    [
      'LineString(1 2,3 4)',
      'LineString',
      [
        [1, 2],
        [3, 4],
      ],
    ],
    [
      'MULTIPOINT(1 2,3 4)',
      'MultiPoint',
      [
        [1, 2],
        [3, 4],
      ],
    ],
    [
      'MULTIPOINT((1 2),(3 4))',
      'MultiPoint',
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ['\n POINT\t( +1.5e0   -.5 ) ', 'Point', [1.5, -0.5]],
  ])('reads %s', (text, type, coordinates) => {
    expect(wkt(text)).toMatchObject({ geometry: { type, coordinates }, repairs: [] });
  });

  test('a tile becomes its polygon, in any case and with a T', () => {
    expect(parse({ tile: 't29spc' })).toEqual(parse({ tile: '29SPC' }));
    expect(parse({ tile: '29SPC' }).repairs).toEqual([]);
  });

  test('a tile that does not exist is refused', () => {
    expect(refusal({ tile: '61SPC' })).toEqual({
      path: 'aoi.tile',
      message: 'There is no MGRS tile 61SPC',
    });
  });
});

describe('repairs', () => {
  test('F116 an unclosed ring is closed', () => {
    const aoi = wkt('POLYGON((0 0, 1 0, 1 1))');
    expect(aoi.repairs).toEqual(['Ring closed']);
    expect(aoi.geometry.coordinates).toEqual([
      [
        [0, 0],
        [1, 0],
        [1, 1],
        [0, 0],
      ],
    ]);
  });

  test('F116 a clockwise ring is reversed, a hole runs the other way', () => {
    const aoi = wkt('POLYGON((0 0,0 9,9 9,9 0,0 0),(2 2,3 2,3 3,2 3,2 2))');
    expect(aoi.repairs).toEqual([
      'Ring reversed: exteriors run counter-clockwise, holes clockwise (RFC 7946) (2 times)',
    ]);
    expect(aoi.geometry.coordinates).toEqual([
      [
        [0, 0],
        [9, 0],
        [9, 9],
        [0, 9],
        [0, 0],
      ],
      [
        [2, 2],
        [2, 3],
        [3, 3],
        [3, 2],
        [2, 2],
      ],
    ]);
  });

  test('F116 repeated points are dropped', () => {
    const aoi = wkt('POLYGON((0 0,1 0,1 0,1 0,1 1,0 0))');
    expect(aoi.repairs).toEqual(['Repeated point dropped (2 times)']);
    expect((aoi.geometry.coordinates[0] as unknown[]).length).toBe(4);
  });

  test.each([
    'POLYGON Z((0 0 5,1 0 5,1 1 5,0 0 5))',
    'POLYGONZM((0 0 5 1,1 0 5 1,1 1 5 1,0 0 5 1))',
  ])('F116 heights are dropped: %s', (text) => {
    expect(wkt(text).repairs).toEqual([
      'Heights or measures (third and fourth coordinates) dropped',
    ]);
  });

  test('F116 a self-crossing ring becomes simple polygons of the same area', () => {
    const aoi = wkt('POLYGON((0 0,10 10,10 0,0 10,0 0))');
    expect(aoi.repairs).toEqual(['Ring that crosses or touches itself or another resolved']);
    expect(aoi.geometry.type).toBe('MultiPolygon');
    expect(aoi.geometry.coordinates).toHaveLength(2);
    const has = (lon: number, lat: number) =>
      intersects(aoi.geometry, { type: 'Point', coordinates: [lon, lat] });
    expect([has(1, 5), has(9, 5), has(5, 1), has(5, 9)]).toEqual([true, true, false, false]);
  });

  test('F116 a spike is cut off', () => {
    const aoi = wkt('POLYGON((0 0,4 0,4 9,4 4,0 4,0 0))');
    expect(aoi.bbox).toEqual([0, 0, 4, 4]);
    expect(aoi.repairs).toHaveLength(1);
  });

  test('F116 a hole outside its exterior is dropped', () => {
    const aoi = wkt('POLYGON((0 0,4 0,4 4,0 4,0 0),(6 6,7 6,7 7,6 7,6 6))');
    expect(aoi.geometry.coordinates).toHaveLength(1);
    expect(aoi.repairs).toHaveLength(1);
  });

  test('F116 overlapping polygons are merged, an island in a lake is left alone', () => {
    const merged = wkt('MULTIPOLYGON(((0 0,2 0,2 2,0 2,0 0)),((1 1,3 1,3 3,1 3,1 1)))');
    expect(merged.geometry.type).toBe('Polygon');
    expect(merged.repairs).toEqual(['Overlapping or touching polygons merged']);
    const island = wkt(
      'MULTIPOLYGON(((0 0,9 0,9 9,0 9,0 0),(1 1,1 8,8 8,8 1,1 1)),((3 3,4 3,4 4,3 4,3 3)))',
    );
    expect(island.geometry.coordinates).toHaveLength(2);
    expect(island.repairs).toEqual([]);
  });

  test('F116 SRID 4326 is accepted', () => {
    expect(wkt(`SRID=4326;POLYGON((${ring(square)}))`)).toEqual(wkt(`POLYGON((${ring(square)}))`));
  });

  test('F116 a square centimetre stays an area', () => {
    const aoi = wkt('POLYGON((30 10,30.00000009 10,30.00000009 10.00000009,30 10.00000009,30 10))');
    expect(aoi.repairs).toEqual([]);
    expect(aoi.bbox).toEqual([30, 10, 30.00000009, 10.00000009]);
  });

  test('F116 a FeatureCollection is merged with a note, one feature without', () => {
    const feature = (lon: number) => ({
      type: 'Feature',
      properties: { name: '<script>' },
      geometry: { type: 'Polygon', coordinates: [square.map(([x, y]) => [x! + lon, y])] },
    });
    const two = geojson({ type: 'FeatureCollection', features: [feature(0), feature(5)] });
    expect(two.geometry.coordinates).toHaveLength(2);
    expect(two.repairs).toEqual(['FeatureCollection of 2 features merged into one area']);
    expect(geojson({ type: 'FeatureCollection', features: [feature(0)] }).repairs).toEqual([]);
  });

  test('F116 a GeometryCollection of one kind is merged, a mixed one refused', () => {
    const aoi = wkt(`GEOMETRYCOLLECTION(POINT(1 2), MULTIPOINT(3 4, 5 6))`);
    expect(aoi.geometry).toEqual({
      type: 'MultiPoint',
      coordinates: [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    });
    expect(aoi.repairs).toEqual(['GEOMETRYCOLLECTION of 2 members merged into one area']);
    const point = { type: 'Point', coordinates: [1, 2] };
    const polygon = { type: 'Polygon', coordinates: [square] };
    expect(geojson({ type: 'GeometryCollection', geometries: [polygon] }).geometry).toEqual(
      polygon,
    );
    expect(
      refusal({ geojson: { type: 'GeometryCollection', geometries: [point, polygon] } }),
    ).toEqual({
      path: 'aoi.geojson',
      message: 'Points and polygons cannot be merged into one area: send one kind',
    });
  });
});

describe('the antimeridian and the poles', () => {
  const fiji = {
    type: 'MultiPolygon',
    coordinates: [
      [
        [
          [170, -10],
          [180, -10],
          [180, 10],
          [170, 10],
          [170, -10],
        ],
      ],
      [
        [
          [-180, -10],
          [-170, -10],
          [-170, 10],
          [-180, 10],
          [-180, -10],
        ],
      ],
    ],
  };

  test.each([
    ['a jump from 170 to -170', '170 -10,-170 -10,-170 10,170 10,170 -10'],
    ['longitudes beyond 180', '170 -10,190 -10,190 10,170 10,170 -10'],
    ['longitudes beyond -180', '-190 -10,-170 -10,-170 10,-190 10,-190 -10'],
    [
      'vertices on both 180 and -180',
      '170 -10,180 -10,-180 -10,-170 -10,-170 10,-180 10,180 10,170 10,170 -10',
    ],
  ])('F116 splits at ±180: %s', (_, text) => {
    const aoi = wkt(`POLYGON((${text}))`);
    expect(aoi.geometry).toEqual(fiji);
    expect(aoi.bbox).toEqual([-180, -10, 180, 10]);
    expect(aoi.repairs).toEqual(['Split at the antimeridian (±180)']);
  });

  test('an area that is split already is left alone', () => {
    expect(geojson(fiji)).toEqual({ geometry: fiji, bbox: [-180, -10, 180, 10], repairs: [] });
  });

  test('F116 holes go with their side', () => {
    const aoi = wkt(
      'POLYGON((170 -10,-170 -10,-170 10,170 10,170 -10),(-179 -1,-179 1,-178 1,-178 -1,-179 -1))',
    );
    expect(aoi.geometry.coordinates.map((rings) => (rings as unknown[]).length)).toEqual([1, 2]);
  });

  test('F116 longitudes beyond 180 are wrapped', () => {
    const aoi = wkt('POLYGON((190 0,200 0,200 5,190 0))');
    expect(aoi.bbox).toEqual([-170, 0, -160, 5]);
    expect(aoi.repairs).toEqual(['Longitudes beyond ±180 wrapped']);
    expect(wkt('POINT(200 5)')).toMatchObject({
      geometry: { type: 'Point', coordinates: [-160, 5] },
      repairs: ['Longitude beyond ±180 wrapped'],
    });
  });

  test('F116 lines are split too', () => {
    expect(wkt('LINESTRING(170 0,-170 10)').geometry).toEqual({
      type: 'MultiLineString',
      coordinates: [
        [
          [170, 0],
          [180, 5],
        ],
        [
          [-180, 5],
          [-170, 10],
        ],
      ],
    });
  });

  test.each([
    ['POLYGON((0 80,90 80,180 80,-90 80,0 80))', 'north', [-180, 80, 180, 90]],
    ['POLYGON((0 -80,90 -80,180 -80,-90 -80,0 -80))', 'south', [-180, -90, 180, -80]],
    ['POLYGON((-180 70,-60 70,60 70,180 70,-180 70))', 'north', [-180, 70, 180, 90]],
  ])('F116 a ring around a pole covers it: %s', (text, pole, bbox) => {
    const aoi = wkt(text);
    expect(aoi.bbox).toEqual(bbox);
    expect(aoi.repairs).toContain(`Ring around the ${pole} pole closed along it`);
    const inside = { type: 'Point', coordinates: [33, pole === 'north' ? 89 : -89] } as const;
    expect(intersects(aoi.geometry, { ...inside, coordinates: [...inside.coordinates] })).toBe(
      true,
    );
  });

  test('F116 a cap drawn along the pole and a belt around the world stay as they are', () => {
    expect(wkt('POLYGON((-180 60,180 60,180 90,-180 90,-180 60))').repairs).toEqual([]);
    const belt = wkt('POLYGON((-180 -60,0 -60,180 -60,180 60,-180 60,-180 -60))');
    expect(belt).toMatchObject({ bbox: [-180, -60, 180, 60], repairs: [] });
    expect(wkt('POLYGON((0 0,360 0,360 10,0 10,0 0))').bbox).toEqual([-180, 0, 180, 10]);
  });

  test('F116 the whole Earth is taken, more than the Earth is refused', () => {
    expect(wkt('POLYGON((-180 -90,180 -90,180 90,-180 90,-180 -90))').repairs).toEqual([]);
    for (const text of [
      'POLYGON((-200 -60,200 -60,200 60,-200 60,-200 -60))',
      'POLYGON((-200 -60,0 -60,200 -60,200 60,0 60,-200 60,-200 -60))',
    ])
      expect(refusal({ wkt: text }).message).toBe(
        'Vertex 1 of ring 1: the ring is larger than the Earth; for no spatial filter send {"global": true}',
      );
  });
});

describe('refusals', () => {
  test.each([
    ['POLYGON((0 0,1 0,NaN 1,0 0))', 'Vertex 3 of ring 1: "NaN" is not a number'],
    ['POLYGON((0 0,1 0,1 -inf,0 0))', 'Vertex 3 of ring 1: -Infinity is not a coordinate'],
    ['POINT(1e999 2)', 'The point: Infinity is not a coordinate'],
    ['POINT(0x10 2)', 'The point: "0x10" is not a number'],
    [`POINT(${'1'.repeat(70)} 2)`, `The point: "${'1'.repeat(20)}" is not a number`],
    [
      'MULTIPOLYGON(((99 0,100 0,100 1,99 0)),((5 5,6 5,6 95,5 5)))',
      'Vertex 3 of ring 1 of polygon 2: latitude 95 is outside -90 to 90: coordinates are degrees, longitude first',
    ],
    [
      'POLYGON((33 120,34 120,34 121,33 120))',
      'Vertex 1 of ring 1: latitude 120 is outside -90 to 90: longitude comes first, are latitude and longitude swapped?',
    ],
    [
      'POLYGON((500000 4649776,500100 4649776,500100 4649876,500000 4649776))',
      'Vertex 1 of ring 1: latitude 4649776 is outside -90 to 90: coordinates are degrees, longitude first',
    ],
    ['POINT(725 2)', 'The point: longitude 725 is outside -180 to 180 by more than a turn'],
    [
      'POLYGON((0 0,1 1,0 0))',
      'Vertex 3 of ring 1: the ring ends here with 2 distinct points, at least 3 are needed',
    ],
    ['LINESTRING(1 1,1 1)', 'Vertex 1: the line has fewer than 2 distinct points'],
    [
      'POLYGON((0 0,0.1 0.1,0.3 0.3,0 0))',
      'Vertex 1 of ring 1: the polygon has no area, its vertices lie on one line',
    ],
    [
      'POLYGON((0 0,1 0,1 1,0 0),(0 0,1 0,1 1,0 0))',
      'Vertex 1 of ring 1: the polygon has no area, its vertices lie on one line',
    ],
    ['POLYGON EMPTY', 'The area is empty'],
    ['GEOMETRYCOLLECTION EMPTY', 'The area is empty'],
    [
      'POLYGON((0 0,1 0,1 1',
      'The text ends too early, where "," or ")" is expected: is a bracket unclosed?',
    ],
    ['   ', 'The text ends too early, where a geometry type is expected: is a bracket unclosed?'],
    ['POINT(1 2) x', 'Character 12: expected the end of the text, found "x"'],
    ['POINT(1)', 'The point has 1 numbers: longitude and latitude are needed'],
    [
      'CIRCLE(1 2)',
      'The type CIRCLE is not known: use POINT, LINESTRING, POLYGON or their MULTI forms',
    ],
    ['constructor(1 2)', /^The type CONSTRUCTOR is not known/],
    [
      'GEOMETRYCOLLECTION(GEOMETRYCOLLECTION(POINT(1 2)))',
      /^The type GEOMETRYCOLLECTION cannot stand in another one/,
    ],
    [
      'SRID=3857;POINT(1 2)',
      'SRID 3857 is not taken: send WGS 84 longitude and latitude (SRID 4326)',
    ],
  ])('F116 refuses %s', (text, message) => {
    const refused = refusal({ wkt: text });
    expect(refused.path).toBe('aoi.wkt');
    expect(refused.message).toMatch(message);
  });

  test.each([
    [{ type: 'Circle', coordinates: [1, 2] }, 'aoi.geojson', /^The type "Circle" is not known/],
    [{ type: 'Point', coordinates: ['1', 2] }, 'aoi.geojson', 'The point: "1" is not a number'],
    [{ type: 'Point', coordinates: [null, 2] }, 'aoi.geojson', 'The point: null is not a number'],
    [{ type: 'Polygon', coordinates: [] }, 'aoi.geojson', 'The area is empty'],
    [{ type: 'Polygon' }, 'aoi.geojson', 'The coordinates must be a list'],
    [{ type: 'Polygon', coordinates: [0, 0] }, 'aoi.geojson', 'The coordinates must be a list'],
    [{ type: 'Feature', geometry: null }, 'aoi.geojson.geometry', 'The area has no geometry'],
    [
      {
        type: 'FeatureCollection',
        features: [
          { type: 'Feature', geometry: { type: 'Point', coordinates: [1, 2] } },
          { type: 'Feature', geometry: { type: 'Point', coordinates: [1, 92] } },
        ],
      },
      'aoi.geojson.features.1.geometry',
      /^Feature 2: latitude 92/,
    ],
    [{ type: 'FeatureCollection', features: [] }, 'aoi.geojson', 'The area is empty'],
    [
      {
        type: 'Point',
        coordinates: [1, 2],
        crs: { type: 'name', properties: { name: 'urn:ogc:def:crs:EPSG::3857' } },
      },
      'aoi.geojson.crs',
      /is not taken: send WGS 84$/,
    ],
  ])('F116 refuses %j', (document, path, message) => {
    const refused = refusal({ geojson: document });
    expect(refused.path).toBe(path);
    expect(refused.message).toMatch(message);
  });
});

describe('any ring', () => {
  test('becomes an area within ±180, or is refused in words', () => {
    const position = fc.tuple(
      fc.oneof(fc.integer({ min: -540, max: 540 }), fc.constantFrom(-180, 180, 0, 360)),
      fc.oneof(fc.integer({ min: -90, max: 90 }), fc.constantFrom(-90, 90)),
    );
    const rings = fc.array(fc.array(position, { minLength: 3, maxLength: 9 }), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(rings, (coordinates) => {
        let aoi;
        try {
          aoi = geojson({ type: 'Polygon', coordinates });
        } catch (error) {
          expect(isServiceError(error) && error.code).toBe('InvalidInput');
          return;
        }
        const [west, south, east, north] = aoi.bbox;
        expect(west).toBeGreaterThanOrEqual(-180);
        expect(east).toBeLessThanOrEqual(180);
        expect(south).toBeGreaterThanOrEqual(-90);
        expect(north).toBeLessThanOrEqual(90);
        const { polygons } = toParts(aoi.geometry);
        for (const [exterior, ...holes] of polygons) {
          expect(signedArea(exterior!)).toBeGreaterThan(0);
          for (const hole of holes) expect(signedArea(hole)).toBeLessThan(0);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('hostile input is answered at once', () => {
  /** Generous: the machine may be busy. What is tested is that nothing grows faster than its input. */
  const within = (limitMs: number, run: () => unknown) => {
    const start = performance.now();
    const result = run();
    expect(performance.now() - start).toBeLessThan(limitMs);
    return result;
  };

  test('F116 200,000 vertices are refused with their number', () => {
    const text = `POLYGON((${'1 2,'.repeat(199_999)}1 2))`;
    expect(within(2_000, () => refusal({ wkt: text }).message)).toBe(
      'The area has 200000 vertices, at most 5000 are taken: simplify it',
    );
    const coordinates = [Array.from({ length: 200_000 }, () => [1, 2])];
    expect(
      within(2_000, () => refusal({ geojson: { type: 'Polygon', coordinates } }).message),
    ).toBe('The area has 200000 vertices, at most 5000 are taken: simplify it');
  });

  test.each([
    ['brackets', '('.repeat(999_999)],
    ['spaces', ' '.repeat(999_999)],
    ['digits', `POINT(${'1'.repeat(999_000)}x 2)`],
    ['numbers', `POINT(${'1 '.repeat(499_000)})`],
    ['nested collections', 'GEOMETRYCOLLECTION('.repeat(50_000)],
    ['too much', 'x'.repeat(1_000_001)],
  ])('F116 a million characters of %s are refused', (_, text) => {
    expect(within(2_000, () => refusal({ wkt: text }).path)).toBe('aoi.wkt');
  });

  test('F116 a million nested lists are refused', () => {
    let nested: unknown[] = [];
    for (let i = 0; i < 1_000_000; i++) nested = [nested];
    const input = { geojson: { type: 'Polygon', coordinates: nested } };
    expect(within(2_000, () => refusal(input).message)).toMatch(/a list is not a number$/);
  });

  test('F116 a scribble of 4,000 vertices is refused instead of resolved', () => {
    const scribble = Array.from({ length: 4_000 }, (_, i) => [(i * 7919) % 89, (i * 104_729) % 83]);
    expect(within(4_000, () => refusal({ wkt: `POLYGON((${ring(scribble)}))` }).message)).toBe(
      'The area crosses or touches itself too often: simplify it',
    );
  });

  test('5,000 vertices are taken', () => {
    const circle = Array.from({ length: 4_999 }, (_, i) => {
      const angle = (2 * Math.PI * i) / 4_999;
      return [10 * Math.cos(angle), 10 * Math.sin(angle)];
    });
    const text = `POLYGON((${ring([...circle, circle[0]!])}))`;
    expect(within(4_000, () => wkt(text).repairs)).toEqual([]);
  });
});
