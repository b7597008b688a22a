/** Starts the three servers of a sandbox. Addresses hold ports, so requests wait until all of them are known. */
import type { IncomingMessage, Server } from 'node:http';
import { realmPath } from '../identity/identity.routes.js';
import { TokenService } from '../identity/tokens.js';
import type { SandboxOptions } from '../options.js';
import type { Sandbox } from '../sandbox.js';
import type { World } from '../world.js';
import { createCatalogueRoute } from './catalogue.routes.js';
import { createControlServer } from './control.routes.js';
import { createDownloadRoute, tokenOf } from './download.routes.js';
import { createListener, listen, stop, type Route } from './server.js';

export interface RunningServers {
  baseUrl: string;
  downloadUrl: string;
  controlUrl: string;
  tokens: TokenService;
  close(): Promise<void>;
}

/** @throws Error when a port is taken; nothing is left listening then */
export async function startServers(
  world: World,
  options: SandboxOptions,
  sandbox: () => Sandbox,
): Promise<RunningServers> {
  let issuer = '';
  const tokens = await TokenService.create(() => issuer, world.settings);
  let open: (routes: Record<'catalogue' | 'download', Route>) => void = () => undefined;
  const routes = new Promise<Record<'catalogue' | 'download', Route>>(
    (resolve) => (open = resolve),
  );
  const listener = (name: 'catalogue' | 'download'): Server =>
    createListener({
      name,
      ledger: world.ledger,
      faults: world.faults,
      route: async (exchange) => (await routes)[name](exchange),
      bytesPerSecond: () => world.settings().bytesPerSecond,
      sessionOf: (request, url) => sessionOf(request, url, tokens),
    });
  const servers: [Server, Server, Server] = [
    listener('catalogue'),
    listener('download'),
    createControlServer(sandbox),
  ];
  const close = async (): Promise<void> => void (await Promise.all(servers.map(stop)));
  try {
    const addresses = await listenAll(servers, options);
    issuer = `${addresses.baseUrl}${realmPath}`;
    const deps = { ...world, ...addresses, tokens };
    open({ catalogue: createCatalogueRoute(deps), download: createDownloadRoute(deps) });
    return { ...addresses, tokens, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function listenAll(
  [catalogue, download, control]: [Server, Server, Server],
  { host = '127.0.0.1', ports = {}, requireSecondHost = true }: SandboxOptions,
): Promise<Pick<RunningServers, 'baseUrl' | 'downloadUrl' | 'controlUrl'>> {
  const shown = host === '0.0.0.0' ? '127.0.0.1' : host;
  const second = requireSecondHost && shown === '127.0.0.1' ? 'localhost' : shown;
  return {
    baseUrl: `http://${shown}:${await listen(catalogue, ports.catalogue ?? 0, host)}`,
    downloadUrl: `http://${second}:${await listen(download, ports.download ?? 0, host)}`,
    controlUrl: `http://127.0.0.1:${await listen(control, ports.control ?? 0, '127.0.0.1')}`,
  };
}

function sessionOf(request: IncomingMessage, url: URL, tokens: TokenService): string | null {
  const token = tokenOf(request.headers, url.searchParams);
  const verdict = token ? tokens.verify(token) : null;
  return verdict && 'session' in verdict ? verdict.session : null;
}
