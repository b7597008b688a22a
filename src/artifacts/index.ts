/** What others may use of the artifact stores. */
export type { ArtifactStore, HeldProduct } from './artifact-store.js';
export { createLocalStore } from './local/local-store.js';
export type { LocalStore, LocalStoreOptions } from './local/local-store.js';
export { sanitiseFileName } from '../transfer/index.js';
