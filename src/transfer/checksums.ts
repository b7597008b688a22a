/** Which of the announced digests can be used, and which one a result is known by. */
import { createHash } from 'node:crypto';
import { checksumAlgorithms, type Checksum, type ChecksumAlgorithm } from '../jobs/checksum.js';

const HEX_LENGTH: Record<ChecksumAlgorithm, number> = {
  md5: 32,
  sha1: 40,
  sha256: 64,
  sha512: 128,
  'sha3-256': 64,
  blake3: 64,
};

/** Cheapest first, as Node computes them on a machine with SHA instructions; any of them tells an accident. */
const PREFERENCE: ChecksumAlgorithm[] = ['blake3', 'sha256', 'sha1', 'md5', 'sha512', 'sha3-256'];

/** Announced digests in lower case, without empty, malformed, unknown or repeated ones. */
export function usableChecksums(announced: readonly Checksum[]): Checksum[] {
  const usable = new Map<string, Checksum>();
  for (const { algorithm, value } of announced) {
    if (!checksumAlgorithms.includes(algorithm) || typeof value !== 'string') continue;
    const hex = value.trim().toLowerCase();
    if (hex.length !== HEX_LENGTH[algorithm] || !/^[0-9a-f]+$/.test(hex)) continue;
    usable.set(`${algorithm}:${hex}`, { algorithm, value: hex });
  }
  return [...usable.values()];
}

/** BLAKE3 of no bytes; Node has all the others. */
const BLAKE3_OF_NOTHING = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262';

/** Is it the digest of no bytes at all? */
export function isOfNothing({ algorithm, value }: Checksum): boolean {
  const ofNothing =
    algorithm === 'blake3' ? BLAKE3_OF_NOTHING : createHash(algorithm).digest('hex');
  return value.toLowerCase() === ofNothing;
}

/** What to compute: the cheapest announced one, everything asked for, and SHA-256 where that is nothing. */
export function algorithmsToCompute(
  announced: readonly Checksum[],
  asked: readonly ChecksumAlgorithm[] = [],
): ChecksumAlgorithm[] {
  const cheapest = preferred(announced)?.algorithm;
  const wanted = new Set([...(cheapest ? [cheapest] : []), ...asked]);
  if (wanted.size === 0) wanted.add('sha256');
  return PREFERENCE.filter((algorithm) => wanted.has(algorithm));
}

export function preferred(checksums: readonly Checksum[]): Checksum | undefined {
  return PREFERENCE.map((algorithm) => checksums.find((one) => one.algorithm === algorithm)).find(
    (found) => found !== undefined,
  );
}
