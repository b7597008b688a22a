/** What the servers of one sandbox share: catalogue, content, fault book, ledger, users, and the settings in force. */
import { createCatalogue, type Catalogue } from './catalogue/catalogue.js';
import { createContentStore, type ContentStore } from './content/content-store.js';
import { createFaultBook, type FaultBook } from './faults.js';
import { Ledger } from './ledger.js';
import {
  settingsPatchSchema,
  settingsSchema,
  type SandboxOptions,
  type Settings,
  type SettingsPatch,
} from './options.js';

export interface World {
  catalogue: Catalogue;
  content: ContentStore;
  faults: FaultBook;
  ledger: Ledger;
  users: Record<string, string>;
  /** Fields listed in place of a product's own, by product id. */
  amended: Map<string, Record<string, unknown>>;
  settings(): Settings;
  /** @returns the settings then in force */
  configure(patch: SettingsPatch): Settings;
}

export function createWorld(options: SandboxOptions): World {
  const { seed = 1, products = 4000, scale = 1 } = options;
  let settings = settingsSchema.parse(pickSettings(options));
  const catalogue = createCatalogue({ ...options, seed, products, scale });
  return {
    catalogue,
    content: createContentStore(seed),
    faults: createFaultBook(catalogue),
    ledger: new Ledger(),
    users: options.users ?? { sandbox: 'sandbox' },
    amended: new Map(),
    settings: () => settings,
    configure(patch) {
      settings = { ...settings, ...pickSettings(settingsPatchSchema.parse(patch)) };
      return settings;
    },
  };
}

/** The settings among the options, without those that were not given. */
function pickSettings(options: SandboxOptions | SettingsPatch): Partial<Settings> {
  const given = options as Record<string, unknown>;
  const names = Object.keys(settingsSchema.shape).filter((name) => given[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, given[name]]));
}
