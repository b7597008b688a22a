/**
 * A finished job's manifest: a STAC ItemCollection with the file extension's `file:size` and `file:checksum` (multihash),
 * plus lineage. Built from records alone, so that writing it again gives the same bytes.
 *
 * @see https://github.com/stac-extensions/file
 */
import type { JobHeader } from './job.js';
import type { Artifact, Checksum, ChecksumAlgorithm, Product } from './product.js';

/** Multihash prefix (code and length, hexadecimal) of each algorithm. @see https://github.com/multiformats/multicodec */
const multihashPrefix: Record<ChecksumAlgorithm, string> = {
  md5: 'd50110',
  sha1: '1114',
  sha256: '1220',
  sha512: '1340',
  'sha3-256': '1620',
  blake3: '1e20',
};

export function toMultihash(checksum: Checksum): string {
  return multihashPrefix[checksum.algorithm] + checksum.value;
}

/** Null for a multihash of an algorithm or length that Nimbus does not know. */
export function fromMultihash(multihash: string): Checksum | null {
  for (const [algorithm, prefix] of Object.entries(multihashPrefix) as [
    ChecksumAlgorithm,
    string,
  ][]) {
    const digestLength = 2 * Number.parseInt(prefix.slice(-2), 16);
    if (multihash.startsWith(prefix) && multihash.length === prefix.length + digestLength)
      return { algorithm, value: multihash.slice(prefix.length) };
  }
  return null;
}

export interface ManifestEntry {
  product: Product;
  artifacts: Artifact[];
  reused: boolean;
  /** Where single files were selected: how many of how many. */
  selection?: { files: number; of: number } | undefined;
}

export interface ManifestAsset {
  href: string;
  type: string;
  roles: string[];
  'file:size': number;
  'file:checksum': string;
  /** Where a single file lies inside its product. */
  'file:local_path'?: string;
  'nimbus:level': string;
  'nimbus:checksums': Record<string, string>;
}

/** `directory` is where the manifest lies, relative to the data directory: asset hrefs are relative to it. */
export function buildManifest(
  header: JobHeader,
  directory: string,
  entries: readonly ManifestEntry[],
) {
  const up = '../'.repeat(directory.split('/').length);
  return {
    type: 'FeatureCollection' as const,
    stac_version: '1.1.0',
    'nimbus:job': {
      job_id: header.job_id,
      job_type: header.job_type,
      created_at: header.created_at,
      retry_of: header.retry_of,
      request: header.request,
    },
    features: entries.map((entry) => toItem(entry, up, header)),
  };
}

function toItem(entry: ManifestEntry, up: string, { request }: JobHeader) {
  const { product, artifacts, reused, selection } = entry;
  const names = assetNames(artifacts);
  return {
    type: 'Feature' as const,
    stac_version: '1.1.0',
    stac_extensions: ['https://stac-extensions.github.io/file/v2.1.0/schema.json'],
    id: product.id,
    collection: product.collection,
    geometry: product.footprint,
    ...(product.footprint === null ? {} : { bbox: bboxOf(product.footprint.coordinates) }),
    properties: {
      title: product.name,
      datetime: product.acquired_at,
      created: product.published_at,
      ...(product.cloud_cover === null ? {} : { 'eo:cloud_cover': product.cloud_cover }),
      'nimbus:provider': product.provider,
      'nimbus:product_type': product.product_type,
      'nimbus:reused': reused,
      'nimbus:announced': { bytes: product.bytes, checksums: product.checksums },
      'nimbus:lineage': product.lineage,
      ...(selection === undefined
        ? {}
        : {
            'nimbus:partial': selection.files < selection.of,
            'nimbus:assets': { ...request.assets, ...selection },
          }),
    },
    links: [],
    assets: Object.fromEntries(
      artifacts.map((artifact, at) => [
        names[at]!,
        toAsset(artifact, up, selection === undefined ? null : insidePath(artifact)),
      ]),
    ),
  };
}

/** Below the folders of provider, collection and product: `X.SAFE/GRANULE/…`. */
function insidePath({ path }: Artifact): string {
  return path.split('/').slice(3).join('/');
}

/** Each file's own name, or its path inside the product where two have one name. */
function assetNames(artifacts: readonly Artifact[]): string[] {
  const names = artifacts.map(({ path }) => path.split('/').at(-1)!);
  return names.map((name, at) =>
    names.indexOf(name) === names.lastIndexOf(name) ? name : insidePath(artifacts[at]!),
  );
}

function toAsset(artifact: Artifact, up: string, localPath: string | null): ManifestAsset {
  const { algorithm, value, level } = artifact.checksum;
  return {
    href: up + artifact.path,
    type: artifact.media_type,
    roles: ['data'],
    'file:size': artifact.bytes,
    'file:checksum': toMultihash({ algorithm, value }),
    ...(localPath === null ? {} : { 'file:local_path': localPath }),
    'nimbus:level': level,
    'nimbus:checksums': Object.fromEntries(
      artifact.digests.map((digest) => [digest.algorithm, digest.value]),
    ),
  };
}

/** [west, south, east, north] of any nesting of GeoJSON positions. */
function bboxOf(coordinates: unknown[]): [number, number, number, number] {
  const box: [number, number, number, number] = [Infinity, Infinity, -Infinity, -Infinity];
  const visit = (node: unknown[]): void => {
    const [x, y] = node;
    if (typeof x === 'number' && typeof y === 'number') {
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    } else for (const child of node) if (Array.isArray(child)) visit(child);
  };
  visit(coordinates);
  return box;
}
