/**
 * What a whole copy is worth: its digests against the announced ones, its structure, its length. Pure but for reading.
 * An announced digest decides first; a zip is looked at even then, for sources are known that announce the digest of a
 * stump. Without one a zip is worth what its directory, its CRCs and its own manifest prove.
 */
import { isServiceError, ServiceError } from '../jobs/error-codes.js';
import type { Checksum, VerificationLevel } from '../jobs/product.js';
import {
  checkArchive,
  damagedDirectory,
  hasDirectory,
  listArchive,
  type ArchiveReport,
  type CheckOptions,
} from './archive/check.js';
import { archiveFaultOf } from './archive/faults.js';
import type { MemberPool } from './archive/member-pool.js';
import { fileReader, type ByteRange } from './archive/reader.js';
import { preferred } from './checksums.js';
import type { FileHandleLike } from './files.js';
import { isPageLike, UNKNOWN_TYPE, ZIP_TYPE } from './media-type.js';

export interface Copy {
  file: FileHandleLike;
  bytes: number;
  mediaType: string;
  digests: Checksum[];
  /** Usable ones; those whose algorithm was computed are compared. */
  announced: Checksum[];
  expectedBytes: number | null;
  /** Did a server say how many bytes there are, or did the stream just end? */
  isTotalKnown: boolean;
  /** The file's name as announced: one that ends in `.zip` promises a zip. */
  name?: string;
  /** Stops reading back; `judge` then rejects with its reason, once nothing is read any more. */
  signal?: AbortSignal;
  /** Threads that read archives back; by default those of the process. */
  pool?: MemberPool;
}

export type Verdict =
  | { kind: 'verified'; checksum: Checksum & { level: VerificationLevel } }
  /** The stream ended too early: more may be had. */
  | { kind: 'incomplete'; error: ServiceError }
  | {
      kind: 'mismatch';
      error: ServiceError;
      /** Bytes of the copy that its own CRCs or manifest contradict, apart and in order; empty = nothing is known of where. */
      damaged: ByteRange[];
      /** What to end with when an equal copy comes again: then it is the source. Absent = the digest is disputed. */
      whenRepeated?: ServiceError;
    }
  /**
   * Not the product, whatever it is. `damaged`: what to fetch again where the copy alone may be at fault; `isProven`: it is
   * just what was announced, and no other copy would be.
   */
  | { kind: 'refused'; error: ServiceError; damaged: ByteRange[]; isProven?: true };

/** A page that speaks of the product is small. */
const MAX_PAGE_BYTES = 64 * 1024;
/** Catalogues give the size packed or unpacked, and not always a true one: only so many times less than that is a stump. */
const STUMP_FACTOR = 10;
const SHOWN_FINDINGS = 10;

/** @throws StoreUnavailable when reading back fails; the reason of `copy.signal` */
export async function judge(copy: Copy): Promise<Verdict> {
  const computed = new Map(copy.digests.map(({ algorithm, value }) => [algorithm, value]));
  const compared = copy.announced.filter(({ algorithm }) => computed.has(algorithm));
  const wrong = compared.find(({ algorithm, value }) => computed.get(algorithm) !== value);
  if (wrong) return await contradicted(copy, wrong);
  const digest = preferred(compared) ?? preferred(copy.digests);
  if (!digest || (copy.announced.length > 0 && compared.length === 0))
    throw new ServiceError('Internal', 'No digest was computed');
  const isProven = compared.length > 0;
  if (await isZip(copy))
    return isProven ? await provenZip(copy, digest) : await unprovenZip(copy, digest);
  if (isProven) return verified(digest, 'provider');
  return promisesZip(copy) && copy.bytes !== copy.expectedBytes
    ? notAZip(copy)
    : byLength(copy, digest);
}

function verified(digest: Checksum, level: VerificationLevel): Verdict {
  return { kind: 'verified', checksum: { ...digest, level } };
}

// ---- zips

function promisesZip({ name }: Copy): boolean {
  return name !== undefined && /\.zip$/i.test(name);
}

/** By its first bytes; something may lie before the archive, but only where one was promised is it looked for. */
async function isZip(copy: Copy): Promise<boolean> {
  if (copy.mediaType === ZIP_TYPE) return true;
  if (copy.mediaType !== UNKNOWN_TYPE || !promisesZip(copy)) return false;
  return await hasDirectory(readerOf(copy));
}

/** The provider's digest agrees: then only a source that is itself broken or dangerous is refused. */
async function provenZip(copy: Copy, digest: Checksum): Promise<Verdict> {
  let report: ArchiveReport;
  try {
    report = await listArchive(readerOf(copy), optionsOf(copy));
  } catch (error) {
    if (archiveFaultOf(error) === null || !isServiceError(error)) throw error;
    const why = `its ${digest.algorithm} agrees, but ${lowerFirst(error.message)}`;
    return { ...sourceBroken(copy, why, { ...error.details }), isProven: true };
  }
  const stump = stumpOf(report, copy);
  return stump === null
    ? verified(digest, 'provider')
    : { ...sourceBroken(copy, `its ${digest.algorithm} agrees, but ${stump}`), isProven: true };
}

async function unprovenZip(copy: Copy, digest: Checksum): Promise<Verdict> {
  let report: ArchiveReport;
  try {
    report = await checkArchive(copy.file, copy.bytes, optionsOf(copy));
  } catch (error) {
    if (archiveFaultOf(error) === null || !isServiceError(error)) throw error;
    return await broken(copy, error);
  }
  if (report.findings.length > 0) return contradictsItself(copy, report);
  const stump = stumpOf(report, copy);
  if (stump !== null) return sourceBroken(copy, stump);
  return verified(digest, levelOf(report));
}

function levelOf({ unread, manifest }: ArchiveReport): VerificationLevel {
  if (unread > 0) return 'length';
  const isListed = manifest !== null && manifest.listed > 0;
  return isListed && manifest.proven === manifest.listed ? 'manifest' : 'structure';
}

/** A sound archive that holds a small part of what there should be. */
function stumpOf({ unpackedBytes, manifest }: ArchiveReport, copy: Copy): string | null {
  const held = Math.max(copy.bytes, unpackedBytes);
  if (copy.expectedBytes !== null && held * STUMP_FACTOR < copy.expectedBytes)
    return `it holds ${held} bytes where the catalogue has ${copy.expectedBytes}`;
  if (manifest && manifest.missingBytes > 0 && manifest.missingBytes * 2 >= manifest.listedBytes)
    return `${manifest.missingBytes} of the ${manifest.listedBytes} bytes that its manifest lists are missing`;
  return null;
}

function contradictsItself(copy: Copy, report: ArchiveReport): Verdict {
  const { findings, damaged } = report;
  const [first] = findings;
  const more = findings.length > 1 ? ` (and ${findings.length - 1} more)` : '';
  const what = `${JSON.stringify(first?.member)}: ${first?.message}${more}`;
  const details = { bytes: copy.bytes, ...archiveDetails(report) };
  const error = new ServiceError('ChecksumMismatch', `The archive contradicts itself, ${what}`, {
    details,
  });
  // A manifest that is contradicted twice is a dispute, for the user to decide; an archive that breaks its own CRCs is not.
  const isBroken = findings.some(({ kind }) => kind === 'crc');
  const whenRepeated = new ServiceError('SourceRefused', `The source is broken, ${what}`, {
    details,
  });
  return { kind: 'mismatch', error, damaged, ...(isBroken ? { whenRepeated } : {}) };
}

function archiveDetails(report: ArchiveReport): Record<string, unknown> {
  const { findings, manifest } = report;
  return {
    members: report.members,
    findings: findings.slice(0, SHOWN_FINDINGS).map(({ member, kind }) => ({ member, kind })),
    findings_total: findings.length,
    manifest: manifest && { listed: manifest.listed, proven: manifest.proven },
  };
}

async function broken(copy: Copy, error: ServiceError): Promise<Verdict> {
  const told = new ServiceError(error.code, error.message, {
    details: { ...error.details, bytes: copy.bytes, expected_bytes: copy.expectedBytes },
  });
  if (isShort(copy)) return { kind: 'incomplete', error: told };
  return { kind: 'refused', error: told, damaged: await damagedDirectory(readerOf(copy)) };
}

function sourceBroken(
  copy: Copy,
  why: string,
  details: Record<string, unknown> = {},
): Extract<Verdict, { kind: 'refused' }> {
  const error = new ServiceError('SourceRefused', `The source is broken: ${why}`, {
    details: { ...details, bytes: copy.bytes, expected_bytes: copy.expectedBytes },
  });
  return { kind: 'refused', error, damaged: [] };
}

function readerOf({ file, bytes }: Copy) {
  return fileReader(file, bytes);
}

function optionsOf({ signal, pool }: Copy): CheckOptions {
  return { signal: signal ?? new AbortController().signal, ...(pool && { pool }) };
}

// ---- everything else

async function contradicted(copy: Copy, { algorithm, value }: Checksum): Promise<Verdict> {
  const actual = copy.digests.find((digest) => digest.algorithm === algorithm)?.value ?? null;
  const message = `The ${algorithm} of the ${copy.bytes} bytes is not the announced one`;
  const told = (more: Record<string, unknown> = {}): ServiceError =>
    new ServiceError('ChecksumMismatch', message, {
      details: { algorithm, expected: value, actual, bytes: copy.bytes, ...more },
    });
  if (isShort(copy)) return { kind: 'incomplete', error: told() };
  if (
    isPageLike(copy.mediaType) &&
    copy.bytes <= MAX_PAGE_BYTES &&
    copy.bytes !== copy.expectedBytes
  )
    return { kind: 'refused', error: notTheProduct(copy), damaged: [] };
  if (!(await isZip(copy))) return { kind: 'mismatch', error: told(), damaged: [] };
  try {
    const report = await checkArchive(copy.file, copy.bytes, optionsOf(copy));
    return { kind: 'mismatch', error: told(archiveDetails(report)), damaged: report.damaged };
  } catch (error) {
    const fault = archiveFaultOf(error);
    if (fault === null) throw error;
    const damaged = await damagedDirectory(readerOf(copy));
    return { kind: 'mismatch', error: told({ fault }), damaged };
  }
}

function notAZip(copy: Copy): Verdict {
  const isPartial = isShort(copy) && !isPageLike(copy.mediaType);
  const error = new ServiceError(
    'SourceRefused',
    `The server sent ${copy.bytes} bytes of ${copy.mediaType} where a zip was announced`,
    {
      details: {
        bytes: copy.bytes,
        expected_bytes: copy.expectedBytes,
        media_type: copy.mediaType,
      },
    },
  );
  return isPartial ? { kind: 'incomplete', error } : { kind: 'refused', error, damaged: [] };
}

function byLength(copy: Copy, digest: Checksum): Verdict {
  if (copy.expectedBytes === null || copy.expectedBytes === copy.bytes) {
    const proven = copy.isTotalKnown || copy.expectedBytes !== null;
    return verified(digest, proven ? 'length' : 'none');
  }
  const error = notTheProduct(copy);
  return isShort(copy) ? { kind: 'incomplete', error } : { kind: 'refused', error, damaged: [] };
}

/** Nobody said how long it is, and the catalogue does not say that this is all. */
function isShort(copy: Copy): boolean {
  return !copy.isTotalKnown && (copy.expectedBytes === null || copy.bytes < copy.expectedBytes);
}

function notTheProduct(copy: Copy): ServiceError {
  const { bytes, expectedBytes, mediaType } = copy;
  return new ServiceError(
    'SourceRefused',
    `The server sent ${bytes} bytes of ${mediaType} where ${expectedBytes ?? 'the product'} were announced`,
    { details: { bytes, expected_bytes: expectedBytes, media_type: mediaType } },
  );
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
