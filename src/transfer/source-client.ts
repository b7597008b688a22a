/**
 * Asks a source for bytes: by which address, over which connection and with what headers, and what a refusal means. One
 * for all connections of a transfer, for they learn from each other's answers.
 */
import { isServiceError } from '../jobs/error-codes.js';
import { askHeaders } from './ask-headers.js';
import { readErrorAnswer } from './answer.js';
import { ObjectChanged, Retry, retry } from './errors.js';
import type { HttpClient } from './http/client.js';
import type { Exchange } from './http/exchange.js';
import { strongEtag } from './http/headers.js';
import { open, type Opened } from './http/open.js';
import { MAX_ERROR_BODY_BYTES } from './limits.js';
import type { TransferLimits, TransferSource } from './transfer.js';
import type { Trust } from './trust.js';

export interface SourceClientOptions {
  source: TransferSource;
  client: HttpClient;
  hasDigests: boolean;
  limits: TransferLimits;
  trust: Trust;
}

/** What is asked for, and by whom. */
export interface Question {
  /** Of the remote file; null = the whole. */
  range: string | null;
  /** The strong ETag that the range must be of. */
  pin: string | null;
  /** Whoever asks one question after another; counts answers in a row that refused the token. */
  lane: { denials: number };
  signal: AbortSignal;
  /** The server wants fewer connections, or none for a while. */
  onThrottled: () => void;
}

/** With data, or with the word that there is none behind what is here. */
const USEFUL = [200, 206, 416];

/** What servers answer to a range that they do not want, or to its pin. */
const MAY_REFUSE_RANGES = new Set([400, 405, 406, 412, 501]);

/** Refusals that the next address to which the source leads need not share. */
const MAY_BE_THERE_ONLY = new Set<string>(['SourceGone', 'SourceDenied', 'SourceRefused']);

export class SourceClient {
  /** An answer came that may have been meant for an earlier request. */
  #distrustsKept = false;
  /** Where the redirects led last. */
  #resolved: string | null = null;
  /** The source's own address, as an answer from there has it. */
  readonly #home: string;

  constructor(readonly options: SourceClientOptions) {
    const { url } = options.source;
    this.#home = URL.canParse(url) ? withoutHash(url) : url;
  }

  /** Hands a useful answer to `read`, and closes it behind. Throws what `read` does, or what another answer means. */
  async ask(question: Question, read: (exchange: Exchange) => Promise<void>): Promise<void> {
    const { source, client, limits, trust, hasDigests } = this.options;
    const { range, pin, lane, signal } = question;
    // Another connection may learn better meanwhile.
    const mayRefuse = range !== null && !trust.asksForWhole;
    const trustedHeaders = await askHeaders(source, signal);
    const url = this.#resolved ?? this.#home;
    const opening = open({
      url,
      rules: source,
      headers: {
        accept: '*/*',
        'accept-encoding': 'identity',
        ...(range !== null && { range }),
        ...(pin !== null && trust.sendsIfRange && { 'if-range': pin }),
      },
      trustedHeaders,
      limits: { ...limits, idleMs: limits.idleMs * trust.patience },
      signal,
      client,
      fresh: this.#distrustsKept || !(hasDigests || pin !== null),
    });
    const opened = await opening.catch((error: unknown) => {
      this.#leave(url);
      throw error;
    });
    const { exchange } = opened;
    try {
      this.#assertMeant(exchange, pin);
      if (!USEFUL.includes(exchange.status))
        await this.#refuse(opened, { url, trustedHeaders, mayRefuse, question });
      lane.denials = 0;
      this.#resolved = opened.url === this.#home ? null : opened.url;
      await read(exchange);
    } catch (error) {
      // The source may lead elsewhere now, but for what is asked anew of whoever answered well.
      const isAnsweredWell = error instanceof Retry && error.options.waitMs === 0;
      if (!isAnsweredWell && !(error instanceof ObjectChanged)) this.#leave(opened.url);
      throw error;
    } finally {
      exchange.close();
    }
  }

  /** What came is wrong as a whole: the source may lead to another copy. */
  leave(): void {
    this.#resolved = null;
  }

  /** Somebody waits for an answer: a server may have no time for it as long as it waits for us elsewhere. */
  letGo(): void {
    const { client, source } = this.options;
    client.forget(new URL(this.#resolved ?? this.#home), source);
  }

  /** That the object changed is believed over a fresh connection alone. */
  assertChanged({ isReused }: Exchange): void {
    if (isReused) this.#distrustKept();
    // It was true what the kept connection said.
    this.#distrustsKept = false;
  }

  /**
   * What a server says unasked behind a whole answer looks like the answer to the next request. Where no digest will tell,
   * a kept connection is trusted with parts alone that a strong ETag pins: a part says where it belongs, and to what.
   */
  #assertMeant({ status, headers, isReused }: Exchange, pin: string | null): void {
    if (this.options.hasDigests || !isReused || !USEFUL.includes(status)) return;
    if (status !== 206 || strongEtag(headers) !== pin) this.#distrustKept();
  }

  #distrustKept(): never {
    this.#distrustsKept = true;
    throw retry('SourceUnavailable', 'The answer may belong to an earlier request', { waitMs: 0 });
  }

  /** The source is asked again where to go. @returns whether it had led to this address */
  #leave(url: string): boolean {
    if (this.#resolved === url) this.#resolved = null;
    return url !== this.#home;
  }

  /** An answer without data: always throws. */
  async #refuse(
    opened: Opened,
    asked: {
      url: string;
      trustedHeaders: Record<string, string>;
      /** It was a range, and is not the last resort. */
      mayRefuse: boolean;
      question: Question;
    },
  ): Promise<never> {
    const { source, trust } = this.options;
    const { exchange, trusted } = opened;
    const { status, headers } = exchange;
    if (this.#leave(asked.url)) {
      throw retry('SourceUnavailable', `The server answered ${status} where it had led us to`, {
        waitMs: 0,
        isRenewal: true,
      });
    }
    const { lane, onThrottled } = asked.question;
    if (status === 401 && trusted && lane.denials++ === 0) {
      source.rejected(asked.trustedHeaders);
      throw retry('SourceDenied', 'The server no longer accepts the token', { waitMs: 0 });
    }
    if (asked.mayRefuse && MAY_REFUSE_RANGES.has(status))
      throw refusesRanges(trust, `The server answered ${status} to a range`);
    const body = await exchange.text(MAX_ERROR_BODY_BYTES);
    const translated = source.translate({ status, headers: { ...headers }, body });
    const error = translated ?? readErrorAnswer(status, headers);
    const cause = error instanceof Retry ? error.error : error;
    if (isServiceError(cause) && cause.code === 'SourceThrottled') onThrottled();
    // One of several mirrors may lack what others have.
    const isElsewhere = opened.url !== this.#home;
    if (isElsewhere && isServiceError(error) && MAY_BE_THERE_ONLY.has(error.code))
      throw new Retry(error, { tries: 3 });
    throw error;
  }
}

function withoutHash(address: string): string {
  const url = new URL(address);
  url.hash = '';
  return url.href;
}

/** Not even to go on is a range any good, unless this was an accident. */
export function refusesRanges(trust: Trust, message: string): Retry {
  const wasServing = trust.servesRanges;
  const mayBeAccident = trust.refusedRange();
  return retry('SourceRefused', message, wasServing && !mayBeAccident ? { waitMs: 0 } : {});
}
