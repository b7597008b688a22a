/**
 * Reads every file that a manifest names and compares size and every digest it records. Offline: the manifest and the
 * files beside it are all that is needed, on this machine or another that they were copied to, or in a bucket.
 */
import { createHash } from 'node:crypto';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { z } from 'zod';
import { fromMultihash } from '../../jobs/manifest.js';
import { checksumAlgorithms, type Checksum, type ChecksumAlgorithm } from '../../jobs/product.js';
import { CommandError, EXIT } from '../exit-codes.js';
import { plain } from '../output/text.js';
import { isRelative, localFiles, type FoundFile, type ManifestFiles } from './manifest-files.js';

const manifestSchema = z.looseObject({
  type: z.literal('FeatureCollection'),
  'nimbus:job': z.looseObject({ job_id: z.string() }).optional(),
  features: z.array(
    z.looseObject({
      id: z.string(),
      assets: z.record(
        z.string(),
        z.looseObject({
          href: z.string(),
          'file:size': z.number().int().nonnegative().optional(),
          'file:checksum': z.string().optional(),
          'nimbus:checksums': z.record(z.string(), z.string()).optional(),
          'nimbus:level': z.string().optional(),
        }),
      ),
    }),
  ),
});

export interface VerifiedFile {
  /** As the manifest names it. */
  href: string;
  /** Absolute, or an address; null where the href is not a path. */
  path: string | null;
  sizeBytes: number | null;
  /** What was compared and matched. */
  checksums: Checksum[];
  /** Recorded when the file was fetched: how strongly it was verified then. */
  level: string | null;
  /** Null when the file is what the manifest says. */
  problem: string | null;
}

/**
 * `jobId` is null where the manifest does not say whose it is.
 * @throws CommandError (65) if `path` is not a manifest
 */
export async function verifyManifest(
  path: string,
  onFile: (file: VerifiedFile) => void,
  signal: AbortSignal,
  beside: ManifestFiles = localFiles(path),
): Promise<{ jobId: string | null; files: VerifiedFile[] }> {
  const files: VerifiedFile[] = [];
  const manifest = parseManifest(await beside.manifest(), path);
  for (const feature of manifest.features)
    for (const asset of Object.values(feature.assets)) {
      signal.throwIfAborted();
      const file = await verifyAsset(asset, beside, signal);
      files.push(file);
      onFile(file);
    }
  return { jobId: manifest['nimbus:job']?.job_id ?? null, files };
}

const WHERE_IT_IS = 'Give the manifest.json of a job; `nimbus jobs result <id>` prints where it is';

type Manifest = z.infer<typeof manifestSchema>;
type Asset = Manifest['features'][number]['assets'][string];

function parseManifest(text: string, path: string): Manifest {
  const parsed = manifestSchema.safeParse(parseJson(text, path));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CommandError(
    `${plain(path)} is not a manifest: ${issue?.path.join('.') || 'the document'}: ${issue?.message}`,
    EXIT.dataError,
    WHERE_IT_IS,
  );
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CommandError(`${plain(path)} is not JSON`, EXIT.dataError, WHERE_IT_IS);
  }
}

async function verifyAsset(
  asset: Asset,
  beside: ManifestFiles,
  signal: AbortSignal,
): Promise<VerifiedFile> {
  const file = {
    href: asset.href,
    sizeBytes: null,
    checksums: [],
    level: asset['nimbus:level'] ?? null,
  };
  if (!isRelative(asset.href))
    return { ...file, path: null, problem: 'not a path relative to the manifest' };
  const path = beside.placeOf(asset.href);
  const found = await beside.find(asset.href);
  if (found === null) return { ...file, path, problem: 'missing' };
  const known = { ...file, path, sizeBytes: found.bytes };
  const announced = asset['file:size'];
  if (announced !== undefined && announced !== found.bytes)
    return { ...known, problem: `${found.bytes} bytes, the manifest says ${announced}` };
  const expected = expectedChecksums(asset);
  if (expected.length === 0) return { ...known, problem: 'the manifest records no digest' };
  const actual = await digests(
    found,
    expected.map(({ algorithm }) => algorithm),
    signal,
  );
  const wrong = expected.find(({ algorithm, value }) => actual.get(algorithm) !== value);
  return {
    ...known,
    checksums: expected.filter(({ algorithm, value }) => actual.get(algorithm) === value),
    problem: wrong
      ? `${wrong.algorithm} is ${actual.get(wrong.algorithm)}, the manifest says ${wrong.value}`
      : null,
  };
}

/** Both places that record digests must hold: a file that passes one and fails the other is not what was stored. */
function expectedChecksums(asset: Asset): Checksum[] {
  const listed = Object.entries(asset['nimbus:checksums'] ?? {})
    .filter(([algorithm]) => (checksumAlgorithms as readonly string[]).includes(algorithm))
    .map(([algorithm, value]) => ({ algorithm: algorithm as ChecksumAlgorithm, value }));
  const main = fromMultihash(asset['file:checksum'] ?? '');
  const all = main ? [main, ...listed] : listed;
  return [...new Map(all.map((one) => [`${one.algorithm}:${one.value}`, one])).values()];
}

/** Lower-case hexadecimal digests of a file's bytes, read once. */
async function digests(
  file: FoundFile,
  algorithms: ChecksumAlgorithm[],
  signal: AbortSignal,
): Promise<Map<ChecksumAlgorithm, string>> {
  const hashers = new Map([...new Set(algorithms)].map((name) => [name, createHasher(name)]));
  for await (const chunk of file.read(signal))
    for (const hasher of hashers.values()) hasher.update(chunk as Buffer);
  return new Map([...hashers].map(([algorithm, hasher]) => [algorithm, hasher.hex()]));
}

interface Hasher {
  update(bytes: Uint8Array): void;
  hex(): string;
}

function createHasher(algorithm: ChecksumAlgorithm): Hasher {
  if (algorithm === 'blake3') {
    const hash = new Blake3Hasher();
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
  }
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
}
