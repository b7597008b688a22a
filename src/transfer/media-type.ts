/** What bytes are, by their first few, and whether they look like a page about the product instead of the product. */

const SIGNATURES: { at?: number; bytes: number[] | string; type: string }[] = [
  { bytes: 'PK\x03\x04', type: 'application/zip' },
  { bytes: 'PK\x05\x06', type: 'application/zip' },
  { bytes: [0x1f, 0x8b], type: 'application/gzip' },
  { bytes: '\x89HDF\r\n\x1a\n', type: 'application/x-hdf5' },
  { bytes: 'CDF', type: 'application/x-netcdf' },
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

/** @param first the first bytes, 512 suffice. */
export function mediaTypeOf(first: Buffer): string {
  for (const { at = 0, bytes, type } of SIGNATURES) {
    const signature = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes);
    if (first.subarray(at, at + signature.length).equals(signature)) return type;
  }
  const text = first
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart();
  if (/^(<!--[^]*?-->\s*)?<(!doctype html|html)[\s>]/i.test(text)) return 'text/html';
  if (/^<(\?xml|!doctype|[a-z])/i.test(text)) return 'application/xml';
  if (/^[{[]\s*("|[{[\]}]|$)/.test(text)) return 'application/json';
  return 'application/octet-stream';
}

export function isPageLike(mediaType: string): boolean {
  return ['text/html', 'application/xml', 'application/json'].includes(mediaType);
}
