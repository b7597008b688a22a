import { describe, expect, it } from 'vitest';
import { parseAoi } from '../../../src/geo/parse-aoi.js';
import {
  namesFilter,
  pageUrl,
  searchFilter,
  valueUrl,
  type Criteria,
} from '../../../src/providers/copernicus/odata-query.js';
import { currentWindow, firstState } from '../../../src/providers/copernicus/search-plan.js';

const everything: Criteria = {
  collection: 'SENTINEL-2',
  productType: null,
  cloudCoverMax: null,
  area: null,
};
const window = currentWindow(firstState(Date.UTC(2025, 0, 1), Date.UTC(2025, 0, 4)));

describe('the filter of a search', () => {
  it('names the collection and a half-open time', () => {
    expect(searchFilter(everything, window)).toBe(
      "Collection/Name eq 'SENTINEL-2'" +
        ' and ContentDate/Start ge 2025-01-01T00:00:00.000Z and ContentDate/Start lt 2025-01-04T00:00:00.000Z',
    );
  });

  it('asks for type and cloud cover as attributes of their own kind', () => {
    const filter = searchFilter(
      { ...everything, productType: 'S2MSI2A', cloudCoverMax: 20 },
      window,
    );
    expect(filter).toContain(
      "Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and att/OData.CSC.StringAttribute/Value eq 'S2MSI2A')",
    );
    expect(filter).toContain(
      "Attributes/OData.CSC.DoubleAttribute/any(att:att/Name eq 'cloudCover' and att/OData.CSC.DoubleAttribute/Value le 20.0)",
    );
  });

  it('asks for each half of an area across the antimeridian', () => {
    const aoi = parseAoi({ wkt: 'POLYGON((179 -1,-179 -1,-179 1,179 1,179 -1))' });
    const filter = searchFilter({ ...everything, area: aoi!.geometry }, window);
    const areas = [...filter.matchAll(/OData\.CSC\.Intersects\(area=geography'SRID=4326;POLYGON/g)];
    expect(areas).toHaveLength(2);
    expect(filter).toMatch(
      / and \(OData\.CSC\.Intersects\(.*'\) or OData\.CSC\.Intersects\(.*'\)\)$/,
    );
    expect(filter).not.toContain('MULTIPOLYGON');
  });

  it('asks for a point as a point', () => {
    const aoi = parseAoi({ wkt: 'POINT(-7.5 33.5)' });
    expect(searchFilter({ ...everything, area: aoi!.geometry }, window)).toContain(
      "OData.CSC.Intersects(area=geography'SRID=4326;POINT(-7.5 33.5)')",
    );
  });

  it('doubles the quotes inside a text', () => {
    expect(namesFilter(["a' or Name ne 'b", 'c'])).toBe(
      "Name eq 'a'' or Name ne ''b' or Name eq 'c'",
    );
  });
});

describe('addresses', () => {
  it('say order, size and depth, and ask for attributes and quicklooks', () => {
    const url = pageUrl('https://c.test', {
      filter: "Name eq 'x&y'",
      orderBy: 'ContentDate/Start',
      top: 1000,
      skip: 2000,
    });
    expect(url).toBe(
      "https://c.test/odata/v1/Products?$filter=Name%20eq%20'x%26y'&$orderby=ContentDate%2FStart%20asc&$top=1000&$skip=2000&$expand=Attributes&$expand=Assets",
    );
  });

  it('put the id bare between the brackets', () => {
    expect(valueUrl('https://d.test', '6f5734c8-fdfc-11ef-a200-0242ac120002')).toBe(
      'https://d.test/odata/v1/Products(6f5734c8-fdfc-11ef-a200-0242ac120002)/$value',
    );
  });
});
