/** What bytes are, by their first few, and whether they look like a page about the product instead of the product. */
import { MAX_ERROR_BODY_BYTES } from './limits.js';

export const ZIP_TYPE = 'application/zip';
/** Nothing that is known here. */
export const UNKNOWN_TYPE = 'application/octet-stream';

const SIGNATURES: { at?: number; bytes: number[] | string; type: string }[] = [
  { bytes: 'PK\x03\x04', type: ZIP_TYPE },
  { bytes: 'PK\x05\x06', type: ZIP_TYPE },
  // Once meant for several disks, and kept where one sufficed. @see APPNOTE.TXT §8.5
  { bytes: 'PK\x07\x08PK\x03\x04', type: ZIP_TYPE },
  { bytes: 'PK00PK\x03\x04', type: ZIP_TYPE },
  { bytes: [0x1f, 0x8b], type: 'application/gzip' },
  { bytes: 'BZh', type: 'application/x-bzip2' },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], type: 'application/x-xz' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], type: 'application/zstd' },
  { bytes: '7z\xbc\xaf\x27\x1c', type: 'application/x-7z-compressed' },
  { bytes: '\x89HDF\r\n\x1a\n', type: 'application/x-hdf5' },
  { bytes: 'CDF', type: 'application/x-netcdf' },
  { bytes: 'GRIB', type: 'application/x-grib' },
  { bytes: 'II*\0', type: 'image/tiff' },
  { bytes: 'MM\0*', type: 'image/tiff' },
  { bytes: 'II+\0', type: 'image/tiff' },
  { bytes: 'MM\0+', type: 'image/tiff' },
  { bytes: '\0\0\0\x0cjP  ', type: 'image/jp2' },
  { bytes: '\x89PNG\r\n', type: 'image/png' },
  { bytes: [0xff, 0xd8, 0xff], type: 'image/jpeg' },
  { bytes: '%PDF-', type: 'application/pdf' },
  { at: 257, bytes: 'ustar', type: 'application/x-tar' },
];

/** @param first the first bytes; no more than 512 are looked at. */
export function mediaTypeOf(first: Buffer): string {
  for (const { at = 0, bytes, type } of SIGNATURES) {
    const signature = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes);
    if (first.subarray(at, at + signature.length).equals(signature)) return type;
  }
  if (isOldTar(first)) return 'application/x-tar';
  const text = first
    .toString('latin1', 0, 512)
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart();
  // XHTML begins as any XML does. A comment must end at the first sign of it: ways to read it else double with each.
  if (
    /^(<\?xml[^>]*>\s*)?(<!--(?:(?!-->)[^])*-->\s*)*<(!doctype html|html|head|body)[\s>]/i.test(
      text,
    )
  )
    return 'text/html';
  if (/^<(\?xml|!doctype|[a-z])/i.test(text)) return 'application/xml';
  if (/^[{[]\s*("|[{[\]}]|$)/.test(text)) return 'application/json';
  return UNKNOWN_TYPE;
}

/** Tar files older than `ustar` have nothing but the sum of their first header, in octal, its own place counted as spaces. */
function isOldTar(first: Buffer): boolean {
  if (first.length < 512 || first[0] === 0) return false;
  const stated = /^[ 0]*([0-7]{1,6})[ \0]/.exec(first.toString('latin1', 148, 156))?.[1];
  if (stated === undefined) return false;
  let sum = 8 * 0x20;
  for (let at = 0; at < 512; at++) if (at < 148 || at >= 156) sum += first[at] ?? 0;
  return sum === parseInt(stated, 8);
}

export function isPageLike(type: string): boolean {
  return ['text/html', 'application/xml', 'application/json'].includes(type);
}

export interface Said {
  /** The answer calls itself HTML. */
  isHtml: boolean;
  /** Announced digests will decide in the end. */
  hasDigests: boolean;
  /** Bytes by this very answer, by earlier ones, and by the catalogue. */
  total: number | null;
  knownTotal: number | null;
  expectedBytes: number | null;
}

/** Is what begins with bytes of this type a page about the product instead of the product? */
export function isPageInstead(
  type: string,
  { isHtml, hasDigests, total, knownTotal, expectedBytes }: Said,
): boolean {
  // Without a digest the product may have changed since the earlier answers.
  const announced = expectedBytes ?? (hasDigests ? knownTotal : null);
  const contradicts = announced !== null && total !== null && total !== announced;
  if (type === 'text/html') {
    const isUnproven = !hasDigests && total !== expectedBytes;
    const isVague = total === null && announced !== null;
    return contradicts || isUnproven || (isHtml && (!hasDigests || isVague));
  }
  const isSmall = total === null || total <= MAX_ERROR_BODY_BYTES;
  return contradicts && isSmall && isPageLike(type);
}
