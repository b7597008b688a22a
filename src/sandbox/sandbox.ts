/**
 * The offline Copernicus: catalogue with identity, download host and control port, from one call.
 * Everything it serves follows from its options; everything that was asked of it is in its ledger.
 * Use `await createSandbox({ scale: 0.0005 })`, point a client at `baseUrl`, and `close()` at the end.
 */
import type { IncomingMessage } from 'node:http';
import { createCatalogue } from './catalogue/catalogue.js';
import type { CatalogueProduct } from './catalogue/product.js';
import { createContentStore } from './content/content-store.js';
import { createFaultBook, type Fault } from './faults.js';
import { createCatalogueRoute } from './http/catalogue.routes.js';
import { createControlServer } from './http/control.routes.js';
import { createDownloadRoute, tokenOf } from './http/download.routes.js';
import { createListener, listen, stop, type Route } from './http/server.js';
import { realmPath } from './identity/identity.routes.js';
import { TokenService } from './identity/tokens.js';
import { Ledger, type LedgerView } from './ledger.js';
import { matches } from './odata/filter-match.js';
import { parseFilter } from './odata/filter-parser.js';
import {
  settingsPatchSchema,
  settingsSchema,
  type SandboxOptions,
  type Settings,
  type SettingsPatch,
} from './options.js';

export type { SandboxOptions, Settings, SettingsPatch } from './options.js';
export type { Fault, FaultAction } from './faults.js';
export type { LedgerEntry, LedgerView } from './ledger.js';

/** The truth about a product, whatever the catalogue shows of it. */
export interface TrueProduct {
  index: number;
  id: string;
  name: string;
  collection: string;
  productType: string | null;
  start: string;
  online: boolean;
  sizeBytes: number;
  /** Digests of the delivered file; only where they were asked for. */
  md5?: string;
  blake3?: string;
  sha256?: string;
}

export interface ProductSelection {
  id?: string;
  name?: string;
  /** An OData `$filter`. */
  filter?: string;
  offset?: number;
  /** Default 100. */
  limit?: number;
  digests?: boolean;
}

export interface Sandbox {
  /** Catalogue and identity; no slash at the end. */
  baseUrl: string;
  downloadUrl: string;
  tokenUrl: string;
  controlUrl: string;
  username: string;
  password: string;
  /** Adds faults. @returns how many; @throws Error for an unknown product or a bad pattern */
  script(faults: readonly Fault[]): number;
  /** The faults, how often each was matched, and whether it is used up. */
  scripted(): { fault: Fault; matched: number; spent: boolean }[];
  /** Removes all faults and amendments. */
  clearFaults(): void;
  /** Lists a product with these fields in place of its own (a wrong ContentLength, a wrong Checksum). */
  amend(idOrName: string, fields: Record<string, unknown>): void;
  ledger(): LedgerView;
  resetLedger(): void;
  /** Changes settings while it runs. @returns the settings in force */
  configure(patch: SettingsPatch): Settings;
  products(selection?: ProductSelection): Promise<TrueProduct[]>;
  close(): Promise<void>;
}

/** @throws Error when a port is taken */
export async function createSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { seed = 1, products = 4000, scale = 1, host = '127.0.0.1', ports = {} } = options;
  let settings = settingsSchema.parse(pickSettings(options));
  const catalogue = createCatalogue({ ...options, seed, products, scale });
  const content = createContentStore(seed);
  const ledger = new Ledger();
  const faults = createFaultBook(catalogue);
  const users = options.users ?? { sandbox: 'sandbox' };
  const amended = new Map<string, Record<string, unknown>>();

  // Addresses hold ports, which are known only after listening: routes are handed over then.
  const routes: { catalogue?: Route; download?: Route } = {};
  let tokens: TokenService | null = null;
  const sessionOf = (request: IncomingMessage, url: URL): string | null => {
    const token = tokenOf(request.headers, url.searchParams);
    const verdict = token && tokens ? tokens.verify(token) : null;
    return verdict && 'session' in verdict ? verdict.session : null;
  };
  const listener = (name: 'catalogue' | 'download') =>
    createListener({
      name,
      ledger,
      faults,
      route: (exchange) => routes[name]!(exchange),
      bytesPerSecond: () => settings.bytesPerSecond,
      sessionOf,
    });
  const servers = [
    listener('catalogue'),
    listener('download'),
    createControlServer(() => sandbox),
  ] as const;
  const shownHost = host === '0.0.0.0' ? '127.0.0.1' : host;
  const second =
    options.requireSecondHost !== false && shownHost === '127.0.0.1' ? 'localhost' : shownHost;
  const baseUrl = `http://${shownHost}:${await listen(servers[0], ports.catalogue ?? 0, host)}`;
  const downloadUrl = `http://${second}:${await listen(servers[1], ports.download ?? 0, host)}`;
  const controlUrl = `http://127.0.0.1:${await listen(servers[2], ports.control ?? 0, '127.0.0.1')}`;

  tokens = await TokenService.create(`${baseUrl}${realmPath}`, () => settings);
  const issuing = tokens;
  routes.catalogue = createCatalogueRoute({
    baseUrl,
    downloadUrl,
    catalogue,
    content,
    amended,
    users,
    tokens: issuing,
    ledger,
  });
  routes.download = createDownloadRoute({
    downloadUrl,
    catalogue,
    content,
    tokens: issuing,
    ledger,
    settings: () => settings,
  });

  const truth = async (product: CatalogueProduct, digests: boolean): Promise<TrueProduct> => ({
    index: product.index,
    id: product.id,
    name: product.name,
    collection: product.collection,
    productType: product.productType,
    start: new Date(product.startMs).toISOString(),
    online: product.online,
    sizeBytes: content.sizeBytes(product),
    ...(digests
      ? { ...(await content.digests(product)), sha256: await content.sha256(product) }
      : {}),
  });

  const sandbox: Sandbox = {
    baseUrl,
    downloadUrl,
    tokenUrl: `${baseUrl}${realmPath}/protocol/openid-connect/token`,
    controlUrl,
    username: Object.keys(users)[0] ?? '',
    password: Object.values(users)[0] ?? '',
    script(added) {
      faults.add(added);
      return added.length;
    },
    scripted: () => faults.list(),
    clearFaults() {
      faults.clear();
      amended.clear();
    },
    amend(idOrName, fields) {
      const product = catalogue.byId(idOrName) ?? catalogue.byName(idOrName);
      if (!product) throw new Error(`No product "${idOrName}" in the catalogue`);
      amended.set(product.id, { ...amended.get(product.id), ...fields });
    },
    ledger: () => ledger.view(issuing.openSessions()),
    resetLedger: () => ledger.reset(),
    configure(patch) {
      settings = { ...settings, ...pickSettings(settingsPatchSchema.parse(patch)) };
      return settings;
    },
    async products({ id, name, filter, offset = 0, limit = 100, digests = false } = {}) {
      const wanted = filter === undefined ? null : parseFilter(filter);
      const found = catalogue.products.filter(
        (product) =>
          (id === undefined || product.id === id) &&
          (name === undefined || product.name === name) &&
          (wanted === null || matches(wanted, product)),
      );
      const list = [];
      for (const product of found.slice(offset, offset + limit))
        list.push(await truth(product, digests));
      return list;
    },
    async close() {
      await Promise.all(servers.map(stop));
    },
  };
  return sandbox;
}

/** The settings among the options, without those that were not given. */
function pickSettings(options: SandboxOptions | SettingsPatch): Partial<Settings> {
  const {
    tokenLifetimeSeconds,
    refreshLifetimeSeconds,
    connections,
    bytesPerSecond,
    ranges,
    etag,
  } = options;
  const all = {
    tokenLifetimeSeconds,
    refreshLifetimeSeconds,
    connections,
    bytesPerSecond,
    ranges,
    etag,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
