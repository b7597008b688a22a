/**
 * Requests whose whole answers are small enough for memory: a catalogue's pages, a login. By the same connections, proxies and
 * strict reading as the files; the hosts are taken to be the operator's own, and redirects are answers like others.
 */
import { ServiceError } from '../../jobs/error-codes.js';
import { Retry } from '../errors.js';
import { ask } from './ask.js';
import { HttpClient } from './client.js';
import type { BodySink, Exchange, ExchangeLimits } from './exchange.js';
import type { Headers } from './headers.js';
import { assertAllowed } from './hosts.js';
import type { ProxyFor } from './proxy.js';

export interface SmallRequest {
  method: 'GET' | 'POST';
  url: string;
  headers: Record<string, string>;
  body?: string | undefined;
}

export interface SmallAnswer {
  status: number;
  headers: Headers;
  bytes: Buffer;
}

export type SmallLimits = Pick<ExchangeLimits, 'connectMs' | 'headersMs' | 'idleMs'> & {
  sizeBytes: number;
};

export interface Requester {
  /**
   * The answer, whatever its status, as it came: no encoding is asked for or undone.
   * @throws SourceUnavailable for what may pass, SourceRefused for an untrusted certificate, more than `sizeBytes` and an address
   * that is not http's, the signal's reason
   */
  send: (request: SmallRequest, limits: SmallLimits, signal: AbortSignal) => Promise<SmallAnswer>;
  /** What is under way, or asked for later, fails with Interrupted. */
  close: () => void;
}

const PIECE_BYTES = 64 * 1024;

export function createRequester(proxyFor: ProxyFor): Requester {
  const client = new HttpClient(proxyFor);
  const running = new Set<AbortController>();
  let isClosed = false;
  return {
    async send({ url: address, ...request }, { sizeBytes, ...limits }, given) {
      if (isClosed) throw closedError();
      if (!URL.canParse(address))
        throw new ServiceError('SourceRefused', 'The address to ask is not a URL');
      const url = new URL(address);
      const rules = { trustedHosts: [url.host], plainHttpHosts: [url.host] };
      assertAllowed(url, null, rules);
      const closing = new AbortController();
      const signal = AbortSignal.any([given, closing.signal]);
      running.add(closing);
      try {
        const exchange = await ask({
          ...request,
          url,
          rules,
          // A drip has time as long as its caller has.
          limits: { ...limits, floorBytesPerSecond: 0, floorMs: limits.idleMs },
          signal,
          client,
        });
        const bytes = await readWhole(exchange, sizeBytes, url.host);
        return { status: exchange.status, headers: exchange.headers, bytes };
      } catch (error) {
        signal.throwIfAborted();
        throw error instanceof Retry ? new ServiceError('SourceUnavailable', error.message) : error;
      } finally {
        running.delete(closing);
      }
    },
    close() {
      isClosed = true;
      for (const closing of running) closing.abort(closedError());
      client.close();
    },
  };
}

const closedError = () => new ServiceError('Interrupted', 'The connections were closed');

async function readWhole(exchange: Exchange, sizeBytes: number, host: string): Promise<Buffer> {
  const full: Buffer[] = [];
  let piece = Buffer.allocUnsafe(PIECE_BYTES);
  let fill = 0;
  const sink: BodySink = {
    space: () => piece.subarray(fill),
    filled(bytes) {
      fill += bytes;
      if (full.length * PIECE_BYTES + fill > sizeBytes)
        sink.onDrain(
          new ServiceError(
            'SourceRefused',
            `${host} sends more than ${sizeBytes} bytes where a short document is expected`,
          ),
        );
      if (fill === PIECE_BYTES) {
        full.push(piece);
        piece = Buffer.allocUnsafe(PIECE_BYTES);
        fill = 0;
      }
      return true;
    },
    onDrain: () => undefined,
  };
  await exchange.body(sink);
  return Buffer.concat([...full, piece.subarray(0, fill)]);
}
