/** How the bytes of a product are fetched: address, token, who may see it, and what the download host's refusals mean. */
import type { Product } from '../../jobs/product.js';
import type { TransferSource } from '../../transfer/transfer.js';
import type { FileRoute } from '../provider.js';
import type { Clock } from './clock.js';
import { downloadError, offlineError } from './errors.js';
import type { Http } from './http.js';
import { listNodes } from './node-listing.js';
import { nodeUrl, valueUrl } from './odata-query.js';
import { PROVIDER_ID } from './product-mapping.js';
import type { TokenKeeper } from './token-keeper.js';

export interface DownloadSourceSettings {
  baseUrl: string;
  downloadUrl: string;
  http: Http;
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

/** Through Nodes, each file under its own address; else as a stretch of the zip. @throws SourceOffline */
export function createFileRoutes(product: Product, settings: DownloadSourceSettings): FileRoute[] {
  const whole = createDownloadSource(product, settings);
  let folder = product.name;
  return [
    {
      kind: 'listing',
      async list(signal) {
        const listing = await listNodes(product, settings, signal);
        folder = listing?.folder ?? folder;
        return listing?.files ?? null;
      },
      source: ({ path, bytes }) => {
        const names = path.split('/');
        return {
          ...whole,
          key: `${PROVIDER_ID}/${product.id}/Nodes/${path}`,
          url: nodeUrl(settings.downloadUrl, product.id, [folder, ...names], '$value'),
          expectedBytes: bytes,
          checksums: [],
          fallbackName: names.at(-1)!,
        };
      },
    },
    { kind: 'archive', source: whole },
  ];
}
