/**
 * Which addresses a transfer may talk to. Hosts that the provider or the operator named are taken as they are; anywhere
 * else a redirect may lead only to https, by name, and to a public address. The address is checked where the connection
 * is made, so that a name which changes its mind between check and connect gains nothing.
 */
import { lookup as dnsLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { ServiceError } from '../../jobs/error-codes.js';
import { shownUrl } from '../errors.js';

export interface HostRules {
  trustedHosts: readonly string[];
  plainHttpHosts: readonly string[];
}

const privateAddresses = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  privateAddresses.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of [
  ['::', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const)
  privateAddresses.addSubnet(net, prefix, 'ipv6');

/** Loopback, private, link-local, shared, documentation and multicast ranges, also IPv4 inside IPv6. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return true;
  return privateAddresses.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

function isListed(url: URL, list: readonly string[]): boolean {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list.some((entry) => {
    const host = entry.toLowerCase();
    return host === url.host || host === url.hostname || host === `${url.hostname}:${port}`;
  });
}

/** May the provider's headers (the bearer token) go to this address? */
export function isTrusted(url: URL, rules: HostRules): boolean {
  return isListed(url, rules.trustedHosts);
}

/** Did the provider or the operator name it? */
export function isKnown(url: URL, rules: HostRules): boolean {
  return isTrusted(url, rules) || isListed(url, rules.plainHttpHosts);
}

/** Throws SourceRefused for an address that must not be asked. `from` is the page that redirected here, if any. */
export function assertAllowed(url: URL, from: URL | null, rules: HostRules): void {
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw refused(url, 'is neither http nor https');
  if (url.username !== '' || url.password !== '') throw refused(url, 'carries credentials');
  if (url.protocol === 'http:') {
    if (from?.protocol === 'https:') throw refused(url, 'would leave https');
    if (!isListed(url, rules.plainHttpHosts))
      throw refused(url, 'is plain http, which is not allowed for this host');
  }
  if (!isKnown(url, rules) && isIP(bareHost(url)) !== 0) throw refused(url, 'is a bare IP address');
}

/** The host name without the brackets of an IPv6 literal. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** A `lookup` for `net.connect` that yields no private address for a host that nobody named. */
export function lookupFor(url: URL, rules: HostRules): LookupFunction {
  const guarded = !isKnown(url, rules);
  return (hostname, options, callback) => {
    dnsLookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0);
      const allowed = guarded
        ? addresses.filter(({ address }) => !isPrivateAddress(address))
        : addresses;
      const [first] = allowed;
      if (!first) return callback(refused(url, 'leads to a private address'), '', 0);
      if (options.all) return callback(null, allowed);
      callback(null, first.address, first.family);
    });
  };
}

function refused(url: URL, why: string): ServiceError {
  return new ServiceError('SourceRefused', `${shownUrl(url)} ${why}`);
}
