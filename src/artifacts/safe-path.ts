/**
 * Relative paths from outside, as text. A path names a place inside the root, with forward slashes, and without hidden
 * parts: those are the store's own.
 */
import { ServiceError } from '../jobs/error-codes.js';

const MAX_PATH_BYTES = 3000;
const MAX_SEGMENT_BYTES = 255;

/** The parts of a safe relative path, or null for one that is not. */
export function safeSegments(path: string): string[] | null {
  if (path === '' || Buffer.byteLength(path) > MAX_PATH_BYTES) return null;
  if (/[\u0000-\u001f\u007f\\]/.test(path)) return null;
  const segments = path.split('/');
  return segments.every(isSafeSegment) ? segments : null;
}

function isSafeSegment(segment: string): boolean {
  return (
    segment !== '' && !segment.startsWith('.') && Buffer.byteLength(segment) <= MAX_SEGMENT_BYTES
  );
}

export function outsideError(path: string): ServiceError {
  return new ServiceError('InvalidInput', 'The path leads outside the data directory', {
    details: { path: path.slice(0, 300) },
  });
}

export function missingError(path: string): ServiceError {
  return new ServiceError('NotFound', 'There is no such file', {
    details: { path: path.slice(0, 300) },
  });
}
