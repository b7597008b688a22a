/**
 * Small stretches of a remote file in memory, by range: what is needed to find one's way in a remote archive, and small
 * files as a whole. As strict as a transfer: same hosts, same reading of answers, nothing taken from a server that
 * contradicts itself. Memory is what is asked for, at most `LONGEST_READ` at once.
 */
import { ServiceError } from '../jobs/error-codes.js';
import { readErrorAnswer, refuseEncoding, toRetry } from './answer.js';
import { askHeaders } from './ask-headers.js';
import { cancelledError, retry } from './errors.js';
import { HttpClient } from './http/client.js';
import type { BodySink, Exchange } from './http/exchange.js';
import { parseContentRange, strongEtag, type ContentRange } from './http/headers.js';
import { open, type Opened } from './http/open.js';
import type { ProxyFor } from './http/proxy.js';
import { backoffMs, DEFAULT_BACKOFF, DEFAULT_LIMITS, MAX_ERROR_BODY_BYTES } from './limits.js';
import { pause } from './pause.js';
import type { ConnectionSlots } from './slots.js';
import type { TransferLimits, TransferSource } from './transfer.js';

export const LONGEST_READ = 16 * 1024 * 1024;
/** Enough for every signature. */
const FIRST_BYTES = 512;
/** Answers kept, the newest first: directories are looked through in steps that overlap. */
const KEPT_ANSWERS = 4;
const KEPT_BYTES = 1024 * 1024;

export interface RemoteOptions {
  signal: AbortSignal;
  /** The account's connections: one is taken for each request. */
  slots?: ConnectionSlots;
  /** Which proxy to go through; see `proxyFromEnvironment`. Default: none. */
  proxyFor?: ProxyFor;
  limits?: Partial<TransferLimits>;
}

export interface RemoteReader {
  /** Of the whole remote file, as the server states it. */
  readonly bytes: number;
  /** The first few bytes. */
  readonly first: Buffer;
  /** Body bytes taken from the wire so far. */
  readonly bytesFetched: number;
  /**
   * Exactly these bytes; the stretch lies inside the file.
   * @throws SourceChanged when the file is another one by now; SourceRefused for more than LONGEST_READ; as a transfer else
   */
  read(position: number, length: number): Promise<Buffer>;
}

type RemoteSource = Pick<
  TransferSource,
  'url' | 'headers' | 'rejected' | 'trustedHosts' | 'plainHttpHosts' | 'translate'
>;

/** @throws SourceRefused where ranges are not served; as a transfer else */
export async function openRemote(
  source: RemoteSource,
  options: RemoteOptions,
): Promise<RemoteReader> {
  const asker = new Asker(source, options);
  const { range, etag, body } = await asker.ask(0, FIRST_BYTES, true);
  const bytes = range.total;
  if (bytes === null)
    throw new ServiceError('SourceRefused', 'The server does not say how long the file is');
  const kept = [{ start: 0, body }];
  const keep = (start: number, fetched: Buffer): void => {
    if (fetched.length > KEPT_BYTES) return;
    kept.unshift({ start, body: fetched });
    kept.splice(KEPT_ANSWERS);
  };
  return {
    bytes,
    first: body,
    get bytesFetched() {
      return asker.bytesFetched;
    },
    async read(position, length) {
      if (length === 0) return Buffer.alloc(0);
      if (length > LONGEST_READ || position < 0 || position + length > bytes)
        throw new ServiceError(
          'SourceRefused',
          `${length} bytes from ${position} on are asked of a file of ${bytes} bytes, ${LONGEST_READ} at most`,
        );
      const known = kept.find(
        ({ start, body: part }) => position >= start && position + length <= start + part.length,
      );
      if (known)
        return known.body.subarray(position - known.start, position - known.start + length);
      const answer = await asker.ask(position, length);
      if (answer.range.total !== null && answer.range.total !== bytes)
        throw new ServiceError('SourceChanged', 'The file changed: its size is another one now');
      if (etag !== null && answer.etag !== null && etag !== answer.etag)
        throw new ServiceError('SourceChanged', 'The file changed: its ETag is another one now');
      keep(position, answer.body);
      return answer.body;
    },
  };
}

/**
 * The whole of a small file, and how much came over the wire for it.
 * @throws SourceRefused when it is longer than `mostBytes`; as a transfer else
 */
export async function readRemote(
  source: RemoteSource,
  mostBytes: number,
  options: RemoteOptions,
): Promise<{ content: Buffer; bytesFetched: number }> {
  const asker = new Asker(source, options);
  try {
    return { content: await asker.whole(mostBytes), bytesFetched: asker.bytesFetched };
  } finally {
    asker.close();
  }
}

interface RangeAnswer {
  range: ContentRange;
  etag: string | null;
  body: Buffer;
}

/** No digest will tell what an encoding has made of it. */
const UNPROVEN = { hasDigests: false, expectedBytes: null };

class Asker {
  bytesFetched = 0;
  readonly #limits: TransferLimits;
  readonly #client: HttpClient;

  constructor(
    readonly source: RemoteSource,
    readonly options: RemoteOptions,
  ) {
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#client = new HttpClient(options.proxyFor ?? (() => null));
  }

  /** @param mayBeShort fewer bytes will do where the file ends before */
  ask(position: number, length: number, mayBeShort = false): Promise<RangeAnswer> {
    const headers = { range: `bytes=${position}-${position + length - 1}` };
    return this.#untilGood(headers, async (exchange) => {
      if (exchange.status !== 206) {
        const why = exchange.status === 416 ? 'has no such range' : 'does not serve ranges';
        throw new ServiceError('SourceRefused', `The server ${why}: one file cannot be had alone`);
      }
      refuseEncoding(exchange.headers, null, UNPROVEN);
      const range = parseContentRange(exchange.headers['content-range']);
      const end = position + length;
      const isShort = mayBeShort && range !== null && range.end === range.total && range.end < end;
      if (range?.start !== position || (range.end !== end && !isShort))
        throw retry('SourceRefused', `Asked for ${length} bytes from ${position} on, got others`);
      const wanted = range.end - range.start;
      if (exchange.framing.kind === 'length' && exchange.framing.bytes !== wanted)
        throw retry('SourceRefused', 'Content-Length and Content-Range contradict each other');
      const body = await this.#body(exchange, wanted);
      if (body.length !== wanted)
        throw retry('SourceUnavailable', `${body.length} of ${wanted} bytes came`);
      return { range, etag: strongEtag(exchange.headers), body };
    });
  }

  whole(mostBytes: number): Promise<Buffer> {
    return this.#untilGood({}, async (exchange) => {
      if (exchange.status !== 200)
        throw new ServiceError('SourceRefused', `The server answered ${exchange.status}`);
      refuseEncoding(exchange.headers, null, UNPROVEN);
      const { framing } = exchange;
      const announced = framing.kind === 'length' ? framing.bytes : null;
      const tooLong = (bytes: number): ServiceError =>
        new ServiceError(
          'SourceRefused',
          `The server sends ${bytes} bytes or more where at most ${mostBytes} are expected`,
        );
      if (announced !== null && announced > mostBytes) throw tooLong(announced);
      if (announced === 0) throw retry('SourceUnavailable', 'The server sent an empty file');
      const body = await this.#body(exchange, announced ?? mostBytes + 1);
      if (body.length > mostBytes) throw tooLong(body.length);
      return body;
    });
  }

  close(): void {
    this.#client.close();
  }

  /** Retries as patiently as a transfer does that gets nowhere. */
  async #untilGood<T>(
    headers: Record<string, string>,
    read: (exchange: Exchange) => Promise<T>,
  ): Promise<T> {
    const { signal } = this.options;
    let wasDenied = false;
    for (let failures = 1; ; failures++) {
      const slot = await this.options.slots?.take(signal);
      try {
        signal.throwIfAborted();
        const trustedHeaders = await askHeaders(this.source, signal);
        const opened = await this.#open(headers, trustedHeaders);
        try {
          if (![200, 206, 416].includes(opened.exchange.status))
            await this.#refuse(opened, trustedHeaders, wasDenied);
          return await read(opened.exchange);
        } finally {
          wasDenied = opened.exchange.status === 401;
          opened.exchange.close();
        }
      } catch (error) {
        // Nobody waits for it while this pauses.
        slot?.release();
        if (signal.aborted) throw cancelledError(signal);
        const again = toRetry(error);
        if (failures >= this.#limits.triesWithoutProgress) throw again.error;
        await pause(again.options.waitMs ?? backoffMs(failures, DEFAULT_BACKOFF), signal);
      } finally {
        slot?.release();
      }
    }
  }

  #open(headers: Record<string, string>, trustedHeaders: Record<string, string>): Promise<Opened> {
    return open({
      url: this.source.url,
      rules: this.source,
      headers: { accept: '*/*', 'accept-encoding': 'identity', ...headers },
      trustedHeaders,
      limits: this.#limits,
      signal: this.options.signal,
      client: this.#client,
    });
  }

  /** An answer without data: always throws. */
  async #refuse(
    { exchange, trusted }: Opened,
    sent: Record<string, string>,
    wasDenied: boolean,
  ): Promise<never> {
    const { status, headers } = exchange;
    if (status === 401 && trusted && !wasDenied) {
      this.source.rejected(sent);
      throw retry('SourceDenied', 'The server no longer accepts the token', { waitMs: 0 });
    }
    const body = await exchange.text(MAX_ERROR_BODY_BYTES);
    throw (
      this.source.translate({ status, headers: { ...headers }, body }) ??
      readErrorAnswer(status, headers)
    );
  }

  /** What comes, `most` bytes of it at the most. */
  async #body(exchange: Exchange, most: number): Promise<Buffer> {
    const memory = Buffer.alloc(most);
    const spare = Buffer.alloc(16 * 1024);
    let fill = 0;
    const sink: BodySink = {
      space: () => (fill < most ? memory.subarray(fill) : spare),
      filled: (bytes) => {
        fill = Math.min(most, fill + bytes);
        if (fill === most && exchange.framing.kind !== 'length') exchange.close();
        return true;
      },
      onDrain: () => undefined,
    };
    try {
      await exchange.body(sink);
    } catch (error) {
      if (fill < most) throw error;
    } finally {
      this.bytesFetched += exchange.received;
    }
    return memory.subarray(0, fill);
  }
}
