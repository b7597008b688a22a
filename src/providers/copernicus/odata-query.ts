/**
 * Builds the catalogue's queries as text; pure. The time window is half-open, [from, to), so that neighbouring windows neither
 * lose nor double a product. Every query names an order: without one the catalogue has none, and its pages overlap.
 */
import type { Geometry } from '../../jobs/product.js';
import { toWkt } from '../../geo/wkt.js';
import type { TimeSpan, Window } from './search-plan.js';

/** Centimetres: finer than any footprint. */
const AREA_DECIMALS = 7;

export interface Criteria {
  collection: string;
  productType: string | null;
  /** Percent, included. */
  cloudCoverMax: number | null;
  area: Geometry | null;
}

/** A text literal; a quote inside is doubled. @see OData 4.01 ABNF, SQUOTE-in-string */
export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const at = (ms: number): string => new Date(ms).toISOString();
const within = (field: string, { from, to }: TimeSpan): string =>
  `${field} ge ${at(from)} and ${field} lt ${at(to)}`;

/** Numbers are written with a decimal point, as the catalogue's doubles are. */
const double = (value: number): string => (Number.isInteger(value) ? `${value}.0` : String(value));

function attribute(type: 'String' | 'Double', name: string, condition: string): string {
  const kind = `OData.CSC.${type}Attribute`;
  return `Attributes/${kind}/any(att:att/Name eq ${quoted(name)} and att/${kind}/Value ${condition})`;
}

function partsOf(geometry: Geometry): Geometry[] {
  if (!geometry.type.startsWith('Multi')) return [geometry];
  const type = geometry.type.slice('Multi'.length) as Geometry['type'];
  return geometry.coordinates.map((coordinates) => ({
    type,
    coordinates: coordinates as unknown[],
  }));
}

/** About ten metres: a line along a meridian gets a box that has an inside. */
const LINE_MARGIN_DEGREES = 0.0001;

/** The catalogue takes points and polygons. A line is asked for by its box; the exact line is applied to the answer. */
function withoutLines(part: Geometry): Geometry {
  if (part.type !== 'LineString') return part;
  const positions = part.coordinates as [number, number][];
  const [xs, ys] = [positions.map(([x]) => x), positions.map(([, y]) => y)];
  const west = Math.max(-180, Math.min(...xs) - LINE_MARGIN_DEGREES);
  const east = Math.min(180, Math.max(...xs) + LINE_MARGIN_DEGREES);
  const south = Math.max(-90, Math.min(...ys) - LINE_MARGIN_DEGREES);
  const north = Math.min(90, Math.max(...ys) + LINE_MARGIN_DEGREES);
  const ring = [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ];
  return { type: 'Polygon', coordinates: [ring] };
}

/** One `Intersects` for each part (the halves of an area across the antimeridian), joined by `or`. */
function areaFilter(area: Geometry): string {
  const each = partsOf(area)
    .map(withoutLines)
    .map((part) => `OData.CSC.Intersects(area=geography'SRID=4326;${toWkt(part, AREA_DECIMALS)}')`);
  return each.length === 1 ? each[0]! : `(${each.join(' or ')})`;
}

/** The `$filter` of one window of a search. */
export function searchFilter(criteria: Criteria, window: Window): string {
  const { collection, productType, cloudCoverMax, area } = criteria;
  return [
    `Collection/Name eq ${quoted(collection)}`,
    productType === null ? null : attribute('String', 'productType', `eq ${quoted(productType)}`),
    within('ContentDate/Start', window.start),
    window.published === null ? null : within('PublicationDate', window.published),
    area === null ? null : areaFilter(area),
    cloudCoverMax === null
      ? null
      : attribute('Double', 'cloudCover', `le ${double(cloudCoverMax)}`),
  ]
    .filter((part) => part !== null)
    .join(' and ');
}

/** The `$filter` for products of exactly these names. */
export const namesFilter = (names: string[]): string =>
  names.map((name) => `Name eq ${quoted(name)}`).join(' or ');

const EXPAND = '$expand=Attributes&$expand=Assets';

/** Complete address of one page. */
export function pageUrl(
  baseUrl: string,
  query: { filter: string; orderBy: string; top: number; skip: number },
): string {
  const { filter, orderBy, top, skip } = query;
  const parts = [
    `$filter=${encodeURIComponent(filter)}`,
    `$orderby=${encodeURIComponent(`${orderBy} asc`)}`,
    `$top=${top}`,
    ...(skip === 0 ? [] : [`$skip=${skip}`]),
    EXPAND,
  ];
  return `${baseUrl}/odata/v1/Products?${parts.join('&')}`;
}

/** Address of one product's record. The id stands bare: quotes around it are an error. */
export const productUrl = (baseUrl: string, id: string): string =>
  `${baseUrl}/odata/v1/Products(${encodeURIComponent(id)})?${EXPAND}`;

/** Address of the product's bytes, at the download host itself: the catalogue's own link redirects, and clients lose the token there. */
export const valueUrl = (downloadUrl: string, id: string): string =>
  `${downloadUrl}/odata/v1/Products(${encodeURIComponent(id)})/$value`;

/** Address of a folder's listing, or of a file's bytes, inside a product. Names stand bare; no name may end its own parenthesis. */
export function nodeUrl(
  downloadUrl: string,
  id: string,
  names: readonly string[],
  what: 'Nodes' | '$value',
): string {
  const steps = names.map((name) => `/Nodes(${encodeName(name)})`).join('');
  return `${downloadUrl}/odata/v1/Products(${encodeURIComponent(id)})${steps}/${what}`;
}

const encodeName = (name: string): string =>
  encodeURIComponent(name).replace(
    /[()']/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
