/** The way to each host: straight, or through the proxy that the environment names for it. */
import { Agent, Pool, ProxyAgent, type Dispatcher } from 'undici';
import { proxyFields, type ProxyFor } from '../../transfer/index.js';

export interface Route {
  dispatcher: Dispatcher;
  /** Host and port of the proxy; null = straight. */
  proxy: string | null;
}

export interface Routes {
  to(url: string): Route;
  /** Ends what is under way. */
  close(): Promise<void>;
}

const KEEP_MS = 10_000;
/** Node gives each address of a host 250 ms: less than a satellite link needs. */
const ADDRESS_MS = 1_000;

/** @param connectMs for a connection, and for a proxy's answer about one */
export function createRoutes(proxyFor: ProxyFor, connectMs: number): Routes {
  const connect = {
    timeout: connectMs,
    autoSelectFamilyAttemptTimeout: ADDRESS_MS,
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    rejectUnauthorized: true,
  };
  const straight = new Agent({ connect, keepAliveTimeout: KEEP_MS });
  const proxied = new Map<string, ProxyAgent>();

  function through(proxy: URL): ProxyAgent {
    const known = proxied.get(proxy.href);
    if (known) return known;
    const token = proxyFields(proxy)['proxy-authorization'];
    const agent = new ProxyAgent({
      uri: proxy.origin,
      ...(token !== undefined && { token }),
      proxyTunnel: false,
      proxyTls: connect,
      requestTls: connect,
      clientFactory: (origin, options) =>
        new Pool(origin, { ...options, headersTimeout: connectMs }),
      keepAliveTimeout: KEEP_MS,
    });
    proxied.set(proxy.href, agent);
    return agent;
  }

  return {
    to(url) {
      const proxy = proxyFor(new URL(url));
      if (proxy === null) return { dispatcher: straight, proxy };
      return { dispatcher: through(proxy), proxy: proxy.host };
    },
    async close() {
      await Promise.all([straight, ...proxied.values()].map((agent) => agent.destroy()));
    },
  };
}
