/** Full copies that contradicted the announced digests, as the journal remembers them. */
import type { Checksum } from '../jobs/product.js';
import type { Mismatch } from './records.js';

export function toMismatch(bytes: number, digests: readonly Checksum[]): Mismatch {
  return {
    bytes,
    digests: Object.fromEntries(digests.map(({ algorithm, value }) => [algorithm, value])),
  };
}

/** The same bytes, as far as the digests that both have can tell. */
export function areEqualCopies(a: Mismatch, b: Mismatch): boolean {
  const common = Object.keys(a.digests).filter((algorithm) => algorithm in b.digests);
  return (
    a.bytes === b.bytes &&
    common.length > 0 &&
    common.every((algorithm) => a.digests[algorithm] === b.digests[algorithm])
  );
}
