/**
 * What a SAFE product says of its own files: the data objects of its `manifest.safe` (Sentinel-1, Sentinel-2) or
 * `xfdumanifest.xml` (Sentinel-3), each with its path, its size and its digest. Nothing else of the document is kept.
 * @see CCSDS 661.0-B-1 (XFDU), dataObjectSection
 */
import type { Checksum, ChecksumAlgorithm } from '../../jobs/product.js';
import { usableChecksums } from '../checksums.js';
import { readXml, XmlFault, type XmlHandler } from './xml.js';

export interface DataObject {
  /** Relative to the product's folder, which is that of the manifest. */
  path: string;
  /** As stated; null = not stated. */
  bytes: number | null;
  /** Null where none is stated, or none that can be computed. */
  checksum: Checksum | null;
}

const NAMES: Record<string, ChecksumAlgorithm> = {
  md5: 'md5',
  sha1: 'sha1',
  sha256: 'sha256',
  sha512: 'sha512',
  sha3256: 'sha3-256',
};

/** Is this member the manifest of a SAFE product? It lies at the root or in the product's one folder. */
export function isManifestName(name: string): boolean {
  return /^([^/]+\/)?(manifest\.safe|xfdumanifest\.xml)$/i.test(name);
}

/** Each data object once, however often it is listed. @throws XmlFault, `hostile` too where a path leads out of the product; the signal's reason */
export async function readSafeManifest(
  document: Buffer,
  signal?: AbortSignal,
): Promise<DataObject[]> {
  const objects = new Map<string, DataObject>();
  let stream: { bytes: number | null; paths: string[]; checksums: Checksum[] } | null = null;
  let checksumName: string | null = null;
  let text = '';
  const handler: XmlHandler = {
    open(name, attributes) {
      const kind = localName(name);
      if (kind === 'byteStream') {
        const size = attributes.get('size') ?? '';
        stream = { bytes: /^\d{1,15}$/.test(size) ? Number(size) : null, paths: [], checksums: [] };
      } else if (stream && kind === 'fileLocation') {
        const href = attributes.get('href');
        if (href && !/^[a-z][a-z0-9+.-]+:\/\//i.test(href)) stream.paths.push(toPath(href));
      } else if (stream && kind === 'checksum') {
        checksumName = attributes.get('checksumName') ?? '';
        text = '';
      }
    },
    text(part) {
      if (checksumName !== null && text.length < 1024) text += part;
    },
    close(name) {
      const kind = localName(name);
      if (stream && kind === 'checksum' && checksumName !== null) {
        const algorithm = NAMES[checksumName.toLowerCase().replace(/[-_ ]/g, '')];
        if (algorithm) stream.checksums.push({ algorithm, value: text });
        checksumName = null;
      } else if (stream && kind === 'byteStream') {
        const [checksum = null] = usableChecksums(stream.checksums);
        for (const path of stream.paths) {
          const object = { path, bytes: stream.bytes, checksum };
          objects.set(JSON.stringify(object), object);
        }
        stream = null;
      }
    },
  };
  await readXml(document, handler, { signal });
  return [...objects.values()];
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}

function toPath(href: string): string {
  const steps = href.split('/').filter((step) => step !== '' && step !== '.');
  // What lies elsewhere on the web is none of the product's files, and was left out before.
  const isOutside = /^(\/|[a-z]:)/i.test(href) || href.includes('\\') || steps.includes('..');
  if (isOutside) throw new XmlFault('hostile', 'it names files outside of the product');
  return steps.join('/');
}
