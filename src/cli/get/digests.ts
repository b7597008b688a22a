/**
 * Digests as people have them: files as md5sum, sha256sum and b3sum write them (and their `--tag` form), and one digest
 * on the command line. Files are found by base name; where two of a list share it, by as much of the path as the URL has.
 */
import type { Checksum, ChecksumAlgorithm } from '../../jobs/product.js';
import { CommandError, EXIT } from '../exit-codes.js';
import { plain } from '../output/text.js';

export interface ListedDigest extends Checksum {
  /** As the list names the file, with forward slashes. */
  path: string;
}

/** What 64 digits may be. */
export const LENGTH_64 = ['sha256', 'sha3-256', 'blake3'] as const;
export type Length64 = (typeof LENGTH_64)[number];

const BY_LENGTH: Record<number, ChecksumAlgorithm> = { 32: 'md5', 40: 'sha1', 128: 'sha512' };

/** As tools call them, without dashes, in lower case. */
const BY_TAG: Record<string, ChecksumAlgorithm> = {
  md5: 'md5',
  sha1: 'sha1',
  sha256: 'sha256',
  sha2256: 'sha256',
  sha512: 'sha512',
  sha2512: 'sha512',
  sha3256: 'sha3-256',
  blake3: 'blake3',
  b3: 'blake3',
};

const byTag = (tag: string): ChecksumAlgorithm | undefined =>
  BY_TAG[tag.toLowerCase().replaceAll('-', '')];

/**
 * @param source the list's own name: `B3SUMS`, `files.blake3` and `SHA3-256SUMS` say what their 64 digits are
 * @param length64 what 64 digits are, whatever the name says
 * @throws CommandError (65) naming the first line that is none
 */
export function parseSums(text: string, source: string, length64?: Length64): ListedDigest[] {
  const digits64 = length64 ?? namedIn(source);
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const found = parseTagged(line) ?? parsePlain(line, digits64);
    if (found) return [found];
    throw new CommandError(
      `${plain(source)}, line ${index + 1}: not a digest and a name`,
      EXIT.dataError,
      'Give a list as md5sum, sha256sum or b3sum write it: the digest, two spaces, the name',
    );
  });
}

function namedIn(source: string): Length64 {
  const name = source.slice(source.lastIndexOf('/') + 1).toLowerCase();
  if (/(^|[^a-z0-9])(b3|blake3)(sums?)?([^a-z0-9]|$)/.test(name)) return 'blake3';
  return /(^|[^a-z0-9])sha3([^a-z0-9]|$)/.test(name) ? 'sha3-256' : 'sha256';
}

/** `d41d8…  name`, `d41d8… *name`; a leading backslash says that line ends in the name are escaped. */
function parsePlain(line: string, digits64: Length64): ListedDigest | null {
  const match = /^(\\?)([0-9a-fA-F]+) [ *]?(.+)$/.exec(line);
  if (!match) return null;
  const [, escaped, value = '', name = ''] = match;
  const algorithm = value.length === 64 ? digits64 : BY_LENGTH[value.length];
  if (!algorithm) return null;
  return { algorithm, value: value.toLowerCase(), path: unescape(name, escaped !== '') };
}

/** `SHA256 (name) = e3b0c…`, and `SHA2-256(name)= e3b0c…` as openssl writes it. */
function parseTagged(line: string): ListedDigest | null {
  const match = /^(\\?)([A-Za-z0-9-]+) ?\((.+)\) ?= ([0-9a-fA-F]+)$/.exec(line);
  if (!match) return null;
  const [, escaped, tag = '', name = '', hex = ''] = match;
  const algorithm = byTag(tag);
  return algorithm && isLength(algorithm, hex)
    ? { algorithm, value: hex.toLowerCase(), path: unescape(name, escaped !== '') }
    : null;
}

const unescape = (name: string, isEscaped: boolean): string =>
  isEscaped
    ? name.replace(/\\([nr\\])/g, (_all, code: string) => ({ n: '\n', r: '\r' })[code] ?? '\\')
    : name;

const isLength = (algorithm: ChecksumAlgorithm, hex: string): boolean =>
  BY_LENGTH[hex.length] === algorithm ||
  (hex.length === 64 && (LENGTH_64 as readonly string[]).includes(algorithm));

/** `md5:d41d8…`, `sha-256=e3b0c…`. @throws CommandError (2) */
export function parseChecksum(text: string): Checksum {
  const [, tag = '', hex = ''] = /^([A-Za-z0-9-]+)[:=]([0-9a-fA-F]+)$/.exec(text.trim()) ?? [];
  const algorithm = byTag(tag);
  if (algorithm && isLength(algorithm, hex)) return { algorithm, value: hex.toLowerCase() };
  throw new CommandError(
    `--checksum ${plain(text)}: not algorithm:digest`,
    EXIT.usage,
    'Algorithms are md5, sha1, sha256, sha512, sha3-256 and blake3; digests are hexadecimal and whole',
  );
}

export interface DigestBook {
  /** Every algorithm that occurs. */
  algorithms: ChecksumAlgorithm[];
  /**
   * The digests of a file; none where no list has it.
   * @param urlPath decides between files of the same name
   * @throws CommandError (65) where the lists contradict each other, or the path does not decide
   */
  find(name: string, urlPath: string): Checksum[];
}

export function createDigestBook(listed: readonly ListedDigest[]): DigestBook {
  const byName = new Map<string, ListedDigest[]>();
  for (const entry of listed) {
    const name = baseName(entry.path);
    byName.set(name, [...(byName.get(name) ?? []), entry]);
  }
  return {
    algorithms: [...new Set(listed.map(({ algorithm }) => algorithm))],
    find(name, urlPath) {
      const entries = byName.get(name) ?? [];
      const algorithms = [...new Set(entries.map(({ algorithm }) => algorithm))];
      return algorithms.map((algorithm) => {
        const ofIt = entries.filter((entry) => entry.algorithm === algorithm);
        return { algorithm, value: decide(ofIt, name, urlPath) };
      });
    },
  };
}

function decide(entries: ListedDigest[], name: string, urlPath: string): string {
  const nearest = entries.filter(
    ({ path }) => `/${urlPath}`.endsWith(`/${path.replace(/^(\.?\/)+/, '')}`) && path.includes('/'),
  );
  const values = new Set((nearest.length > 0 ? nearest : entries).map(({ value }) => value));
  const [value] = values;
  if (value !== undefined && values.size === 1) return value;
  throw new CommandError(
    `The lists give ${values.size} digests for ${plain(name)}, and its URL does not say which`,
    EXIT.dataError,
    'Give its digest with --checksum, or a list of one folder',
  );
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
