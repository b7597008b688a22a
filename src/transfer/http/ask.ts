import { Exchange, type ExchangeOptions } from './exchange.js';

/**
 * The exchange once its head has come. A kept connection may have been closed by the server at the very moment of asking:
 * then once more, on a fresh one; a POST, too, which may have been heard then.
 */
export async function ask(options: ExchangeOptions): Promise<Exchange> {
  const exchange = new Exchange(options);
  try {
    await exchange.head();
    return exchange;
  } catch (error) {
    if (!exchange.isStale || options.signal.aborted) throw error;
    const second = new Exchange({ ...options, fresh: true });
    await second.head();
    return second;
  }
}
