/** What a whole copy is worth: its digests against the announced ones, its structure, its length. Pure but for reading. */
import { ServiceError } from '../jobs/error-codes.js';
import type { Checksum, VerificationLevel } from '../jobs/product.js';
import { zipFault } from './archive.js';
import { preferred } from './checksums.js';
import type { FileHandleLike } from './files.js';
import { isPageLike } from './media-type.js';

export interface Copy {
  file: FileHandleLike;
  bytes: number;
  mediaType: string;
  digests: Checksum[];
  announced: Checksum[];
  expectedBytes: number | null;
  /** Did a server say how many bytes there are, or did the stream just end? */
  isTotalKnown: boolean;
}

export type Verdict =
  | { kind: 'verified'; checksum: Checksum & { level: VerificationLevel } }
  /** The stream ended too early: more may be had. */
  | { kind: 'incomplete'; error: ServiceError }
  | { kind: 'mismatch'; error: ServiceError }
  /** Not the product, whatever it is. */
  | { kind: 'refused'; error: ServiceError };

/** A page that speaks of the product is small. */
const MAX_PAGE_BYTES = 64 * 1024;

export async function judge(copy: Copy): Promise<Verdict> {
  const wrong = copy.announced.find(
    ({ algorithm, value }) =>
      copy.digests.find((digest) => digest.algorithm === algorithm)?.value !== value,
  );
  if (wrong) return contradicted(copy, wrong);
  const fault = copy.mediaType === 'application/zip' ? await zipFault(copy.file, copy.bytes) : null;
  if (fault !== null) return broken(copy, fault);
  const digest = preferred(copy.announced) ?? preferred(copy.digests);
  if (!digest) throw new ServiceError('Internal', 'No digest was computed');
  if (copy.announced.length > 0)
    return { kind: 'verified', checksum: { ...digest, level: 'provider' } };
  if (copy.mediaType === 'application/zip')
    return { kind: 'verified', checksum: { ...digest, level: 'structure' } };
  return byLength(copy, digest);
}

function contradicted(copy: Copy, { algorithm, value }: Checksum): Verdict {
  const actual = copy.digests.find((digest) => digest.algorithm === algorithm)?.value ?? null;
  const details = { algorithm, expected: value, actual, bytes: copy.bytes };
  const error = new ServiceError(
    'ChecksumMismatch',
    `The ${algorithm} of the ${copy.bytes} bytes is not the announced one`,
    { details },
  );
  if (isShort(copy)) return { kind: 'incomplete', error };
  if (
    isPageLike(copy.mediaType) &&
    copy.bytes <= MAX_PAGE_BYTES &&
    copy.bytes !== copy.expectedBytes
  )
    return { kind: 'refused', error: notTheProduct(copy) };
  return { kind: 'mismatch', error };
}

function broken(copy: Copy, fault: string): Verdict {
  const error = new ServiceError('SourceRefused', `The archive is broken: ${fault}`, {
    details: { bytes: copy.bytes, expected_bytes: copy.expectedBytes },
  });
  return { kind: isShort(copy) ? 'incomplete' : 'refused', error };
}

function byLength(copy: Copy, digest: Checksum): Verdict {
  if (copy.expectedBytes === null || copy.expectedBytes === copy.bytes) {
    const proven = copy.isTotalKnown || copy.expectedBytes !== null;
    return { kind: 'verified', checksum: { ...digest, level: proven ? 'length' : 'none' } };
  }
  return { kind: isShort(copy) ? 'incomplete' : 'refused', error: notTheProduct(copy) };
}

/** Nobody said how long it is, and the catalogue does not say that this is all. */
function isShort(copy: Copy): boolean {
  return !copy.isTotalKnown && (copy.expectedBytes === null || copy.bytes < copy.expectedBytes);
}

function notTheProduct(copy: Copy): ServiceError {
  const { bytes, expectedBytes, mediaType } = copy;
  return new ServiceError(
    'SourceRefused',
    `The server sent ${bytes} bytes of ${mediaType} where ${expectedBytes ?? 'the product'} were announced`,
    { details: { bytes, expected_bytes: expectedBytes, media_type: mediaType } },
  );
}
