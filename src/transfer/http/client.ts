/**
 * Connections that are kept after an answer and used again for the next request to the same place. A kept connection that
 * the server has closed meanwhile is replaced without a word.
 */
import { Connection } from './connection.js';
import { isKnown, type HostRules } from './hosts.js';
import type { ProxyFor } from './proxy.js';

const KEEP_MS = 10_000;
/** Kept for one place; the account's slots keep the number of busy ones lower still. */
const MOST_KEPT = 16;

interface Kept {
  connection: Connection;
  timer: NodeJS.Timeout;
}

export class HttpClient {
  readonly #kept = new Map<string, Kept[]>();
  #isClosed = false;

  constructor(readonly proxyFor: ProxyFor) {}

  /** A connection on which nothing is under way. `fresh` = not a kept one, but in the place of one: they are counted. */
  connect(url: URL, rules: HostRules, fresh: boolean): Connection {
    const kept = this.#kept.get(placeOf(url, rules)) ?? [];
    while (kept.length > 0) {
      const { connection, timer } = kept.pop()!;
      clearTimeout(timer);
      if (connection.isDestroyed) continue;
      if (fresh) {
        connection.destroy();
        break;
      }
      connection.holdsProcess(true);
      return connection;
    }
    return new Connection({ url, rules, proxy: this.proxyFor(url) });
  }

  /** Takes a connection back whose answer came whole, with nothing behind it. */
  keep(connection: Connection): void {
    const place = placeOf(connection.options.url, connection.options.rules);
    const kept = this.#kept.get(place) ?? [];
    if (this.#isClosed || connection.isDestroyed || kept.length >= MOST_KEPT)
      return connection.destroy();
    const drop = () => {
      connection.destroy();
      const at = kept.findIndex((entry) => entry.connection === connection);
      if (at >= 0) clearTimeout(kept.splice(at, 1)[0]?.timer);
    };
    // Whatever a server says unasked makes its connection worthless.
    const scratch = Buffer.alloc(4096);
    connection.use({
      space: () => scratch,
      read: () => {
        drop();
        return false;
      },
      ended: drop,
      failed: drop,
    });
    kept.push({ connection, timer: setTimeout(drop, KEEP_MS).unref() });
    this.#kept.set(place, kept);
    connection.holdsProcess(false);
    connection.resume();
  }

  /** Those that are kept for this place are closed. */
  forget(url: URL, rules: HostRules): void {
    destroyAll(this.#kept.get(placeOf(url, rules)));
  }

  close(): void {
    this.#isClosed = true;
    for (const kept of this.#kept.values()) destroyAll(kept);
  }
}

function destroyAll(kept: Kept[] = []): void {
  for (const { connection, timer } of kept.splice(0)) {
    clearTimeout(timer);
    connection.destroy();
  }
}

/** A host that somebody named may have a private address; a connection to it is not for those who did not. */
function placeOf(url: URL, rules: HostRules): string {
  return `${url.origin} ${isKnown(url, rules)}`;
}
