/**
 * Opens a URL, following redirects by hand: the provider's headers go to trusted hosts and nowhere else, https is never
 * left, strangers must be public, and a loop ends.
 */
import { isUtf8 } from 'node:buffer';
import { ServiceError } from '../../jobs/error-codes.js';
import { MAX_REDIRECTS } from '../limits.js';
import { shownUrl } from '../errors.js';
import type { TransferLimits } from '../transfer.js';
import { ask } from './ask.js';
import type { HttpClient } from './client.js';
import type { Exchange } from './exchange.js';
import { assertAllowed, isTrusted, type HostRules } from './hosts.js';

/** Some lead back to where they were asked, and answer there then. */
const MOST_TIMES = 2;

export interface OpenOptions {
  url: string;
  rules: HostRules;
  /** Range, If-Range and the like: go everywhere. */
  headers: Record<string, string>;
  /** Token and custom headers: go to trusted hosts. */
  trustedHeaders: Record<string, string>;
  limits: TransferLimits;
  signal: AbortSignal;
  client: HttpClient;
  /** Over a connection on which nothing has come before. */
  fresh?: boolean;
}

export interface Opened {
  exchange: Exchange;
  /** The address that answered, after all redirects. */
  url: string;
  /** Did the answering host get the trusted headers? */
  trusted: boolean;
}

/** The first answer that is not a redirect; its body is unread. Throws Retry, SourceRefused or the abort's reason. */
export async function open(options: OpenOptions): Promise<Opened> {
  const seen = new Map<string, number>();
  let url = parse(options.url, undefined);
  let from: URL | null = null;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    assertAllowed(url, from, options.rules);
    const times = (seen.get(url.href) ?? 0) + 1;
    if (times > MOST_TIMES) throw refused(`${shownUrl(url)} redirects in a circle`);
    seen.set(url.href, times);
    const trusted = isTrusted(url, options.rules);
    const { rules, limits, signal, client, fresh = false } = options;
    const headers = {
      'user-agent': 'nimbus',
      ...(trusted ? options.trustedHeaders : {}),
      ...options.headers,
    };
    const exchange = await ask({ url, headers, rules, limits, signal, client, fresh });
    const location = isRedirect(exchange.status) ? exchange.headers.location : undefined;
    if (location === undefined) return { exchange, trusted, url: url.href };
    exchange.close();
    from = url;
    url = parse(fromUtf8(location), url);
  }
  throw refused(`More than ${MAX_REDIRECTS} redirects`);
}

/** Headers are read a byte for each character, and some servers write addresses in UTF-8. */
function fromUtf8(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : value;
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

function parse(address: string, base: URL | undefined): URL {
  try {
    const url = new URL(address, base);
    url.hash = '';
    return url;
  } catch {
    throw refused('The address of the download is not a URL');
  }
}

function refused(message: string): ServiceError {
  return new ServiceError('SourceRefused', message);
}
