/**
 * The download host: whole products and single files out of them. It checks the token, holds each account to its
 * number of connections, serves ranges, and says what the real host says in headers and refusals.
 */
import { randomBytes } from 'node:crypto';
import type { Catalogue } from '../catalogue/catalogue.js';
import type { CatalogueProduct } from '../catalogue/product.js';
import { hash32 } from '../catalogue/rule.js';
import type { ByteSource } from '../content/byte-source.js';
import type { ContentStore, DeliveredFile } from '../content/content-store.js';
import type { TokenService } from '../identity/tokens.js';
import type { Ledger } from '../ledger.js';
import type { Settings } from '../options.js';
import { json, type Answer } from './answer.js';
import type { Exchange } from './exchange.js';
import { contentRangeOf, parseRange } from './range.js';

export interface DownloadDeps {
  downloadUrl: string;
  catalogue: Catalogue;
  content: ContentStore;
  tokens: TokenService;
  ledger: Ledger;
  settings: () => Settings;
}

export function createDownloadRoute(deps: DownloadDeps): (exchange: Exchange) => Promise<Answer> {
  const slots = new Map<string, number>();
  return async (exchange) => {
    if (exchange.method !== 'GET' && exchange.method !== 'HEAD')
      return refusal(405, 'DAT-ZIP-105', 'Method not allowed');
    const match = /^\/odata\/v1\/Products\(([^)]*)\)(\/.*)$/.exec(exchange.path);
    if (!match) return refusal(404, 'DAT-ZIP-101', 'Resource not found');
    const [, id, rest] = match;
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id!))
      return refusal(422, 'DAT-ZIP-111', `Product id ${id} is not valid`);
    const product = deps.catalogue.byId(id!.toLowerCase());
    const nodes = /^((?:\/Nodes\([^)]*\))+)(\/Nodes|\/\$value)$|^(\/Nodes)$/.exec(rest!);
    if (rest !== '/$value' && !nodes) return refusal(400, 'DAT-ZIP-104', 'Path is not valid');
    if (nodes && !deps.settings().nodes) return refusal(404, 'DAT-ZIP-101', 'Resource not found');
    if (nodes?.[1]?.includes("('")) return refusal(400, 'DAT-ZIP-104', 'Node names are not quoted');
    const names = [...(nodes?.[1] ?? '').matchAll(/\/Nodes\(([^)]*)\)/g)].map(([, name]) => name!);
    if (nodes && rest!.endsWith('/Nodes'))
      return product ? listNodes(product, names, exchange, deps) : notFound(id!);
    const user = authorize(exchange, deps.tokens);
    if (typeof user !== 'string') return user;
    if (!product) return notFound(id!);
    return serve(product, names, user, exchange, deps, slots);
  };
}

export function tokenOf(headers: Exchange['headers'], query: URLSearchParams): string | null {
  const bearer = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '');
  return bearer?.[1] ?? query.get('token');
}

/** The account, or why the token does not open the door. */
function authorize(exchange: Exchange, tokens: TokenService): string | Answer {
  const token = tokenOf(exchange.headers, exchange.query);
  if (token === null || token === '') return refusal(401, 'DAT-ZIP-604', 'Token not found');
  const verdict = tokens.verify(token);
  if (verdict.state === 'valid') return verdict.user;
  if (verdict.state === 'expired') return refusal(401, 'DAT-ZIP-109', 'Token is expired');
  return refusal(401, 'DAT-ZIP-609', 'Token audience not allowed');
}

async function serve(
  product: CatalogueProduct,
  names: string[],
  user: string,
  exchange: Exchange,
  deps: DownloadDeps,
  slots: Map<string, number>,
): Promise<Answer> {
  if (!product.online) return refusal(404, 'DAT-ZIP-915', 'Nothing to stream: product is offline');
  const limit = deps.settings().connections;
  const busy = slots.get(user) ?? 0;
  if (exchange.method === 'GET' && busy >= limit) {
    deps.ledger.count('downloadsRefused');
    return json(429, {
      'trace-id': randomBytes(16).toString('hex'),
      code: 'DAT-ZIP-100',
      message: 'Max session number exceeded',
    });
  }
  // The slot is taken before anything is awaited: two requests never see the same free one.
  const release = exchange.method === 'GET' ? takeSlot(user, slots, deps.ledger) : () => undefined;
  try {
    const file = await deps.content.open(product, exchange.fault.changeContent);
    const wanted = chooseSource(product, names, file);
    if (!wanted) {
      release();
      return refusal(404, 'DAT-ZIP-101', 'Resource not found');
    }
    const etag = await etagOf(product, names, exchange, deps);
    const headers = {
      ...commonHeaders,
      ...(etag === null ? {} : { etag }),
      'content-disposition': `attachment; filename=${wanted.fileName}`,
      'x-cf-sessionlimit-limit': String(limit),
      'x-cf-sessionlimit-remaining': String(Math.max(0, limit - (slots.get(user) ?? 0))),
    };
    return { ...rangedAnswer(wanted.source, headers, etag, exchange, deps.settings()), release };
  } catch (error) {
    release();
    throw error;
  }
}

const commonHeaders = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers':
    'x-cf-sessionlimit-limit,x-cf-sessionlimit-remaining,Content-Disposition',
  // Whatever the body is.
  'content-type': 'application/zip',
  'accept-ranges': 'bytes',
  vary: 'Origin',
  'strict-transport-security': 'max-age=15724800; includeSubDomains',
};

function takeSlot(user: string, slots: Map<string, number>, ledger: Ledger): () => void {
  slots.set(user, (slots.get(user) ?? 0) + 1);
  ledger.downloadStarted();
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    slots.set(user, slots.get(user)! - 1);
    ledger.downloadEnded();
  };
}

/** The whole product for no names, else the file they lead to. */
function chooseSource(
  product: CatalogueProduct,
  names: string[],
  file: DeliveredFile,
): { source: ByteSource; fileName: string } | null {
  if (names.length === 0) return file;
  if (names[0] !== product.name) return null;
  if (names.length === 1) return file.members === null ? file : null;
  const source = file.members?.get(names.slice(1).join('/'));
  return source ? { source, fileName: names.at(-1)! } : null;
}

async function etagOf(
  product: CatalogueProduct,
  names: string[],
  { fault }: Exchange,
  deps: DownloadDeps,
): Promise<string | null> {
  if (fault.etag !== undefined) return fault.etag;
  if (!deps.settings().etag) return null;
  const { md5 } = await deps.content.digests(product, fault.changeContent);
  return `"${names.length === 0 ? md5 : `${md5}-${hash32(names.join('/')).toString(16)}`}"`;
}

function rangedAnswer(
  source: ByteSource,
  headers: Record<string, string>,
  etag: string | null,
  { headers: asked, fault }: Exchange,
  settings: Settings,
): Omit<Answer, 'release'> {
  const size = source.sizeBytes;
  const ifMatch = asked['if-match'];
  if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== etag)
    return refusal(412, 'DAT-ZIP-112', 'Precondition failed');
  const ifRange = asked['if-range'];
  const whole = { status: 200, headers, body: { source, start: 0, end: size } };
  const honoured =
    settings.ranges && !fault.ignoreRange && (ifRange === undefined || ifRange === etag);
  const range = honoured ? parseRange(asked.range, size) : null;
  if (range === null) return whole;
  if (range === 'unsatisfiable')
    return {
      status: 416,
      headers: { ...headers, 'content-type': 'text/plain', 'content-range': `bytes */${size}` },
      body: Buffer.alloc(0),
    };
  const start = Math.min(size - 1, Math.max(0, range.start + (fault.shiftRange ?? 0)));
  const end = Math.max(start + 1, range.end);
  return {
    status: 206,
    headers: { ...headers, 'content-range': contentRangeOf({ start, end }, size) },
    body: { source, start, end },
  };
}

/** Children of a folder in no fixed order; no token needed. */
async function listNodes(
  product: CatalogueProduct,
  names: string[],
  exchange: Exchange,
  deps: DownloadDeps,
): Promise<Answer> {
  const file = await deps.content.open(product);
  const address = `${deps.downloadUrl}/odata/v1/Products(${product.id})${names.map((name) => `/Nodes(${name})`).join('')}`;
  const node = (name: string, length: number, children: number): Record<string, unknown> => ({
    Id: name,
    Name: name,
    ContentLength: length,
    ChildrenNumber: children,
    Nodes: { uri: `${address}/Nodes(${name})/Nodes` },
  });
  const paths = [...(file.members?.keys() ?? [])].map((path) => path.split('/'));
  const empty = emptyFolders(product);
  if (names.length === 0) {
    const children = new Set(paths.map(([first]) => first)).size + empty.length;
    const length = file.members === null ? file.source.sizeBytes : 0;
    return json(200, { result: [node(product.name, length, children)] });
  }
  const depth = names.length - 1;
  if (names.length === 2 && names[0] === product.name && empty.includes(names[1]!))
    return json(200, { result: [] });
  const below = paths.filter((path) => names.slice(1).every((name, at) => path[at] === name));
  if (names[0] !== product.name || (below.length === 0 && file.members !== null))
    return refusal(404, 'DAT-ZIP-101', 'Resource not found');
  const groups = new Map<string, string[][]>();
  for (const path of below.filter((one) => one.length > depth))
    groups.set(path[depth]!, [...(groups.get(path[depth]!) ?? []), path]);
  const result = [...groups].map(([name, members]) => {
    if (members[0]!.length > depth + 1)
      return node(name, 0, new Set(members.map((path) => path[depth + 1])).size);
    return node(name, file.members!.get(members[0]!.join('/'))!.sizeBytes, 0);
  });
  if (depth === 0) result.push(...empty.map((name) => node(name, 0, 0)));
  const turn = exchange.entry.number;
  const place = (one: Record<string, unknown>): number => hash32(`${turn}:${String(one['Name'])}`);
  return json(200, { result: result.sort((a, b) => place(a) - place(b)) });
}

/** Folders of real products in which nothing lies; no zip has them. */
function emptyFolders({ form }: CatalogueProduct): string[] {
  return form === 'safe-s2-l2a' || form === 'safe-s2-l1c' ? ['AUX_DATA'] : [];
}

function notFound(id: string): Answer {
  return refusal(404, 'DAT-ZIP-101', `Product ${id} not found`);
}

function refusal(status: number, code: string, message: string): Answer {
  return json(status, { code, message });
}
