/**
 * Is every member of an archive what its directory says, and of a SAFE product what its manifest says? Reads the file once,
 * in threads, without unpacking to disk. What is damaged comes back as ranges of the archive, so that these alone can be
 * fetched again. Memory: the directory, one manifest, one slice for each thread.
 */
import type { Checksum } from '../../jobs/product.js';
import { cancelledError } from '../errors.js';
import type { FileHandleLike } from '../files.js';
import {
  DEFLATED,
  inspect,
  openArchive,
  type Directory,
  type Location,
  type Member,
} from './directory.js';
import { tailRange, findDirectory } from './end-record.js';
import { archiveError, archiveFaultOf } from './faults.js';
import { DEFAULT_ARCHIVE_LIMITS, type ArchiveLimits } from './limits.js';
import { sharedMemberPool, type MemberPool } from './member-pool.js';
import type { Piece, PieceFacts } from './member-thread.js';
import { DESCRIPTOR_BYTES, hasSoundDescriptor, isReadable, readMember } from './member.js';
import { shown } from './names.js';
import { fileReader, WindowReader, type ByteRange, type ByteReader } from './reader.js';
import { isManifestName, readSafeManifest, type DataObject } from './safe-manifest.js';
import { XmlFault } from './xml.js';

/** Members go to a thread so many at a time, or so many bytes. */
const BATCH_MEMBERS = 256;
const BATCH_BYTES = 64 * 1024 * 1024;
/** Headers that lie this close are read many at a time. */
const DENSE_BYTES = 8 * 1024;
const WINDOW_BYTES = 256 * 1024;
/** Enough to see whether there is one. */
const DIRECTORY_PROBE_BYTES = 4096;
/** Ranges closer than this are one: a request costs more than the bytes between. */
const MERGE_BYTES = 64 * 1024;

export interface CheckOptions {
  signal: AbortSignal;
  limits?: Partial<ArchiveLimits>;
  pool?: MemberPool;
}

export interface Finding {
  member: string;
  /**
   * `crc`: its bytes or its headers are not those that the directory speaks of. `missing`, `size`, `digest`: the manifest
   * lists something else.
   */
  kind: 'crc' | 'missing' | 'size' | 'digest';
  message: string;
}

export interface ArchiveReport {
  members: number;
  unpackedBytes: number;
  findings: Finding[];
  /** What to fetch again: in order, apart from each other. Empty where fetching cannot mend what was found. */
  damaged: ByteRange[];
  /** Members packed or encrypted in a way that cannot be unpacked here: nothing is known of their bytes. */
  unread: number;
  manifest: ManifestReport | null;
}

export interface ManifestReport {
  listed: number;
  /** Of the data objects, those whose bytes have the listed size and digest. */
  proven: number;
  listedBytes: number;
  missingBytes: number;
}

interface Wanted {
  manifest: ManifestReport;
  object: DataObject;
}

/**
 * @throws SourceRefused with `details.fault` where the directory cannot be read or the archive is not safe (also where its
 * manifest is not); StoreUnavailable; the signal's reason after an abort, once nothing is read any more
 */
export async function checkArchive(
  file: FileHandleLike,
  bytes: number,
  options: CheckOptions,
): Promise<ArchiveReport> {
  const reader = fileReader(file, bytes);
  const directory = await openArchive(reader, options.limits);
  const check = new Check(file, reader, directory, options);
  return await check.run();
}

/**
 * What the directory and the manifests alone tell: no member's data are read. `findings` are files that are missing or of
 * another size. @throws as {@link checkArchive}
 */
export async function listArchive(
  reader: ByteReader,
  options: CheckOptions,
): Promise<ArchiveReport> {
  const directory = await openArchive(reader, options.limits);
  const check = new Check(null, reader, directory, options);
  return await check.list();
}

/** Does it end as a zip does, whatever it begins with? */
export async function hasDirectory(reader: ByteReader): Promise<boolean> {
  return (await placeOfDirectory(reader)) !== null;
}

/** Where an archive whose directory cannot be read is damaged, as far as that can be told from its end. */
export async function damagedDirectory(reader: ByteReader): Promise<ByteRange[]> {
  const place = await placeOfDirectory(reader);
  return [
    place ? { start: place.start, bytes: reader.bytes - place.start } : tailRange(reader.bytes),
  ];
}

async function placeOfDirectory(reader: ByteReader): Promise<ByteRange | null> {
  try {
    const window = new WindowReader(reader, DIRECTORY_PROBE_BYTES);
    return (await findDirectory(window, DEFAULT_ARCHIVE_LIMITS)).range;
  } catch (error) {
    if (archiveFaultOf(error) === null) throw error;
    return null;
  }
}

class Check {
  readonly #file: FileHandleLike | null;
  readonly #reader: ByteReader;
  readonly #directory: Directory;
  readonly #signal: AbortSignal;
  readonly #limits: ArchiveLimits;
  readonly #pool: MemberPool;
  readonly #wanted = new Map<string, Wanted>();
  readonly #findings: Finding[] = [];
  readonly #damaged: ByteRange[] = [];
  #manifest: ManifestReport | null = null;
  #unread = 0;

  constructor(
    file: FileHandleLike | null,
    reader: ByteReader,
    directory: Directory,
    { signal, limits, pool }: CheckOptions,
  ) {
    this.#file = file;
    this.#reader = reader;
    this.#directory = directory;
    this.#signal = signal;
    this.#limits = { ...DEFAULT_ARCHIVE_LIMITS, ...limits };
    this.#pool = pool ?? sharedMemberPool();
  }

  async list(): Promise<ArchiveReport> {
    await this.#readManifests();
    return this.#report();
  }

  async run(): Promise<ArchiveReport> {
    await this.#readManifests();
    const inOrder = [...this.#directory.members].sort((a, b) => a.headerOffset - b.headerOffset);
    const running = new Set<Promise<void>>();
    const failures: unknown[] = [];
    for (const batch of batches(inOrder)) {
      if (this.#signal.aborted || failures.length > 0) break;
      const work: Promise<void> = this.#checkBatch(batch)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => running.delete(work));
      running.add(work);
      if (running.size > this.#pool.threads) await Promise.race(running);
    }
    // Nothing may be read any more once this has ended, whichever way.
    await Promise.all(running);
    if (this.#signal.aborted) throw cancelledError(this.#signal);
    if (failures.length > 0) throw failures[0] as Error;
    return this.#report();
  }

  #report(): ArchiveReport {
    const { members } = this.#directory;
    return {
      members: members.length,
      unpackedBytes: members.reduce((sum, member) => sum + member.bytes, 0),
      findings: this.#findings,
      damaged: merged(this.#damaged),
      unread: this.#unread,
      manifest: this.#manifest,
    };
  }

  // ---- the manifest

  async #readManifests(): Promise<void> {
    const manifests = this.#directory.members.filter(({ name }) => isManifestName(name));
    if (manifests.length === 0) return;
    const byName = new Map(this.#directory.members.map((member) => [member.name, member]));
    let bytes = 0;
    for (const member of manifests) {
      bytes += Math.max(member.bytes, member.compressedBytes);
      if (bytes > this.#limits.manifestBytes)
        throw unsafeManifest(member, `${bytes} bytes have to be read up to its end`);
      const objects = await this.#readManifest(member);
      if (objects) this.#expect(member.name, objects, byName);
    }
  }

  /** Null where nothing can be learned from it: the archive is then worth what its CRCs are worth. */
  async #readManifest(member: Member): Promise<DataObject[] | null> {
    const document = await readMember(this.#reader, member);
    // That its bytes are damaged is found with those of all other members.
    if (document === null) return null;
    try {
      return await readSafeManifest(document, this.#signal);
    } catch (error) {
      if (this.#signal.aborted) throw cancelledError(this.#signal);
      if (!(error instanceof XmlFault)) throw error;
      if (error.kind === 'hostile') throw unsafeManifest(member, error.message);
      return null;
    }
  }

  #expect(
    manifestName: string,
    objects: readonly DataObject[],
    byName: ReadonlyMap<string, Member>,
  ): void {
    const folder = manifestName.slice(0, manifestName.lastIndexOf('/') + 1);
    const report = (this.#manifest ??= { listed: 0, proven: 0, listedBytes: 0, missingBytes: 0 });
    for (const object of objects) {
      report.listed++;
      report.listedBytes += object.bytes ?? 0;
      const member =
        byName.get(folder + object.path) ?? byName.get(folder + unescaped(object.path));
      if (!member) {
        report.missingBytes += object.bytes ?? 0;
        this.#find(
          folder + object.path,
          'missing',
          `${manifestName} lists it, the archive has none`,
        );
      } else if (object.bytes !== null && object.bytes !== member.bytes) {
        report.missingBytes += Math.max(0, object.bytes - member.bytes);
        const what = `${manifestName} lists ${object.bytes} bytes, the archive has ${member.bytes}`;
        this.#find(member.name, 'size', what);
      } else if (object.checksum) {
        this.#wanted.set(member.name, { manifest: report, object });
      }
    }
  }

  #find(member: string, kind: Finding['kind'], message: string): void {
    this.#findings.push({ member: shown(member), kind, message: shown(message) });
  }

  // ---- the members

  async #checkBatch(batch: readonly Member[]): Promise<void> {
    const located: { member: Member; location: Location }[] = [];
    const [first, last] = [batch[0], batch.at(-1)];
    const isDense = first && last && last.limit - first.headerOffset < batch.length * DENSE_BYTES;
    const headers = isDense ? windowed(this.#reader) : this.#reader;
    for (const member of batch) {
      if (this.#signal.aborted) return;
      const location = await this.#locate(headers, member);
      if (location) located.push({ member, location });
    }
    const pieces = located.map(({ member, location }): Piece => ({
      start: location.data.start,
      packedBytes: location.data.bytes,
      isDeflated: member.method === DEFLATED && member.compressedBytes > 0,
      bytes: member.bytes,
      algorithm: this.#wanted.get(member.name)?.object.checksum?.algorithm ?? null,
    }));
    const fd = this.#file?.fd ?? -1;
    const facts = pieces.length > 0 ? await this.#pool.check(fd, pieces, this.#signal) : [];
    for (const [at, { member, location }] of located.entries()) {
      const found = facts[at];
      if (found) await this.#judge(member, location, found);
    }
  }

  /** Null where its bytes cannot be read; why has been noted. */
  async #locate(headers: ByteReader, member: Member): Promise<Location | null> {
    let location: Location;
    try {
      location = await inspect(headers, member);
    } catch (error) {
      if (archiveFaultOf(error) === null) throw error;
      this.#find(member.name, 'crc', (error as Error).message);
      this.#damage(member, null);
      return null;
    }
    if (location.disagreement !== null) {
      this.#find(member.name, 'crc', location.disagreement);
      const { headerOffset } = member;
      this.#damaged.push({ start: headerOffset, bytes: location.data.start - headerOffset });
      this.#doubtDirectory();
    }
    if (isReadable(member)) return location;
    this.#unread++;
    return null;
  }

  async #judge(member: Member, location: Location, found: PieceFacts): Promise<void> {
    const wrong = found.fault ?? (await this.#difference(member, location, found));
    if (wrong !== null) {
      this.#find(member.name, 'crc', wrong);
      this.#damage(member, location);
      return;
    }
    const wanted = this.#wanted.get(member.name);
    const checksum: Checksum | null = wanted?.object.checksum ?? null;
    if (!wanted || !checksum) return;
    if (found.digest === checksum.value) {
      wanted.manifest.proven++;
      return;
    }
    this.#find(
      member.name,
      'digest',
      `its ${checksum.algorithm} is ${found.digest}, the manifest lists ${checksum.value}`,
    );
    this.#damage(member, location);
  }

  async #difference(member: Member, location: Location, found: PieceFacts): Promise<string | null> {
    if (found.bytes !== member.bytes)
      return `it has ${found.bytes} bytes, the directory says ${member.bytes}`;
    if (found.crc32 !== member.crc32)
      return `its CRC-32 is ${hex(found.crc32)}, the directory says ${hex(member.crc32)}`;
    if (location.hasDescriptor && !(await hasSoundDescriptor(this.#reader, member, location.data)))
      return 'what is said behind its data contradicts the directory';
    return null;
  }

  #damage(member: Member, location: Location | null): void {
    const { headerOffset: start, limit } = member;
    const end = location
      ? location.data.start + location.data.bytes + DESCRIPTOR_BYTES
      : Number.POSITIVE_INFINITY;
    this.#damaged.push({ start, bytes: Math.min(limit, end) - start });
    // Where a header repeats what the directory says, and agrees, the directory is not at fault.
    if (location === null || location.hasDescriptor) this.#doubtDirectory();
  }

  #doubtDirectory(): void {
    const { start } = this.#directory.range;
    this.#damaged.push({ start, bytes: this.#reader.bytes - start });
  }
}

/** Fetches ahead, for members that are small and many. */
function windowed(reader: ByteReader): ByteReader {
  const window = new WindowReader(reader, WINDOW_BYTES);
  return { bytes: reader.bytes, read: (start, bytes) => window.view({ start, bytes }) };
}

function* batches(members: readonly Member[]): Generator<Member[]> {
  let batch: Member[] = [];
  let bytes = 0;
  for (const member of members) {
    batch.push(member);
    bytes += member.bytes;
    if (batch.length < BATCH_MEMBERS && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** In order, and one where they touch or nearly do. */
function merged(ranges: readonly ByteRange[]): ByteRange[] {
  const found: ByteRange[] = [];
  for (const { start, bytes } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = found.at(-1);
    if (last && start <= last.start + last.bytes + MERGE_BYTES)
      last.bytes = Math.max(last.bytes, start + bytes - last.start);
    else found.push({ start, bytes });
  }
  return found;
}

function unsafeManifest(member: Member, why: string) {
  return archiveError('unsafe', `${JSON.stringify(shown(member.name))}: ${why}`, {
    member: shown(member.name),
  });
}

function unescaped(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
