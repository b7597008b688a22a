/**
 * Single files of a product, by whichever route a provider offers: what there is, and for each file that is wanted where its
 * bytes are and what proves them. Digests come from the product's own manifest, which is fetched first, by the same route and
 * whole in memory; a product without one has lengths, and in an archive the directory's CRC-32.
 */
import { crc32, inflateRawSync } from 'node:zlib';
import { ServiceError } from '../jobs/error-codes.js';
import type { Checksum } from '../jobs/product.js';
import {
  DEFLATED,
  locateData,
  readDirectory,
  STORED,
  type Member,
} from '../transfer/archive/directory.js';
import { NameRegister, refuseUnsafeName } from '../transfer/archive/names.js';
import { isManifestName, readSafeManifest } from '../transfer/archive/safe-manifest.js';
import { XmlFault } from '../transfer/archive/xml.js';
import { sanitiseFileName } from '../transfer/index.js';
import type { Packing } from '../transfer/member.js';
import {
  openRemote,
  readRemote,
  type RemoteOptions,
  type RemoteReader,
} from '../transfer/remote-reader.js';
import type { TransferSource } from '../transfer/transfer.js';
import type { FileRoute, ListedFile } from './provider.js';

const MANIFEST_BYTES = 16 * 1024 * 1024;
const DEEPEST = 64;

export interface ProductFile {
  /** Inside the product, as the provider writes it. */
  path: string;
  /** The same, with every part a name that any disk takes. */
  storedAs: string;
  /** Null = unknown. */
  bytes: number | null;
  checksums: Checksum[];
  packing: Packing | null;
  source: TransferSource;
}

export interface OpenedProduct {
  /** Of every file, sorted. */
  paths: string[];
  /**
   * Where these files are and what proves them, in the order asked.
   * @throws SourceRefused for names that would leave the product's folder or fall together, and for a broken archive
   */
  locate(paths: readonly string[]): Promise<ProductFile[]>;
}

/** What a route offers. */
interface Shelf {
  files: ListedFile[];
  /** The whole of a small file. */
  read(file: ListedFile): Promise<Buffer>;
  place(
    file: ListedFile,
    checksums: Checksum[],
  ): Promise<Pick<ProductFile, 'source' | 'packing' | 'bytes'>>;
}

/**
 * Looks into the product: a listing, or the directory of its archive, and its manifest. Null when it is one file by itself.
 * @throws SourceRefused for what must not be trusted, or where the route leads nowhere; as a search or a transfer else
 */
export async function openProduct(
  route: FileRoute,
  options: RemoteOptions,
): Promise<OpenedProduct | null> {
  const shelf =
    route.kind === 'listing'
      ? await openListing(route, options)
      : await openArchive(route, options);
  if (shelf === null) return null;
  const manifest = await readManifest(shelf);
  // A length of nothing is what a listing says of empty folders, too: then the manifest knows.
  const isFile = ({ path, bytes }: ListedFile): boolean => bytes !== null || manifest.has(path);
  const byPath = new Map(shelf.files.filter(isFile).map((file) => [file.path, file]));
  return {
    paths: [...byPath.keys()].sort(),
    async locate(paths) {
      const names = new NameRegister();
      const found: ProductFile[] = [];
      for (const path of paths) {
        const listed = byPath.get(path);
        if (!listed) throw new ServiceError('Internal', `${path} is not in the product`);
        const { bytes: stated = null, checksums = [] } = manifest.get(path) ?? {};
        const bytes = agreedBytes(listed.bytes, stated);
        const storedAs = safePath(path);
        names.add(storedAs, false);
        const placed = await shelf.place({ path, bytes }, checksums);
        found.push({ path, storedAs, checksums, ...placed });
      }
      return found;
    },
  };
}

/** Where the two contradict each other nothing is known: the digest decides. */
function agreedBytes(listed: number | null, stated: number | null): number | null {
  if (listed === null || stated === null) return listed ?? stated;
  return listed === stated ? listed : null;
}

// ---- the manifest

type Manifest = ReadonlyMap<string, { bytes: number | null; checksums: Checksum[] }>;

/** Empty for a product without one. @throws SourceRefused for one that cannot be read, twice */
async function readManifest(shelf: Shelf): Promise<Manifest> {
  const file = shelf.files.find(({ path }) => isManifestName(path) && !path.includes('/'));
  if (file === undefined) return new Map();
  for (let attempt = 1; ; attempt++) {
    const document = await shelf.read(file);
    try {
      const objects = await readSafeManifest(document);
      return new Map(
        objects.map(({ path, bytes, checksum }) => [
          path,
          { bytes, checksums: checksum === null ? [] : [checksum] },
        ]),
      );
    } catch (error) {
      if (!(error instanceof XmlFault)) throw error;
      if (attempt > 1)
        throw new ServiceError(
          'SourceRefused',
          `The product’s ${file.path} cannot be read: ${error.message}`,
          { details: { fault: error.kind } },
        );
    }
  }
}

// ---- by listing

async function openListing(
  route: FileRoute & { kind: 'listing' },
  options: RemoteOptions,
): Promise<Shelf | null> {
  const files = await route.list(options.signal);
  if (files === null) return null;
  return {
    files,
    async read(file) {
      const { content } = await readRemote(route.source(file), MANIFEST_BYTES, options);
      return content;
    },
    async place(file, checksums) {
      return { source: { ...route.source(file), checksums }, packing: null, bytes: file.bytes };
    },
  };
}

// ---- by ranges of a zip

async function openArchive(
  { source }: FileRoute & { kind: 'archive' },
  options: RemoteOptions,
): Promise<Shelf> {
  const reader = await openRemote(source, options);
  if (reader.first.toString('latin1', 0, 2) !== 'PK')
    throw new ServiceError(
      'SourceRefused',
      'What is delivered is not a zip: no file can be had alone',
    );
  const members = (await readDirectory(reader)).filter(({ isDirectory }) => !isDirectory);
  const folder = commonFolder(members);
  const byPath = new Map(members.map((member) => [member.name.slice(folder.length), member]));
  return {
    files: [...byPath].map(([path, { bytes }]) => ({ path, bytes })),
    read: (file) => readMember(reader, byPath.get(file.path)!),
    place: (file, checksums) => placeMember(reader, source, byPath.get(file.path)!, checksums),
  };
}

/** `X.SAFE/` where every member lies in it, else nothing. */
function commonFolder(members: readonly Member[]): string {
  const first = members[0]?.name ?? '';
  const folder = first.slice(0, first.indexOf('/') + 1);
  return members.every(({ name }) => name.startsWith(folder)) ? folder : '';
}

async function placeMember(
  reader: RemoteReader,
  source: TransferSource,
  member: Member,
  checksums: Checksum[],
): Promise<Pick<ProductFile, 'source' | 'packing' | 'bytes'>> {
  const packing = packingOf(member);
  const slice = await locateData(reader, member);
  const stretch: TransferSource = {
    ...source,
    key: `${source.key}#${member.name}`,
    slice,
    expectedBytes: slice.bytes,
    checksums: packing.method === 'stored' ? checksums : [],
    fallbackName: member.name.split('/').at(-1)!,
  };
  return { packing, bytes: member.bytes, source: stretch };
}

function packingOf({ name, method, bytes, crc32 }: Member): Packing {
  if (method !== STORED && method !== DEFLATED)
    throw new ServiceError('SourceRefused', `${name} is packed by method ${method}, not read here`);
  return { method: method === STORED ? 'stored' : 'deflated', bytes, crc32 };
}

/** @throws ChecksumMismatch for bytes that the archive's CRC-32 contradicts */
async function readMember(reader: RemoteReader, member: Member): Promise<Buffer> {
  const packing = packingOf(member);
  if (Math.max(packing.bytes, member.compressedBytes) > MANIFEST_BYTES)
    throw new ServiceError('SourceRefused', `${member.name} is too large for a manifest`);
  const { start, bytes } = await locateData(reader, member);
  const packed = await reader.read(start, bytes);
  const content = packing.method === 'stored' ? packed : unpacked(packed, packing.bytes);
  if (content?.length !== packing.bytes || crc32(content) !== packing.crc32)
    throw new ServiceError('ChecksumMismatch', `${member.name} is not what the archive says`);
  return content;
}

/** Null for what cannot be unpacked, or unpacks to more. */
function unpacked(packed: Buffer, mostBytes: number): Buffer | null {
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, mostBytes) });
  } catch {
    return null;
  }
}

// ---- names

/** Parts that every disk takes stay as they are. */
function safePath(path: string): string {
  refuseUnsafeName(path, DEEPEST);
  return path
    .split('/')
    .map((part) => (isPlain(part) ? part : sanitiseFileName(part)))
    .join('/');
}

function isPlain(part: string): boolean {
  return (
    /^[A-Za-z0-9_][A-Za-z0-9._@+=,~()\[\] -]*$/.test(part) &&
    !/[. ]$/.test(part) &&
    part.length <= 200
  );
}
