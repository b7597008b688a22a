/** How much of an archive is read, and how much it may claim to hold, before it is refused. */

export interface ArchiveLimits {
  members: number;
  /** Of the central directory: what is held of it in memory is of this order. */
  directoryBytes: number;
  /** Of one member's name. */
  nameBytes: number;
  /** Folders inside each other. Archives inside the archive are never opened: they count as data. */
  depth: number;
  /** Of all members, unpacked. */
  totalBytes: number;
  /** Unpacked ÷ packed over the whole archive, looked at from `ratioFromBytes` on: a small mask of nothing may pack to a thousandth. */
  ratio: number;
  ratioFromBytes: number;
  /** Of all SAFE manifests together, unpacked. */
  manifestBytes: number;
}

export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = {
  members: 200_000,
  directoryBytes: 64 * 1024 * 1024,
  nameBytes: 4096,
  depth: 64,
  totalBytes: 2 * 1024 ** 4,
  ratio: 200,
  ratioFromBytes: 1024 ** 3,
  manifestBytes: 16 * 1024 * 1024,
};

/** Deflate cannot pack tighter than 258 bytes into two bits. @see RFC 1951 §3.2.5 */
export const MOST_DEFLATE_RATIO = 1032;
