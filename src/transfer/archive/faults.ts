/** What can be wrong with an archive: always `SourceRefused`, and `details.fault` says of which sort. */
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';

export const archiveFaults = [
  /** Bytes are missing that a header speaks of. */
  'truncated',
  /** Headers contradict themselves or each other. */
  'damaged',
  /** Unpacking it would write outside its folder, or one member over another. */
  'unsafe',
  /** It would unpack to far more than it is. */
  'bomb',
  /** Sound perhaps, but of a form that is not read here: encrypted. */
  'unsupported',
] as const;
export type ArchiveFault = (typeof archiveFaults)[number];

const OPENING: Record<ArchiveFault, string> = {
  truncated: 'The archive is broken',
  damaged: 'The archive is broken',
  unsafe: 'The archive is not safe to unpack',
  bomb: 'The archive would unpack to more than is allowed',
  unsupported: 'The archive cannot be read',
};

/** @param details plain JSON facts, such as the member's name */
export function archiveError(
  fault: ArchiveFault,
  message: string,
  details: Record<string, unknown> = {},
): ServiceError {
  return new ServiceError('SourceRefused', `${OPENING[fault]}: ${message}`, {
    details: { fault, ...details },
  });
}

/** Null for errors that do not speak of an archive. */
export function archiveFaultOf(error: unknown): ArchiveFault | null {
  if (!isServiceError(error)) return null;
  return archiveFaults.find((fault) => fault === error.details.fault) ?? null;
}
