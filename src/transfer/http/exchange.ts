/**
 * One request and its answer over a connection. Connect, head, silence and slowness have limits of their own; time in which
 * our own disk holds us up does not count against the server.
 */
import { ServiceError } from '../../jobs/error-codes.js';
import { cancelledError, retry, type Retry } from '../errors.js';
import { MAX_HEAD_BYTES } from '../limits.js';
import type { TransferLimits } from '../transfer.js';
import { ChunkedDecoder } from './chunked.js';
import type { HttpClient } from './client.js';
import type { Connection, ConnectionUser } from './connection.js';
import {
  framingOf,
  mayBeginHead,
  notHttp,
  parseHead,
  type Framing,
  type Head,
  type Headers,
} from './headers.js';
import type { HostRules } from './hosts.js';
import { proxyFields } from './proxy.js';

/** Where a body goes. */
export interface BodySink {
  /** Free memory for the next read, never empty. */
  space: () => Buffer;
  /** `bytes` have landed at the start of what `space()` gave last. False = wait for `onDrain` before reading on. */
  filled: (bytes: number) => boolean;
  /** Set by the exchange: read on, or give up because of this failure. */
  onDrain: (failure?: unknown) => void;
}

export type ExchangeLimits = Pick<
  TransferLimits,
  'connectMs' | 'headersMs' | 'idleMs' | 'floorBytesPerSecond' | 'floorMs'
>;

export interface ExchangeOptions {
  /** Default: GET. */
  method?: 'GET' | 'POST';
  url: URL;
  headers: Record<string, string>;
  /** Of a POST. */
  body?: string | undefined;
  rules: HostRules;
  limits: ExchangeLimits;
  signal: AbortSignal;
  client: HttpClient;
  /** Do not use a kept connection. */
  fresh?: boolean;
}

/** How a body ended: by its own framing, and whether the server sent more than it had announced. */
export interface BodyEnd {
  bytes: number;
  excess: boolean;
}

const SCRATCH_BYTES = 64 * 1024;
const LINGER_MS = 250;
const MAX_FIRST_LINE_BYTES = 1024;

export class Exchange implements ConnectionUser {
  status = 0;
  headers: Headers = {};
  framing: Framing = { kind: 'close' };
  /** Body bytes taken from the wire so far. */
  received = 0;
  /** From the request to the first byte of the answer. */
  firstByteMs = 0;

  readonly #connection: Connection;
  readonly #options: ExchangeOptions;
  #scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
  #scratchFill = 0;
  /** Of heads that were not the last one. */
  #interimBytes = 0;
  #phase: 'connect' | 'head' | 'paused' | 'body' | 'lingering' | 'over' = 'connect';
  #sentAtMs = 0;
  #head: Head | null = null;
  #sink: BodySink | null = null;
  #chunked: ChunkedDecoder | null = null;
  /** Was the memory handed out for the read under way the sink's own? */
  #intoSink = false;
  #lingers = false;
  #excess = false;
  #held = false;
  #timer: NodeJS.Timeout | undefined;
  #floorTimer: NodeJS.Timeout | undefined;
  #settle: { resolve: () => void; reject: (error: unknown) => void } | null = null;
  #failure: Error | undefined;
  /** By the server or on the way to it. */
  #isBroken = false;
  readonly #onAbort = () => this.#fail(cancelledError(this.#options.signal));

  constructor(options: ExchangeOptions) {
    this.#options = options;
    const { url, rules, client, signal, fresh = false } = options;
    this.#connection = client.connect(url, rules, fresh);
    this.#connection.use(this);
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
    else void this.#connection.ready.then(() => this.#guarded(() => this.#send()));
  }

  /** Had an earlier answer come over the connection? */
  get isReused(): boolean {
    return this.#connection.served > 0;
  }

  /** A connection that was kept broke before anything came of this answer: then try a fresh one. */
  get isStale(): boolean {
    const hasBegun = this.#head !== null || this.#scratchFill > 0 || this.#interimBytes > 0;
    return this.isReused && this.#isBroken && !hasBegun;
  }

  /** Sends the request and waits for the head of the final answer. */
  async head(): Promise<void> {
    this.#limit(this.#options.limits.connectMs, 'did not accept the connection');
    await this.#settled();
  }

  /**
   * Streams the body into the sink; resolves when the framing says that it is whole. With `lingers` it then waits a moment
   * for the server to close, to see whether more comes than was announced.
   */
  async body(sink: BodySink, lingers = false): Promise<BodyEnd> {
    if (this.#phase === 'over') throw this.#failure ?? new Error('over');
    this.#sink = sink;
    this.#lingers = lingers;
    sink.onDrain = (failure) => (failure === undefined ? this.#drained() : this.#fail(failure));
    if (this.framing.kind === 'chunked') this.#chunked = new ChunkedDecoder();
    this.#phase = 'body';
    this.#limit(this.#options.limits.idleMs, 'fell silent');
    this.#watchFloor();
    const settled = this.#settled();
    const early = this.#scratch.subarray(0, this.#scratchFill);
    this.#scratchFill = 0;
    const more = this.#guarded(() => this.#take(early));
    if (more) this.#connection.resume();
    await settled;
    return { bytes: this.received, excess: this.#excess };
  }

  /** At most `limit` bytes of the body as text; what is cut or late is left out. */
  async text(limit: number): Promise<string> {
    const memory = Buffer.alloc(limit);
    const spare = Buffer.alloc(4096);
    let fill = 0;
    const sink: BodySink = {
      space: () => (fill < limit ? memory.subarray(fill) : spare),
      filled: (bytes) => {
        fill = Math.min(limit, fill + bytes);
        if (fill === limit) this.close();
        return true;
      },
      onDrain: () => undefined,
    };
    await this.body(sink).catch((error: unknown) => {
      if (this.#options.signal.aborted) throw error;
    });
    return memory.toString('utf8', 0, fill);
  }

  /** Gives the connection up. Harmless when it is over already. */
  close(): void {
    if (this.#phase !== 'over') this.#fail(retry('SourceUnavailable', 'The connection was closed'));
  }

  #settled(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#settle = { resolve, reject };
    });
  }

  #send(): boolean {
    if (this.#phase !== 'connect') return false;
    const { method = 'GET', url, headers, body = '', limits } = this.#options;
    const { proxy } = this.#connection.options;
    const isForwarded = proxy !== null && url.protocol === 'http:';
    const fields = {
      host: url.host,
      ...headers,
      ...(method === 'POST' && { 'content-length': String(Buffer.byteLength(body)) }),
      ...(isForwarded && proxyFields(proxy)),
    };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${clean(value)}\r\n`);
    const path = `${url.pathname}${url.search}`;
    this.#phase = 'head';
    this.#sentAtMs = performance.now();
    this.#limit(limits.headersMs, 'did not answer');
    const target = `${isForwarded ? url.origin : ''}${path}`;
    const head = `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
    this.#connection.write(Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]));
    this.#connection.resume();
    return true;
  }

  space(): Buffer {
    this.#intoSink = this.#phase === 'body' && this.#sink !== null && this.#chunked === null;
    if (this.#intoSink) return this.#sink!.space();
    const free = this.#scratch.subarray(this.#phase === 'body' ? 0 : this.#scratchFill);
    return free.length > 0 ? free : Buffer.alloc(1);
  }

  read(bytes: number, memory: Uint8Array): boolean {
    return this.#guarded(() => {
      if (this.#phase === 'head') return this.#readHead(bytes);
      if (this.#phase === 'lingering') return this.#finishBody(bytes);
      if (this.#phase !== 'body') return false;
      this.#timer?.refresh();
      if (this.#intoSink) return this.#landed(bytes);
      return this.#take(Buffer.from(memory.buffer, memory.byteOffset, bytes));
    });
  }

  #readHead(bytes: number): boolean {
    this.#scratchFill += bytes;
    this.firstByteMs ||= performance.now() - this.#sentAtMs;
    for (;;) {
      const end = this.#scratch.subarray(0, this.#scratchFill).indexOf('\r\n\r\n');
      if (end < 0) {
        if (this.#scratchFill >= MAX_HEAD_BYTES)
          throw refusedHead('The answer has too many headers');
        const begun = Math.min(this.#scratchFill, MAX_FIRST_LINE_BYTES);
        if (!mayBeginHead(this.#scratch.toString('latin1', 0, begun))) throw notHttp();
        return true;
      }
      const head = parseHead(this.#scratch.toString('latin1', 0, end));
      this.#scratch.copyWithin(0, end + 4, this.#scratchFill);
      this.#scratchFill -= end + 4;
      if (head.status < 200) {
        this.#interimBytes += end + 4;
        if (this.#interimBytes > MAX_HEAD_BYTES)
          throw refusedHead('The answer is announced without end');
        continue;
      }
      this.#head = head;
      this.status = head.status;
      this.headers = head.headers;
      this.framing = framingOf(head);
      this.#phase = 'paused';
      this.#clearTimers();
      this.#done();
      return false;
    }
  }

  /** Bytes that arrived outside the sink's memory. */
  #take(chunk: Buffer): boolean {
    let open = true;
    const copy = (part: Buffer) => {
      for (let at = 0; at < part.length;) {
        const copied = part.copy(this.#sink!.space(), 0, at);
        at += copied;
        this.received += copied;
        open = this.#sink!.filled(copied) && open;
      }
    };
    if (this.#chunked) {
      const used = this.#chunked.decode(chunk, copy);
      if (this.#chunked.done) return this.#finishBody(chunk.length - used);
    } else if (this.framing.kind === 'length') {
      const wanted = this.framing.bytes - this.received;
      copy(chunk.subarray(0, wanted));
      if (chunk.length >= wanted) return this.#finishBody(chunk.length - wanted);
    } else {
      copy(chunk);
    }
    return this.#mayReadOn(open);
  }

  /** Bytes that arrived in the sink's own memory. */
  #landed(bytes: number): boolean {
    const wanted =
      this.framing.kind === 'length' ? this.framing.bytes - this.received : Number.MAX_SAFE_INTEGER;
    const kept = Math.min(bytes, wanted);
    this.received += kept;
    const open = this.#sink!.filled(kept);
    if (bytes >= wanted) return this.#finishBody(bytes - wanted);
    return this.#mayReadOn(open);
  }

  #mayReadOn(open: boolean): boolean {
    if (open) return true;
    this.#held = true;
    this.#clearTimers();
    return false;
  }

  #drained(): void {
    if (!this.#held || this.#phase !== 'body') return;
    this.#held = false;
    this.#limit(this.#options.limits.idleMs, 'fell silent');
    this.#watchFloor();
    this.#connection.resume();
  }

  #finishBody(excessBytes: number): boolean {
    this.#excess = excessBytes > 0;
    if (this.#lingers && !this.#excess) {
      this.#phase = 'lingering';
      this.#clearTimers();
      this.#timer = setTimeout(() => this.#endBody(), LINGER_MS);
      return true;
    }
    return this.#endBody();
  }

  #endBody(): boolean {
    const isKept = this.#mayBeKept();
    this.#over(isKept);
    if (isKept) {
      this.#connection.served++;
      this.#options.client.keep(this.#connection);
    }
    this.#done();
    return isKept;
  }

  /** The answer came whole, the server means to stay, and nothing came behind it. */
  #mayBeKept(): boolean {
    return (
      this.#head?.staysOpen === true &&
      this.framing.kind !== 'close' &&
      !this.#excess &&
      !this.#lingers &&
      !this.#connection.isDestroyed
    );
  }

  ended(): void {
    if (this.#phase === 'over') return;
    this.#isBroken = true;
    if (this.#phase === 'body' && this.framing.kind === 'close') {
      this.#endBody();
      return;
    }
    if (this.#phase === 'lingering') {
      this.#endBody();
      return;
    }
    this.#fail(retry('SourceUnavailable', `${this.#options.url.host} closed the connection early`));
  }

  #guarded(step: () => boolean): boolean {
    try {
      return step();
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #done(): void {
    const settle = this.#settle;
    this.#settle = null;
    settle?.resolve();
  }

  failed(error: Error): void {
    this.#isBroken = true;
    this.#fail(error);
  }

  #fail(error: unknown): void {
    if (this.#phase === 'over') return;
    if (this.#phase === 'lingering') {
      this.#endBody();
      return;
    }
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#over();
    const settle = this.#settle;
    this.#settle = null;
    settle?.reject(error);
  }

  #over(isKept = false): void {
    this.#phase = 'over';
    this.#clearTimers();
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    if (!isKept) this.#connection.destroy();
  }

  #limit(timeoutMs: number, what: string): void {
    clearTimeout(this.#timer);
    if (this.#phase === 'over') return;
    this.#timer = setTimeout(() => {
      this.#fail(
        retry('SourceUnavailable', `${this.#options.url.host} ${what} for ${timeoutMs} ms`),
      );
    }, timeoutMs);
  }

  /** A drip is a stall: fewer bytes in `floorMs` than the floor allows. */
  #watchFloor(): void {
    const { floorMs, floorBytesPerSecond } = this.#options.limits;
    let before = this.received;
    clearInterval(this.#floorTimer);
    this.#floorTimer = setInterval(() => {
      const bytes = this.received - before;
      before = this.received;
      if (bytes < (floorBytesPerSecond * floorMs) / 1000)
        this.#fail(
          retry(
            'SourceUnavailable',
            `${this.#options.url.host} sent ${bytes} bytes in ${floorMs} ms`,
          ),
        );
    }, floorMs);
  }

  #clearTimers(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#floorTimer);
  }
}

/** What goes out is one byte for each character: others could end a line, or the request. */
function clean(value: string): string {
  if (/[^\t\x20-\x7e\x80-\xff]/.test(value))
    throw new ServiceError('Internal', 'A request header has a character that none can have');
  return value;
}

function refusedHead(message: string): Retry {
  return retry('SourceRefused', message);
}
