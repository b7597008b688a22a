/** What others may use of the transfer engine. */
export { createTransferEngine } from './engine.js';
export type { TransferEngine, TransferEngineOptions } from './engine.js';
export { errnoOf, stored, toStoreError } from './errors.js';
export { createHashPool, hashFile } from './hash-pool.js';
export type { HashPool } from './hash-pool.js';
export { sanitiseFileName } from './file-name.js';
export { retryAfterSeconds } from './http/headers.js';
export { proxyFromEnvironment, type ProxyFor } from './http/proxy.js';
export { createRequester, type Requester } from './http/requester.js';
export { unlessAborted } from './unless-aborted.js';
export { createConnectionSlots, type ConnectionSlots } from './slots.js';
export type { Bandwidth } from './bandwidth.js';
export type {
  Transfer,
  TransferLimits,
  TransferNote,
  TransferOptions,
  TransferResult,
  TransferSource,
} from './transfer.js';
