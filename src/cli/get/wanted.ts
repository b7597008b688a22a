/**
 * From a command line to the files that are wanted: URLs, names, digests, headers. Reads lists, asks no server. What is
 * secret in a URL (user, password, query) is taken out of what is shown, and the user part becomes a header.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Checksum, ChecksumAlgorithm } from '../../jobs/product.js';
import { shownUrl } from '../../transfer/errors.js';
import { sanitiseFileName } from '../../transfer/file-name.js';
import { CommandError, EXIT } from '../exit-codes.js';
import { plain } from '../output/text.js';
import { createDigestBook, parseChecksum, parseSums, type Length64 } from './digests.js';

export interface WantedOptions {
  sums?: string[];
  algorithm?: Length64;
  checksum?: string[];
  input?: string[];
  header?: string[];
  name?: string;
}

export interface Wanted {
  /** Without user part and fragment. */
  url: URL;
  /** May be printed: also without query. */
  shown: string;
  /** Headers for the URL's own host, names in lower case. */
  headers: Record<string, string>;
  /** A safe file name: as given, else the URL's last part. */
  name: string;
  /** The name is given or listed; otherwise the server may know a better one. */
  isNameSettled: boolean;
  checksums: Checksum[];
  /** Names the file for ever: where its unfinished bytes lie. */
  key: string;
}

export interface Plan {
  files: Wanted[];
  /** `host:port` that may be asked in plain http, because somebody typed it so. */
  plainHttpHosts: string[];
  /** Digests to be looked up once a server has said what a file is called; null where no list was given. */
  lookUp: ((name: string, wanted: Wanted) => Checksum[]) | null;
  /** Algorithms of the lists, for files whose name is not known before. */
  algorithms: ChecksumAlgorithm[];
}

/**
 * URLs that were given twice are fetched once.
 * @throws CommandError (2) for what was typed wrongly, (65) for a file that is no list
 */
export async function planFiles(
  urls: readonly string[],
  options: WantedOptions,
  signal: AbortSignal,
): Promise<Plan> {
  const lists = await Promise.all((options.input ?? []).map((path) => readInput(path, signal)));
  const addresses = [...urls, ...lists.flat()].map(parseUrl);
  if (addresses.length === 0)
    throw new CommandError('No URL was given', EXIT.usage, 'nimbus get <url>…, or --input <file>');
  const isSingle = new Set(addresses.map(({ href }) => href)).size === 1;
  const given = onlyForOne('--checksum', options.checksum, isSingle)?.map(parseChecksum) ?? [];
  const [name] = onlyForOne('--name', options.name && [options.name], isSingle) ?? [];
  const sums = await Promise.all(
    (options.sums ?? []).map(async (path) =>
      parseSums(await readList(path), path, options.algorithm),
    ),
  );
  const book = createDigestBook(sums.flat());
  const headers = parseHeaders(options.header ?? []);
  const files = addresses.map((url) => {
    const settled = name === undefined ? null : checkName(name);
    return toWanted(url, headers, settled, (it) => [...given, ...book.find(it, pathOf(url))]);
  });
  return {
    files: [...new Map(files.map((file) => [file.key, file])).values()],
    plainHttpHosts: files
      .filter(({ url }) => url.protocol === 'http:')
      .map(({ url }) => hostOf(url)),
    lookUp: options.sums ? (it, { url }) => book.find(it, pathOf(url)) : null,
    algorithms: book.algorithms,
  };
}

function toWanted(
  address: URL,
  common: Record<string, string>,
  givenName: string | null,
  digestsOf: (name: string) => Checksum[],
): Wanted {
  const url = new URL(address);
  const user = userOf(url);
  url.username = '';
  url.password = '';
  url.hash = '';
  const name = givenName ?? sanitiseFileName(pathOf(url).split('/').at(-1) ?? '', 'download');
  const checksums = digestsOf(name);
  return {
    url,
    shown: plain(shownUrl(url)),
    headers: user === null ? common : { authorization: user, ...common },
    name,
    isNameSettled: givenName !== null || checksums.length > 0,
    checksums,
    key: keyOf(url, name, checksums),
  };
}

/** A digest names the bytes wherever they come from, so that a signed URL may change between two runs. */
function keyOf(url: URL, name: string, checksums: Checksum[]): string {
  const digests = checksums.map(({ algorithm, value }) => `${algorithm}:${value}`).sort();
  const text = digests.length > 0 ? [name, ...digests].join('\n') : url.href;
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

export const hostOf = (url: URL): string =>
  `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`;

const pathOf = (url: URL): string => decoded(url.pathname).slice(1);

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function userOf({ username, password }: URL): string | null {
  if (username === '' && password === '') return null;
  const pair = `${decoded(username)}:${decoded(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

function parseUrl(text: string): URL {
  if (URL.canParse(text)) {
    const url = new URL(text);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url;
    throw new CommandError(`${plain(shownUrl(url))}: neither http nor https`, EXIT.usage);
  }
  // What cannot be parsed may hold a password anywhere.
  throw new CommandError(`${plain(text.slice(0, 16))}…: not a URL`, EXIT.usage);
}

function onlyForOne<T>(option: string, values: T[] | '' | undefined, isSingle: boolean) {
  if (!values || isSingle) return values || undefined;
  throw new CommandError(`${option} is for a single URL`, EXIT.usage, 'Use --sums for several');
}

function checkName(name: string): string {
  if (sanitiseFileName(name) === name) return name;
  throw new CommandError(`--name ${plain(name)}: not a plain file name`, EXIT.usage);
}

/** Those that the transfer itself decides, or that would change what an answer means. */
const OWN_HEADERS = [
  ...['host', 'connection', 'range', 'if-range', 'content-length', 'transfer-encoding', 'te'],
  ...['accept-encoding', 'expect', 'upgrade', 'keep-alive', 'trailer', 'proxy-authorization'],
];

/** @throws CommandError (2); the value is never shown */
function parseHeaders(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, name = '', value = ''] = /^([^:]*):(.*)$/s.exec(line) ?? [];
    const key = name.toLowerCase();
    const problem = !/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(key)
      ? 'not Name: value'
      : /[^\t\u0020-\u007e\u0080-\u00ff]/.test(value)
        ? 'a value is one line of Latin letters'
        : OWN_HEADERS.includes(key)
          ? 'the transfer sets this one itself'
          : null;
    if (problem !== null)
      throw new CommandError(`--header ${plain(name.slice(0, 60))}: ${problem}`, EXIT.usage);
    headers[key] = value.trim();
  }
  return headers;
}

/** One URL a line; blank lines and those that begin with # are skipped. `-` is standard input. */
async function readInput(path: string, signal: AbortSignal): Promise<string[]> {
  const text = path === '-' ? await readStdin(signal) : await readList(path);
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

async function readStdin(signal: AbortSignal): Promise<string> {
  const parts: Buffer[] = [];
  const stop = () => process.stdin.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    for await (const part of process.stdin) parts.push(part as Buffer);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  return Buffer.concat(parts).toString('utf8');
}

/** More is a file that was named by mistake. */
const MAX_LIST_BYTES = 64_000_000;

async function readList(path: string): Promise<string> {
  const content = await readSmall(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(`Cannot read ${plain(path)}: ${error.code}`, EXIT.dataError);
  });
  if (content === null)
    throw new CommandError(`${plain(path)} is too large for a list`, EXIT.dataError);
  return content.toString('utf8').replace(/^\ufeff/, '');
}

async function readSmall(path: string): Promise<Buffer | null> {
  return (await stat(path)).size > MAX_LIST_BYTES ? null : readFile(path);
}
