/**
 * Proxies, as the environment's usual variables name them: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in
 * either case (the upper-case HTTP_PROXY is left alone inside CGI, as everybody does). @see RFC 9110 §9.3.6 for CONNECT
 */
import type net from 'node:net';
import { retry } from '../errors.js';

/** Which proxy to go through for an address; null = none. */
export type ProxyFor = (url: URL) => URL | null;

const TUNNEL_MS = 20_000;
const MAX_HEAD_BYTES = 16 * 1024;

/** @param environment usually process.env. Throws a TypeError for an address that is not one. */
export function proxyFromEnvironment(environment: Record<string, string | undefined>): ProxyFor {
  const read = (name: string) => environment[name] ?? environment[name.toUpperCase()] ?? '';
  const plain =
    environment['http_proxy'] ??
    (environment['REQUEST_METHOD'] ? '' : (environment['HTTP_PROXY'] ?? ''));
  const proxies = {
    'http:': toProxy(plain || read('all_proxy')),
    'https:': toProxy(read('https_proxy') || read('all_proxy')),
  };
  const exempt = read('no_proxy')
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map((entry) => entry.toLowerCase());
  return (url) => {
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return null;
    return exempt.some((entry) => matches(url, entry)) ? null : proxies[url.protocol];
  };
}

function toProxy(address: string): URL | null {
  if (address === '') return null;
  const text = address.includes('://') ? address : `http://${address}`;
  // The error of `new URL` carries the whole address, password included.
  if (!URL.canParse(text)) throw new TypeError('The address of a proxy is not a URL');
  const url = new URL(text);
  if (url.protocol !== 'http:') throw new TypeError(`A ${url.protocol}// proxy is not supported`);
  try {
    proxyFields(url);
  } catch {
    throw new TypeError('The user or password of a proxy has a % that encodes nothing');
  }
  return url;
}

/** `*`, a host, a host and port, or a domain with everything below it. */
function matches(url: URL, entry: string): boolean {
  if (entry === '*') return true;
  // An IPv6 address, which is no host with a port.
  if (/:.*:/.test(entry) && !entry.startsWith('[')) return url.hostname === `[${entry}]`;
  const [, name = '', port] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  const ownPort = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (port !== undefined && port !== ownPort) return false;
  return url.hostname === name || url.hostname.endsWith(`.${name}`);
}

/** Fields that a request through this proxy carries beside its own. */
export function proxyFields(proxy: URL): Record<string, string> {
  if (proxy.username === '') return {};
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(user).toString('base64')}` };
}

/** A connection through the proxy to the host of `url`, on which nothing has been said yet; made over `socket`. */
export function openTunnel(socket: net.Socket, url: URL, proxy: URL): Promise<net.Socket> {
  const host = `${url.hostname}:${url.port || 443}`;
  return new Promise((resolve, reject) => {
    const fields = Object.entries({ host, ...proxyFields(proxy) });
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    let head = Buffer.alloc(0);
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    const refuse = (why: string) => fail(retry('SourceUnavailable', `The proxy ${why}`));
    socket.setTimeout(TUNNEL_MS, () => refuse(`did not answer for ${TUNNEL_MS} ms`));
    socket.once('error', fail);
    socket.once('end', () => refuse('closed the connection'));
    socket.once('connect', () => socket.write(`CONNECT ${host} HTTP/1.1\r\n${lines}\r\n`));
    socket.on('data', function take(chunk) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return head.length > MAX_HEAD_BYTES ? refuse('talks too much') : undefined;
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(head.toString('latin1', 0, end))?.[1];
      if (status?.startsWith('2') !== true || head.length > end + 4)
        return refuse(`answered ${status ?? 'something else than HTTP'}`);
      socket.off('data', take).removeAllListeners('error').removeAllListeners('end');
      socket.setTimeout(0);
      resolve(socket);
    });
  });
}
