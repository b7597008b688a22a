/**
 * The offline Copernicus: catalogue with identity, download host and control port, from one call.
 * Everything it serves follows from its options; everything that was asked of it is in its ledger.
 * Use `await createSandbox({ scale: 0.0005 })`, point a client at `baseUrl`, and `close()` at the end.
 */
import type { CatalogueProduct } from './catalogue/product.js';
import type { Fault } from './faults.js';
import { startServers } from './http/start.js';
import { realmPath } from './identity/identity.routes.js';
import type { LedgerView } from './ledger.js';
import { matches } from './odata/filter-match.js';
import { parseFilter } from './odata/filter-parser.js';
import type { SandboxOptions, Settings, SettingsPatch } from './options.js';
import { createWorld, type World } from './world.js';

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

/** @throws Error when a port is taken; nothing is left listening then */
export async function createSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const world = createWorld(options);
  const { users } = world;
  const handles = createHandles(world);
  const running = await startServers(world, options, () => sandbox);
  const { baseUrl, downloadUrl, controlUrl, tokens } = running;
  const sandbox: Sandbox = {
    baseUrl,
    downloadUrl,
    tokenUrl: `${baseUrl}${realmPath}/protocol/openid-connect/token`,
    controlUrl,
    username: Object.keys(users)[0] ?? '',
    password: Object.values(users)[0] ?? '',
    ...handles,
    ledger: () => world.ledger.view(tokens.openSessions()),
    close: running.close,
  };
  return sandbox;
}

/** What a test can do without HTTP, and the control port with it. */
function createHandles(
  world: World,
): Pick<
  Sandbox,
  'script' | 'scripted' | 'clearFaults' | 'amend' | 'resetLedger' | 'configure' | 'products'
> {
  const { catalogue, faults, amended, ledger } = world;
  return {
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
    resetLedger: () => ledger.reset(),
    configure: (patch) => world.configure(patch),
    async products(selection = {}) {
      const list = [];
      for (const product of selected(world, selection))
        list.push(await truthOf(product, selection.digests ?? false, world));
      return list;
    },
  };
}

function selected(
  { catalogue }: World,
  { id, name, filter, offset = 0, limit = 100 }: ProductSelection,
): CatalogueProduct[] {
  const wanted = filter === undefined ? null : parseFilter(filter);
  const found = catalogue.products.filter(
    (product) =>
      (id === undefined || product.id === id) &&
      (name === undefined || product.name === name) &&
      (wanted === null || matches(wanted, product)),
  );
  return found.slice(offset, offset + limit);
}

async function truthOf(
  product: CatalogueProduct,
  digests: boolean,
  { content }: World,
): Promise<TrueProduct> {
  return {
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
  };
}
