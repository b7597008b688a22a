/**
 * The catalogue: every product in a fixed order (its index), found by id, name or quicklook.
 * Days are filled from 2025-01-01 on until the wanted number is reached, so a longer catalogue begins with the shorter one.
 * The first three days over the demo's two tiles stay free of oddities; elsewhere about a fifth of the products has one.
 */
import type { Polygon } from './footprint.js';
import { otherMissionsDay } from './other-missions.js';
import { attributeList, type CatalogueProduct, type ChecksumManner } from './product.js';
import { compactTime, dayPath, fraction, sixDecimals, stableUuid } from './rule.js';
import { sentinel1Day } from './sentinel-1.js';
import { sentinel2Day, sentinel2Tiles } from './sentinel-2.js';

type NewProduct = Omit<CatalogueProduct, 'index'>;

export interface BulkOptions {
  collection: string;
  count: number;
  /** Default S2MSI2A. */
  productType?: string;
}

export interface RealFile {
  /** The product as the catalogue lists it (Id, Name, Checksum, …): shown unchanged. */
  product: Record<string, unknown>;
  /** Path of its bytes; `.gz` is unpacked when the product's name does not end so. */
  path: string;
}

export interface CatalogueOptions {
  seed: number;
  products: number;
  scale: number;
  bulk?: BulkOptions;
  realFiles?: RealFile[];
}

export interface Catalogue {
  products: CatalogueProduct[];
  byId(id: string): CatalogueProduct | undefined;
  byName(name: string): CatalogueProduct | undefined;
  byQuicklook(id: string): CatalogueProduct | undefined;
  collections: string[];
}

const dayMs = 86_400_000;
const firstDayMs = Date.UTC(2025, 0, 1);

export function createCatalogue(options: CatalogueOptions): Catalogue {
  const found: NewProduct[] = [];
  for (let day = firstDayMs; found.length < options.products; day += dayMs)
    found.push(...productsOfDay(options, day));
  found.length = options.products;
  if (options.bulk) found.push(...bulkProducts(options.seed, options.bulk));
  found.push(...(options.realFiles ?? []).map(realProduct));
  const products = found.map((product, index) => ({
    ...product,
    index,
    attributes: onFirstCall(product.attributes),
  }));
  const ids = new Map(products.map((product) => [product.id, product]));
  const names = new Map(products.map((product) => [product.name, product]));
  const quicklooks = new Map(products.map((product) => [product.quicklookId, product]));
  return {
    products,
    byId: (id) => ids.get(id),
    byName: (name) => names.get(name),
    byQuicklook: (id) => quicklooks.get(id),
    collections: [...new Set(products.map((product) => product.collection))],
  };
}

function productsOfDay({ seed, scale }: CatalogueOptions, dayStartMs: number): NewProduct[] {
  return [
    ...sentinel2Tiles.flatMap((tile) => sentinel2Day(seed, tile, dayStartMs, scale)),
    ...sentinel1Day(seed, dayStartMs, scale),
    ...otherMissionsDay(seed, dayStartMs, scale),
  ].map((product) =>
    dayStartMs < firstDayMs + 3 * dayMs && /_T29SP[ST]_/.test(product.name)
      ? product
      : withOddity(seed, product),
  );
}

/** The oddities of copernicus.md §2.3 and their rough shares. */
function withOddity(seed: number, product: NewProduct): NewProduct {
  const draw = fraction(`${seed}:odd:${product.name}`);
  const manners: [number, ChecksumManner][] = [
    [0.03, 'empty'],
    [0.05, 'empty-object'],
    [0.09, 'md5'],
    [0.12, 'blake3'],
    [0.5, 'blake3-md5'],
  ];
  return {
    ...product,
    online: fraction(`${seed}:offline:${product.name}`) >= 0.05,
    lengthKnown: fraction(`${seed}:length:${product.name}`) >= 0.08,
    checksums: manners.find(([until]) => draw < until)?.[1] ?? product.checksums,
  };
}

/** Any number of tiny products over Casablanca, a minute apart from 2024-06-01 on. */
function bulkProducts(seed: number, bulk: BulkOptions): NewProduct[] {
  const type = bulk.productType ?? 'S2MSI2A';
  const begin = Date.UTC(2024, 5, 1);
  return Array.from({ length: bulk.count }, (_, number): NewProduct => {
    const startMs = begin + number * 60_000;
    const name = `S2B_MSIL2A_${compactTime(startMs)}_N0511_R137_T29SPT_${compactTime(startMs + 9_000_000)}.SAFE`;
    const [west, south] = [-7.7 + (number % 50) / 200, 33.5 + (number % 40) / 200];
    return {
      id: stableUuid(`${seed}:bulk:${number}`),
      name,
      collection: bulk.collection,
      productType: type,
      startMs,
      endMs: startMs,
      originMs: startMs + 9_100_000,
      publicationMs: startMs + 9_600_000,
      modificationMs: startMs + 9_600_000,
      online: true,
      lengthKnown: true,
      checksums: 'md5-blake3',
      footprint: [
        [
          [west, south],
          [west + 0.01, south],
          [west + 0.01, south + 0.01],
          [west, south + 0.01],
          [west, south],
        ],
      ],
      s3Path: `/eodata/Bulk/${dayPath(startMs)}/${name}`,
      form: 'safe-tiny',
      aboutBytes: 1024,
      quicklookId: null,
      attributes: () =>
        attributeList([
          ['tileId', 'String', '29SPT'],
          ['cloudCover', 'Double', number % 100],
          ['relativeOrbitNumber', 'Integer', 137],
          ['productType', 'String', type],
          ['beginningDateTime', 'DateTimeOffset', sixDecimals(startMs)],
          ['endingDateTime', 'DateTimeOffset', sixDecimals(startMs)],
        ]),
    };
  });
}

/** A recorded catalogue entry: its own fields answer filters, and it is listed as it was recorded. */
function realProduct({ product, path }: RealFile): NewProduct {
  const text = (field: string): string => asText(product[field]);
  const time = (value: unknown): number => Date.parse(asText(value)) || 0;
  const dates = (product['ContentDate'] ?? {}) as { Start?: string; End?: string };
  const attributes = (product['Attributes'] ?? []) as ReturnType<typeof attributeList>;
  const assets = (product['Assets'] ?? []) as { Id?: string }[];
  const folder = text('S3Path').split('/')[2] ?? '';
  return {
    id: text('Id'),
    name: text('Name'),
    collection: folder.toUpperCase(),
    productType: null,
    startMs: time(dates.Start),
    endMs: time(dates.End),
    originMs: time(product['OriginDate']),
    publicationMs: time(product['PublicationDate']),
    modificationMs: time(product['ModificationDate']),
    online: product['Online'] !== false,
    lengthKnown: true,
    checksums: 'md5-blake3',
    footprint: outerRings(product['GeoFootprint']),
    s3Path: text('S3Path'),
    form: 'file',
    aboutBytes: Number(product['ContentLength'] ?? 0),
    quicklookId: assets[0]?.Id ?? null,
    attributes: () => attributes,
    real: { listed: product, path },
  };
}

function outerRings(geometry: unknown): Polygon[] | null {
  if (!geometry) return null;
  const { type, coordinates } = geometry as { type: string; coordinates: unknown };
  const polygons = (type === 'Polygon' ? [coordinates] : coordinates) as Polygon[][];
  return polygons.map((rings) => rings[0]!);
}

/** Filters look at attributes again and again: each product makes its list once. */
function onFirstCall<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
