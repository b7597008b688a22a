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
   * @throws SourceUnavailable for what may pass, SourceRefused for an untrusted certificate and for more than `sizeBytes`, the
   * signal's reason
   */
  send: (request: SmallRequest, limits: SmallLimits, signal: AbortSignal) => Promise<SmallAnswer>;
  /** What is under way fails with Interrupted. */
  close: () => void;
}

const PIECE_BYTES = 64 * 1024;

export function createRequester(proxyFor: ProxyFor): Requester {
  const client = new HttpClient(proxyFor);
  const running = new Set<AbortController>();
  return {
    async send({ url: address, ...request }, { sizeBytes, ...limits }, given) {
      const url = new URL(address);
      const closing = new AbortController();
      const signal = AbortSignal.any([given, closing.signal]);
      running.add(closing);
      try {
        const exchange = await ask({
          ...request,
          url,
          rules: { trustedHosts: [url.host], plainHttpHosts: [url.host] },
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
      const reason = new ServiceError('Interrupted', 'The connections were closed');
      for (const closing of running) closing.abort(reason);
      client.close();
    },
  };
}

async function readWhole(exchange: Exchange, sizeBytes: number, host: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let free: Buffer = Buffer.alloc(0);
  let size = 0;
  const sink: BodySink = {
    space: () => (free.length > 0 ? free : (free = Buffer.allocUnsafe(PIECE_BYTES))),
    filled(bytes) {
      pieces.push(free.subarray(0, bytes));
      free = free.subarray(bytes);
      size += bytes;
      if (size > sizeBytes)
        sink.onDrain(
          new ServiceError(
            'SourceRefused',
            `${host} sends more than ${sizeBytes} bytes where a short document is expected`,
          ),
        );
      return true;
    },
    onDrain: () => undefined,
  };
  await exchange.body(sink);
  return Buffer.concat(pieces, size);
}
