/** A part of an upload as the server has it, and whether that is what was sent. Pure. */
import type { Checksums } from './request-body.js';

export interface Part {
  number: number;
  bytes: number;
  etag: string;
  crc32: string | null;
}

/** Does what the server says of a part agree with what was sent? Silence is taken for the server's own check. */
export function agrees(part: Pick<Part, 'etag' | 'crc32'>, { crc32, md5 }: Checksums): boolean {
  if (crc32 !== undefined && part.crc32 !== null) return part.crc32 === crc32;
  if (md5 === undefined) return true;
  const kept = md5OfETag(part.etag);
  return kept === null || kept === Buffer.from(md5, 'base64').toString('hex');
}

/** In hexadecimal; null for an ETag of another kind. */
export function md5OfETag(etag: string): string | null {
  return /^"?([0-9a-f]{32})"?$/.exec(etag)?.[1] ?? null;
}
