/** What others may use of the artifact stores. */
export type { ArtifactStore, HeldProduct } from './artifact-store.js';
export { createLocalStore } from './local/local-store.js';
export type { LocalStore, LocalStoreOptions } from './local/local-store.js';
export { createS3Store } from './s3/s3-store.js';
export type { S3Store, S3StoreOptions } from './s3/s3-store.js';
export { sanitiseFileName } from '../transfer/index.js';
