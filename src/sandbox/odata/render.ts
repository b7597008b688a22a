/** A product as the catalogue shows it: field order, six decimals, EWKT beside GeoJSON, and the known oddities. */
import type { CatalogueProduct } from '../catalogue/product.js';
import { hash32, sixDecimals, stableUuid } from '../catalogue/rule.js';
import type { Polygon } from '../catalogue/footprint.js';
import type { Digests } from '../content/content-store.js';

export interface Shown {
  sizeBytes: number;
  digests: Digests;
}

export function renderProduct(
  product: CatalogueProduct,
  { sizeBytes, digests }: Shown,
  expand: readonly string[],
  baseUrl: string,
): Record<string, unknown> {
  if (product.real) return renderReal(product.real.listed, expand, baseUrl);
  const checksum = renderChecksum(product, digests);
  const length = product.lengthKnown ? sizeBytes : 0;
  const parts: Record<string, () => unknown> = {
    Attributes: product.attributes,
    Assets: () => renderAssets(product, baseUrl),
    Locations: () => [
      {
        FormatType: 'Extracted',
        DownloadLink: `${baseUrl}/odata/v1/Products(${product.id})/$value`,
        ContentLength: length,
        Checksum: checksum,
        S3Path: product.s3Path,
      },
    ],
  };
  return {
    '@odata.mediaContentType': 'application/octet-stream',
    Id: product.id,
    Name: product.name,
    ContentType: 'application/octet-stream',
    ContentLength: length,
    OriginDate: sixDecimals(product.originMs),
    PublicationDate: sixDecimals(product.publicationMs),
    ModificationDate: sixDecimals(product.modificationMs),
    Online: product.online,
    EvictionDate: hash32(product.id) % 4 === 0 ? '' : '9999-12-31T23:59:59.999999Z',
    S3Path: product.s3Path,
    Checksum: checksum,
    ContentDate: { Start: sixDecimals(product.startMs), End: sixDecimals(product.endMs) },
    Footprint: product.footprint && `geography'SRID=4326;${wkt(product.footprint)}'`,
    GeoFootprint: product.footprint && geoJson(product),
    ...Object.fromEntries(expand.map((name) => [name, parts[name]!()])),
  };
}

function renderReal(
  listed: Record<string, unknown>,
  expand: readonly string[],
  baseUrl: string,
): Record<string, unknown> {
  const { Attributes, Assets, Locations, ...plain } = listed;
  // Links of the recorded entry lead here, like all others.
  const here = (links: unknown): unknown =>
    JSON.parse(
      JSON.stringify(links ?? []).replaceAll(/https:\/\/catalogue\.[^/"]+(?=\/odata\/)/g, baseUrl),
    );
  const parts: Record<string, unknown> = {
    Attributes,
    Assets: here(Assets),
    Locations: here(Locations),
  };
  return { ...plain, ...Object.fromEntries(expand.map((name) => [name, parts[name] ?? []])) };
}

function renderChecksum(product: CatalogueProduct, digests: Digests): unknown[] {
  const at = sixDecimals(product.publicationMs - 4_000);
  const md5 = { Value: digests.md5, Algorithm: 'MD5', ChecksumDate: at };
  const blake3 = { Value: digests.blake3, Algorithm: 'BLAKE3', ChecksumDate: at };
  switch (product.checksums) {
    case 'md5-blake3':
      return [md5, blake3];
    case 'blake3-md5':
      return [blake3, md5];
    case 'md5':
      return [md5];
    case 'blake3':
      return [blake3];
    case 'empty':
      return [];
    case 'empty-object':
      return [{}];
  }
}

function renderAssets(product: CatalogueProduct, baseUrl: string): unknown[] {
  if (product.quicklookId === null) return [];
  return [
    {
      Type: 'QUICKLOOK',
      Id: product.quicklookId,
      DownloadLink: `${baseUrl}/odata/v1/Assets(${product.quicklookId})/$value`,
      S3Path: product.s3Path,
    },
  ];
}

function wkt(polygons: readonly Polygon[]): string {
  const rings = polygons.map(
    (ring) => `((${ring.map(([lon, lat]) => `${lon} ${lat}`).join(', ')}))`,
  );
  return rings.length === 1 ? `POLYGON ${rings[0]}` : `MULTIPOLYGON (${rings.join(', ')})`;
}

/** Some single polygons come wrapped as a MultiPolygon. */
function geoJson(product: CatalogueProduct): unknown {
  const polygons = product.footprint!.map((ring) => [ring]);
  return polygons.length > 1 || hash32(product.name) % 17 === 0
    ? { type: 'MultiPolygon', coordinates: polygons }
    : { type: 'Polygon', coordinates: polygons[0] };
}

/** A product that is no longer there: made by rule, never in the living catalogue. */
export function renderDeleted(
  product: CatalogueProduct,
  deletion: { atMs: number; cause: string },
): Record<string, unknown> {
  return {
    '@odata.mediaContentType': 'application/octet-stream',
    Id: stableUuid(`${product.id}:deleted`),
    Name: product.name,
    ContentType: 'application/octet-stream',
    ContentLength: 0,
    OriginDate: sixDecimals(product.originMs),
    PublicationDate: sixDecimals(product.publicationMs),
    ModificationDate: sixDecimals(deletion.atMs),
    Online: false,
    EvictionDate: '',
    S3Path: product.s3Path,
    Checksum: [],
    DeletionDate: sixDecimals(deletion.atMs),
    DeletionCause: deletion.cause,
    ContentDate: { Start: sixDecimals(product.startMs), End: sixDecimals(product.endMs) },
    Footprint: product.footprint && `geography'SRID=4326;${wkt(product.footprint)}'`,
    GeoFootprint: product.footprint && geoJson(product),
  };
}
