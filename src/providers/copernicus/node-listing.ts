/**
 * The files of a product, as the download host lists them: one request a folder, a few at once, bounded in depth and number.
 * Addresses are made from names: where an answer says to go on is not believed. Listing needs no token.
 */
import { ServiceError } from '../../jobs/error-codes.js';
import type { Product } from '../../jobs/product.js';
import type { ListedFile } from '../provider.js';
import type { Clock } from './clock.js';
import { downloadError, oneLine, readErrorBody } from './errors.js';
import { looseText, readJson, type Http, type HttpAnswer } from './http.js';
import { nodeUrl } from './odata-query.js';
import { nodesSchema, type OdataNode } from './odata-schemas.js';

export interface NodeListingSettings {
  downloadUrl: string;
  http: Http;
  clock: Clock;
}

/** Real products have some 20 folders, 200 files and 7 levels. */
export const LISTING_LIMITS = { folders: 1_000, files: 10_000, depth: 20, atOnce: 4 };
const SIZE_LIMIT_BYTES = 4 * 1024 * 1024;

export interface Listing {
  /** Name of the product's own folder. */
  folder: string;
  files: ListedFile[];
}

/**
 * Every file, relative to the product's own folder, sorted by path; null when the product is one file.
 * @throws SourceUnavailable, SourceThrottled, SourceGone, SourceDenied, SourceOffline, SourceRefused
 */
export async function listNodes(
  product: Product,
  settings: NodeListingSettings,
  signal: AbortSignal,
): Promise<Listing | null> {
  const [root, ...others] = await listFolder(product, [], settings, signal);
  if (root === undefined || others.length > 0)
    throw refused(product, `lists ${others.length + (root ? 1 : 0)} things where one is expected`);
  if (!isFolder(root) && (root.ContentLength ?? 0) > 0) return null;
  const files: ListedFile[] = [];
  const open: string[][] = [[root.Name]];
  let folders = 0;
  const visit = async (names: string[]): Promise<void> => {
    if (++folders > LISTING_LIMITS.folders || names.length > LISTING_LIMITS.depth)
      throw refused(product, 'lists folders without end');
    for (const node of await listFolder(product, names, settings, signal)) {
      const path = [...names, node.Name];
      if (isFolder(node)) open.push(path);
      else files.push({ path: path.slice(1).join('/'), bytes: bytesOf(node) });
    }
    if (files.length > LISTING_LIMITS.files) throw refused(product, 'lists files without end');
  };
  while (open.length > 0) await Promise.all(open.splice(0, LISTING_LIMITS.atOnce).map(visit));
  files.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return { folder: root.Name, files };
}

const isFolder = ({ ChildrenNumber }: OdataNode): boolean => (ChildrenNumber ?? 0) > 0;

/** Zero is what empty folders say, too. */
const bytesOf = ({ ContentLength: length }: OdataNode): number | null =>
  length !== null && Number.isSafeInteger(length) && length > 0 ? length : null;

async function listFolder(
  product: Product,
  names: string[],
  settings: NodeListingSettings,
  signal: AbortSignal,
): Promise<OdataNode[]> {
  const url = nodeUrl(settings.downloadUrl, product.id, names, 'Nodes');
  const { result } = await settings.http.call(
    { method: 'GET', url },
    (answer) => {
      if (answer.status !== 200) throw listingError(answer, product, settings.clock.wallMs());
      return readJson(answer, nodesSchema);
    },
    signal,
    { sizeBytes: SIZE_LIMIT_BYTES },
  );
  const found = result.map(({ Name }) => Name);
  if (new Set(found).size < found.length) throw refused(product, 'lists a name twice');
  if (found.some((name) => name.includes('/'))) throw refused(product, 'lists a name with a slash');
  return result;
}

function listingError(answer: HttpAnswer, product: Product, wallMs: number): ServiceError {
  const body = looseText(answer);
  const known = downloadError({ ...answer, body }, product.name, answer.host, wallMs);
  if (known) return known;
  const said = `${readErrorBody(body).text} (${answer.status})`;
  if (answer.status >= 500 || answer.status === 408)
    return new ServiceError('SourceUnavailable', `${answer.host} is failing: ${said}`);
  if (answer.status === 401)
    return new ServiceError('SourceDenied', `${answer.host} does not list the files: ${said}`);
  return new ServiceError('SourceRefused', `${answer.host} does not list the files: ${said}`);
}

function refused({ name }: Product, what: string): ServiceError {
  return new ServiceError('SourceRefused', `The download host ${what} inside ${oneLine(name)}`);
}
