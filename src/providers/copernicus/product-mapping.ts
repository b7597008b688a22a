/** From the catalogue's record to Nimbus' product: what is unknown becomes null, what cannot be trusted is left out. */
import { normaliseFootprint } from '../../geo/footprint.js';
import type { Checksum, ChecksumAlgorithm, Product } from '../../jobs/product.js';
import { COLLECTIONS } from './facts.js';
import { instantMs, type OdataProduct } from './odata-schemas.js';

export const PROVIDER_ID = 'copernicus';

const ALGORITHMS: Record<string, { algorithm: ChecksumAlgorithm; digits: number }> = {
  MD5: { algorithm: 'md5', digits: 32 },
  SHA1: { algorithm: 'sha1', digits: 40 },
  SHA256: { algorithm: 'sha256', digits: 64 },
  SHA512: { algorithm: 'sha512', digits: 128 },
  SHA3256: { algorithm: 'sha3-256', digits: 64 },
  BLAKE3: { algorithm: 'blake3', digits: 64 },
};

/** Known algorithms with a digest of the right length, lower-case, one for each algorithm: the newest. */
function toChecksums(entries: OdataProduct['Checksum']): Checksum[] {
  const newestFirst = [...entries].sort((a, b) => b.ChecksumDate.localeCompare(a.ChecksumDate));
  const found = new Map<ChecksumAlgorithm, Checksum>();
  for (const { Algorithm, Value } of newestFirst) {
    const known = ALGORITHMS[Algorithm.toUpperCase().replaceAll(/[-_]/g, '')];
    const value = Value.trim().toLowerCase();
    if (!known || found.has(known.algorithm)) continue;
    if (value.length === known.digits && /^[0-9a-f]+$/.test(value))
      found.set(known.algorithm, { algorithm: known.algorithm, value });
  }
  return [...found.values()];
}

/** RFC 3339 in UTC with the precision that was given. */
function toUtc(text: string): string {
  const utc = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?)(?:Z|\+00:?00)?$/.exec(text);
  return utc ? `${utc[1]}Z` : new Date(instantMs(text)).toISOString();
}

const isBytes = (value: number | null): value is number =>
  value !== null && Number.isSafeInteger(value) && value > 0;

function toPercent(value: unknown): number | null {
  const percent = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof percent === 'number' && percent >= 0 && percent <= 100 ? percent : null;
}

/** The record does not say its collection: it stands in the attributes, and in the path. Null when neither names a known one. */
export function collectionOf(item: OdataProduct): string | null {
  const platform = item.Attributes.find(({ Name }) => Name === 'platformShortName')?.Value;
  const folder = item.S3Path?.split('/')[2];
  for (const name of [folder, platform]) {
    const id = String(name ?? '').toUpperCase();
    if (COLLECTIONS.some((collection) => collection.id === id)) return id;
  }
  return null;
}

/** `lineage.query` is the address that was asked, `answer_sha256` the digest of the answer's bytes. */
export function toProduct(
  item: OdataProduct,
  collection: string,
  lineage: Product['lineage'],
): Product {
  const attributes = Object.fromEntries(
    item.Attributes.filter(({ Name }) => /^[A-Za-z]/.test(Name)).map(({ Name, Value }) => [
      Name,
      Value,
    ]),
  );
  const { productType } = attributes;
  return {
    provider: PROVIDER_ID,
    id: item.Id,
    name: item.Name,
    collection,
    product_type: typeof productType === 'string' ? productType : null,
    acquired_at: item.ContentDate === null ? null : toUtc(item.ContentDate.Start),
    published_at: item.PublicationDate === null ? null : toUtc(item.PublicationDate),
    bytes: isBytes(item.ContentLength) ? item.ContentLength : null,
    checksums: toChecksums(item.Checksum),
    online: item.Online,
    cloud_cover: toPercent(attributes['cloudCover']),
    footprint: item.GeoFootprint && normaliseFootprint(item.GeoFootprint),
    quicklook: item.Assets.find(({ Type }) => Type === 'QUICKLOOK')?.DownloadLink ?? null,
    attributes,
    lineage,
  };
}
