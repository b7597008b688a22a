/** Digests and what they prove, without zod: the transfer engine and `nimbus get` start without loading a schema. */
export const checksumAlgorithms = [
  'md5',
  'sha1',
  'sha256',
  'sha512',
  'sha3-256',
  'blake3',
] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

export interface Checksum {
  algorithm: ChecksumAlgorithm;
  /** Lower-case hexadecimal. */
  value: string;
}

/** Strongest proof first. */
export const verificationLevels = ['provider', 'manifest', 'structure', 'length', 'none'] as const;
export type VerificationLevel = (typeof verificationLevels)[number];
