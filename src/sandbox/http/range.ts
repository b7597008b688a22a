/** Single byte ranges. Several ranges, other units and malformed headers count as no range. @see RFC 9110 §14 */

/** Half-open `[start, end)`. */
export interface ByteRange {
  start: number;
  end: number;
}

export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): ByteRange | 'unsatisfiable' | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.replaceAll(' ', '') ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const last = Number(match[2]);
    return last === 0 || sizeBytes === 0
      ? 'unsatisfiable'
      : { start: Math.max(0, sizeBytes - last), end: sizeBytes };
  }
  const start = Number(match[1]);
  const last = match[2] === '' ? Infinity : Number(match[2]);
  if (last < start) return null;
  if (start >= sizeBytes) return 'unsatisfiable';
  return { start, end: Math.min(sizeBytes, last + 1) };
}

export function contentRangeOf({ start, end }: ByteRange, sizeBytes: number): string {
  return `bytes ${start}-${end - 1}/${sizeBytes}`;
}
