/** `s3://bucket/prefix/path`, and back. Pure. */
import { safeSegments } from '../safe-path.js';

export interface S3Location {
  bucket: string;
  /** Folders below which everything lies, without slashes at the ends; '' = the whole bucket. */
  prefix: string;
}

export function toAddress({ bucket, prefix }: S3Location, path: string): string {
  return `s3://${[bucket, prefix, path].filter((part) => part !== '').join('/')}`;
}

/**
 * The path that an address of this place names, or a path itself; null for any other address. Two slashes that a proxy
 * made one are taken as two.
 */
export function fromAddress(location: S3Location, address: string): string | null {
  const match = /^([a-z][a-z0-9+.-]*):\/\/?(.*)$/is.exec(address);
  if (!match) return address;
  const start = toAddress(location, '').slice('s3://'.length) + '/';
  const isHere = match[1]!.toLowerCase() === 's3' && match[2]!.startsWith(start);
  const path = isHere ? match[2]!.slice(start.length) : '';
  return safeSegments(path) ? path : null;
}
