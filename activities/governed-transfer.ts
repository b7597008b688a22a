/** The engine's transfer under what this installation allows: room on the disk before the first byte, the account's connections, and a share of the bandwidth. */
import type { Transfer } from '../src/transfer/transfer.js';
import type { ActivityDependencies } from './index.js';

/**
 * As `transfer`, for one provider. A transfer that does not end well gives its room back: what it has on disk stays, and
 * the rest is asked for again when it goes on. One that does holds it until its directory is dropped.
 *
 * @throws also StorageFull, before anything is fetched
 */
export function governTransfer(
  {
    transfer,
    store,
    bandwidth,
    slots,
  }: Pick<ActivityDependencies, 'transfer' | 'store' | 'bandwidth' | 'slots'>,
  provider: string,
): Transfer {
  return async (source, options) => {
    const release = await store.reserve(options.directory, source.expectedBytes);
    try {
      const governed = { ...options, bandwidth: bandwidth(provider), slots: slots(provider) };
      return await transfer(source, governed);
    } catch (error) {
      await release().catch(() => undefined);
      throw error;
    }
  };
}
