/** A verified transfer as an artifact: which name it gets, and what is remembered of it. Pure. */
import type { Artifact } from '../jobs/product.js';
import type { TransferResult } from '../transfer/transfer.js';

/** `folders` and `fileName` become one relative path; anything unusual in a folder's name is replaced by a dash. */
export function toArtifact(
  transfer: TransferResult,
  folders: readonly string[],
  fileName: string,
): Artifact {
  return artifactAt([...folders.map(safeFolder), fileName].join('/'), transfer);
}

export function artifactAt(path: string, transfer: TransferResult): Artifact {
  return {
    path,
    bytes: transfer.bytes,
    checksum: transfer.checksum,
    digests: transfer.digests,
    media_type: transfer.mediaType,
  };
}

function safeFolder(name: string): string {
  return (
    name
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^\.+/, '-')
      .slice(0, 120) || '-'
  );
}
