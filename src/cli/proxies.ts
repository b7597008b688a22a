/** The proxies that the environment names, for everything that this process asks of providers. */
import { proxyFromEnvironment, type ProxyFor } from '../transfer/index.js';
import { CommandError, EXIT } from './exit-codes.js';
import { plain } from './output/text.js';

/** @throws CommandError (78) for an address that is not one */
export function readProxies(env: Record<string, string | undefined>): ProxyFor {
  try {
    return proxyFromEnvironment(env);
  } catch (error) {
    throw new CommandError(
      `A proxy of the environment cannot be used: ${plain((error as Error).message)}`,
      EXIT.config,
      'Correct http_proxy, https_proxy or all_proxy',
    );
  }
}
