/**
 * One connection to a server, for one answer after another. Reads land straight in its user's memory (`onread`), so that a
 * body costs neither an allocation nor a copy for each packet; only TLS through a proxy has to copy.
 */
import net from 'node:net';
import tls from 'node:tls';
import { ServiceError, isServiceError } from '../../jobs/error-codes.js';
import { codeOf, retry, Retry } from '../errors.js';
import { bareHost, lookupFor, type HostRules } from './hosts.js';
import { openTunnel } from './proxy.js';

/** Who reads from a connection at the moment. */
export interface ConnectionUser {
  /** Free memory for the next read, never empty. */
  space: () => Buffer;
  /** `bytes` have landed at the start of what `space` gave last. False = wait for `resume`. */
  read: (bytes: number, memory: Uint8Array) => boolean;
  /** The server closed its side. */
  ended: () => void;
  failed: (error: Error) => void;
}

export interface ConnectionOptions {
  url: URL;
  rules: HostRules;
  /** Of the proxy to go through; null = straight. */
  proxy: URL | null;
}

const SPARE_BYTES = 64 * 1024;
/**
 * Each address of a host but the last is given up after this long. Node's 250 ms are less than a satellite link needs, and then
 * a dead last address ends every try.
 */
const ADDRESS_MS = 1_000;

export class Connection {
  /** Answers that came over it whole. */
  served = 0;
  /** Resolves once requests can be written; never rejects: failures go to the user. */
  readonly ready: Promise<void>;
  readonly #isSecure: boolean;
  #socket: net.Socket | null = null;
  #user: ConnectionUser | null = null;
  #lentTo: ConnectionUser | null = null;
  #isDestroyed = false;
  /** The user wants no more for now. Over TLS what is decrypted already comes all the same, and the end of it too. */
  #isPaused = false;
  #kept: Buffer | null = null;
  #spare: Buffer | null = null;
  #hasEnded = false;

  constructor(readonly options: ConnectionOptions) {
    this.#isSecure = options.url.protocol === 'https:';
    this.ready = new Promise((resolve) => this.#open(resolve));
  }

  use(user: ConnectionUser): void {
    this.#user = user;
  }

  write(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }

  /** Reads on after the user said to wait. */
  resume(): void {
    const kept = this.#kept;
    this.#kept = null;
    this.#isPaused = false;
    if (kept !== null && !this.#deliver(kept)) return;
    if (this.#hasEnded) this.#user?.ended();
    else this.#socket?.resume();
  }

  /** An idle connection keeps no process from ending. */
  holdsProcess(isBusy: boolean): void {
    if (isBusy) this.#socket?.ref();
    else this.#socket?.unref();
  }

  destroy(): void {
    this.#isDestroyed = true;
    this.#socket?.destroy();
  }

  get isDestroyed(): boolean {
    return this.#isDestroyed;
  }

  #open(onReady: () => void): void {
    const { url, rules, proxy } = this.options;
    const isSecure = this.#isSecure;
    const target = proxy ?? url;
    const connect = {
      host: bareHost(target),
      port: Number(target.port || (target.protocol === 'https:' ? 443 : 80)),
      ...(proxy === null && { lookup: lookupFor(url, rules) }),
      autoSelectFamilyAttemptTimeout: ADDRESS_MS,
    };
    const onread = {
      buffer: () => this.#lend(),
      callback: (bytes: number, memory: Uint8Array) => this.#landed(bytes, memory),
    };
    const secure = {
      ALPNProtocols: ['http/1.1'],
      // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
      rejectUnauthorized: true,
      ciphers: preferredCiphers(tls.DEFAULT_CIPHERS),
      ...(net.isIP(bareHost(url)) === 0 && { servername: bareHost(url) }),
    };
    if (proxy !== null && isSecure) {
      this.#socket = net.connect(connect);
      openTunnel(this.#socket, url, proxy).then(
        (tunnel) => {
          if (this.#isDestroyed) return void tunnel.destroy();
          const socket = tls.connect({
            socket: tunnel,
            host: bareHost(url),
            ...secure,
          });
          socket.on('data', (chunk: Buffer) => {
            if (!this.#take(chunk)) socket.pause();
          });
          this.#watch(socket, 'secureConnect', onReady);
        },
        (error: Error) => this.#fail(error),
      );
    } else if (isSecure) {
      const options = { ...connect, ...secure, onread } as tls.ConnectionOptions;
      this.#watch(tls.connect(options), 'secureConnect', onReady);
    } else {
      this.#watch(net.connect({ ...connect, onread }), 'connect', onReady);
    }
  }

  #watch(socket: net.Socket, ready: string, onReady: () => void): void {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.once(ready, onReady);
    socket.on('error', (error) => this.#fail(error));
    const ended = () => {
      this.#isDestroyed = this.#hasEnded = true;
      if (!this.#isPaused) this.#user?.ended();
    };
    socket.on('end', ended);
    socket.on('close', ended);
    if (this.#isDestroyed) socket.destroy();
  }

  #fail(error: Error): void {
    this.#isDestroyed = true;
    this.#user?.failed(toNetworkError(error, this.options.url));
  }

  /**
   * Node asks for the memory of the next read as soon as the last one is over, whoever will be its user by then. Memory of
   * the user's own must be where its next byte goes: not so while other bytes are to reach it first.
   */
  #lend(): Buffer {
    const isNext = this.#user && !(this.#isPaused && (this.#isSecure || this.#kept));
    this.#lentTo = isNext ? this.#user : null;
    return this.#lentTo?.space() ?? (this.#spare ??= Buffer.allocUnsafeSlow(SPARE_BYTES));
  }

  #landed(bytes: number, memory: Uint8Array): boolean {
    const user = this.#user;
    if (this.#isPaused || !user || user !== this.#lentTo)
      return this.#take(Buffer.from(memory.buffer, memory.byteOffset, bytes));
    this.#isPaused = !user.read(bytes, memory);
    return !this.#isPaused;
  }

  /** Bytes that are not in the user's memory; false when it wants no more for now. */
  #take(chunk: Buffer): boolean {
    if (!this.#isPaused) return this.#deliver(chunk);
    this.#kept = Buffer.concat([this.#kept ?? Buffer.alloc(0), chunk]);
    return false;
  }

  #deliver(chunk: Buffer): boolean {
    for (let at = 0; at < chunk.length;) {
      const user = this.#user;
      if (!user) return false;
      const copied = chunk.copy(user.space(), 0, at);
      const memory = chunk.subarray(at, at + copied);
      at += copied;
      this.#isPaused = !user.read(copied, memory);
      if (!this.#isPaused) continue;
      if (at < chunk.length) this.#kept = Buffer.from(chunk.subarray(at));
      return false;
    }
    return true;
  }
}

const CHEAPEST_CIPHER = 'TLS_AES_128_GCM_SHA256';

/** As browsers have it: AES-256 costs both sides a third more. What `--tls-cipher-list` leaves out stays out. */
export function preferredCiphers(allowed: string): string {
  const others = allowed.split(':').filter((cipher) => cipher !== CHEAPEST_CIPHER);
  const isAllowed = allowed.split(':').includes(CHEAPEST_CIPHER);
  return [...(isAllowed ? [CHEAPEST_CIPHER] : []), ...others].join(':');
}

const CERTIFICATE =
  /^(CERT_|ERR_TLS_CERT|ERR_SSL|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA)/;

function toNetworkError(error: Error, url: URL): Error {
  if (isServiceError(error) || error instanceof Retry) return error;
  const code = codeOf(error) ?? error.name;
  if (CERTIFICATE.test(code) && !code.startsWith('ERR_SSL_'))
    return new ServiceError(
      'SourceRefused',
      `The certificate of ${url.host} is not valid (${code})`,
    );
  return retry('SourceUnavailable', `The connection to ${url.host} failed (${code})`);
}
