/** How the bytes of a product are fetched: address, token, who may see it, and what the download host's refusals mean. */
import type { Product } from '../../jobs/product.js';
import type { TransferSource } from '../../transfer/transfer.js';
import type { Clock } from './clock.js';
import { downloadError, offlineError } from './errors.js';
import { valueUrl } from './odata-query.js';
import { PROVIDER_ID } from './product-mapping.js';
import type { TokenKeeper } from './token-keeper.js';

export interface DownloadSourceSettings {
  baseUrl: string;
  downloadUrl: string;
  tokens: TokenKeeper;
  clock: Clock;
}

/** `.SAFE` and `.SEN3` are folders: they come as a zip made on the fly. Everything else comes as the file that its name says. */
const fallbackName = (name: string): string =>
  /\.(SAFE|SEN3)$/i.test(name) ? `${name}.zip` : name;

/** Always with the port: a name alone would stand for every port of the host. */
function hostsOf(addresses: string[]): string[] {
  const hosts = addresses.map((address) => {
    const url = new URL(address);
    return `${url.hostname}:${url.port || (url.protocol === 'http:' ? '80' : '443')}`;
  });
  return [...new Set(hosts)];
}

/** @throws SourceOffline with what the user can do */
export function createDownloadSource(
  product: Product,
  settings: DownloadSourceSettings,
): TransferSource {
  if (!product.online) throw offlineError(product.name);
  const configured = [settings.downloadUrl, settings.baseUrl];
  const { host } = new URL(settings.downloadUrl);
  return {
    key: `${PROVIDER_ID}/${product.id}/$value`,
    url: valueUrl(settings.downloadUrl, product.id),
    async headers(signal) {
      return { authorization: `Bearer ${await settings.tokens.token(signal)}` };
    },
    rejected(headers) {
      settings.tokens.rejected((headers['authorization'] ?? '').replace(/^Bearer /, ''));
    },
    trustedHosts: hostsOf(configured),
    plainHttpHosts: hostsOf(configured.filter((address) => address.startsWith('http:'))),
    expectedBytes: product.bytes,
    checksums: product.checksums,
    fallbackName: fallbackName(product.name),
    translate: (answer) => downloadError(answer, product.name, host, settings.clock.wallMs()),
  };
}
