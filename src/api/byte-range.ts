/**
 * Conditional and range requests on one file whose strong ETag is its digest.
 * @see RFC 9110 §13 (preconditions), §14 (ranges)
 */
export interface FileConditions {
  method: string;
  range: string | undefined;
  ifRange: string | undefined;
  ifMatch: string | undefined;
  ifNoneMatch: string | undefined;
}

export type FilePlan =
  | { status: 200 }
  /** `first` and `last` are both included. */
  | { status: 206; first: number; last: number }
  | { status: 304 }
  | { status: 412 }
  | { status: 416 };

export function planFile(asked: FileConditions, etag: string, bytes: number): FilePlan {
  if (asked.ifMatch !== undefined && !lists(asked.ifMatch, etag, 'strong')) return { status: 412 };
  if (asked.ifNoneMatch !== undefined && lists(asked.ifNoneMatch, etag, 'weak'))
    return { status: 304 };
  if (asked.method !== 'GET' || asked.range === undefined) return { status: 200 };
  // A date, or a weak tag, is no proof that the reader holds these very bytes.
  if (asked.ifRange !== undefined && asked.ifRange.trim() !== etag) return { status: 200 };
  return planRange(asked.range, bytes);
}

/** Several ranges, other units and malformed ones are answered whole, as RFC 9110 §14.2 allows. */
function planRange(range: string, bytes: number): FilePlan {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(range);
  if (!match || (match[1] === '' && match[2] === '')) return { status: 200 };
  if (match[1] === '') {
    const length = Math.min(Number(match[2]), bytes);
    return length === 0 ? { status: 416 } : { status: 206, first: bytes - length, last: bytes - 1 };
  }
  const first = Number(match[1]);
  const last = match[2] === '' ? bytes - 1 : Math.min(Number(match[2]), bytes - 1);
  if (match[2] !== '' && Number(match[2]) < first) return { status: 200 };
  return first >= bytes ? { status: 416 } : { status: 206, first, last };
}

function lists(header: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (header.trim() === '*') return true;
  return header
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === etag || (comparison === 'weak' && tag === `W/${etag}`));
}
