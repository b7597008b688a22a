/**
 * One product of the sandbox's catalogue, before anything about its bytes is known.
 * Listing never needs bytes: sizes and digests come from content/ when a product is shown.
 */
import type { Polygon } from './footprint.js';

/** What the delivered file is made of; content/ has one maker for each. */
export type ProductForm =
  | 'safe-s2-l2a'
  | 'safe-s2-l1c'
  | 'safe-s1'
  | 'safe-aux'
  | 'safe-tiny'
  | 'sen3'
  | 'eof'
  | 'tgz'
  | 'netcdf'
  | 'file';

/** How the catalogue shows checksums; the real one has every one of these. */
export type ChecksumManner =
  'md5-blake3' | 'blake3-md5' | 'md5' | 'blake3' | 'empty' | 'empty-object';

export interface OdataAttribute {
  '@odata.type': string;
  Name: string;
  Value: string | number | boolean;
  ValueType: string;
}

export interface CatalogueProduct {
  /** Place in the catalogue, from 0: fault scripts may say "product 7". */
  index: number;
  id: string;
  /** With its ending, as listed. */
  name: string;
  collection: string;
  productType: string | null;
  startMs: number;
  endMs: number;
  originMs: number;
  publicationMs: number;
  modificationMs: number;
  online: boolean;
  /** false = the catalogue says ContentLength 0. */
  lengthKnown: boolean;
  checksums: ChecksumManner;
  /** null = no footprint; several polygons = a MultiPolygon. */
  footprint: Polygon[] | null;
  s3Path: string;
  form: ProductForm;
  /** About how many bytes the delivered file has, scale applied. */
  aboutBytes: number;
  quicklookId: string | null;
  attributes: () => OdataAttribute[];
  /** Set for products that stand for a file on disk: listed as given, served from there. */
  real?: { listed: Record<string, unknown>; path: string };
}

type AttributeType = 'String' | 'Integer' | 'Double' | 'DateTimeOffset' | 'Boolean';

/** `['cloudCover', 'Double', 12.5]` → an attribute as listed; null values are left out. */
export function attributeList(
  rows: readonly (readonly [string, AttributeType, string | number | boolean | null])[],
): OdataAttribute[] {
  const list: OdataAttribute[] = [];
  for (const [name, type, value] of rows)
    if (value !== null)
      list.push({
        '@odata.type': `#OData.CSC.${type}Attribute`,
        Name: name,
        Value: value,
        ValueType: type,
      });
  return list;
}
