/**
 * Keeps one account's access token: one keeper a process, one session an account. Every password login opens a session that nobody can
 * close, so that there is one login and refreshes after it; whoever comes while the token is being renewed waits for that one renewal.
 * A wrong password is tried twice, never in a loop: the account would be locked. Secrets stay in here: no message carries one.
 */
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import { unlessAborted } from '../../transfer/index.js';
import type { CredentialsState } from '../provider.js';
import type { Clock } from './clock.js';
import { oneLine, readErrorBody, throttled } from './errors.js';
import { looseText, readJson, type Http, type HttpAnswer } from './http.js';
import { tokenAnswerSchema, type TokenAnswer } from './odata-schemas.js';

const CLIENT_ID = 'cdse-public';
const SIZE_LIMIT_BYTES = 1024 * 1024;
/** Renewed this long before its end, or at four fifths of a shorter life. */
const RENEW_BEFORE_MS = 30_000;

export interface TokenKeeperSettings {
  tokenUrl: string;
  username: string | null;
  password: string | null;
  http: Http;
  clock: Clock;
  /** A refused login is tried once more after this pause: a single refusal has been seen with the right password. */
  confirmAfterMs?: number | undefined;
  /** After a confirmed refusal nobody logs in for so long. */
  refusedForMs?: number | undefined;
}

export interface TokenKeeper {
  /**
   * A token that is good for a while. The signal ends only this caller's waiting.
   * @throws SourceDenied (no or wrong credentials), SourceThrottled, SourceUnavailable, SourceRefused
   */
  token(signal: AbortSignal): Promise<string>;
  /** A server refused this very token: it is not handed out again. A later one is not touched. */
  rejected(token: string): void;
  state(): CredentialsState;
  close(): void;
}

interface Session {
  access: string;
  expiresAtMs: number;
  renewAtMs: number;
  refresh: string | null;
  /** Infinity where the server does not say. */
  refreshUntilMs: number;
}

interface Refusal {
  error: ServiceError;
  untilMs: number;
}

export function createTokenKeeper(settings: TokenKeeperSettings): TokenKeeper {
  const { clock } = settings;
  const closing = new AbortController();
  let session: Session | null = null;
  let renewal: Promise<string> | null = null;
  let refusal: Refusal | null = null;

  async function renew(): Promise<string> {
    const before = session;
    try {
      const next =
        (before && (await refreshed(settings, before, closing.signal))) ?? (await logIn());
      // Whatever was rejected meanwhile is the old token.
      session = next;
      refusal = null;
      return next.access;
    } catch (error) {
      if (session !== null && clock.monotonicMs() < session.expiresAtMs) return session.access;
      throw error;
    }
  }

  async function logIn(): Promise<Session> {
    try {
      return await loggedIn(settings, closing.signal);
    } catch (error) {
      if (isServiceError(error) && error.code === 'SourceDenied')
        refusal = {
          error,
          untilMs: clock.monotonicMs() + (settings.refusedForMs ?? 15 * 60_000),
        };
      throw error;
    }
  }

  return {
    async token(signal) {
      signal.throwIfAborted();
      const nowMs = clock.monotonicMs();
      if (session !== null && nowMs < session.renewAtMs) return session.access;
      if (refusal !== null && nowMs < refusal.untilMs) {
        if (session !== null && nowMs < session.expiresAtMs) return session.access;
        throw refusal.error;
      }
      renewal ??= renew().finally(() => {
        renewal = null;
      });
      return unlessAborted(renewal, signal);
    },
    rejected(token) {
      if (session?.access === token) session = { ...session, expiresAtMs: 0, renewAtMs: 0 };
    },
    state() {
      if (settings.username === null || settings.password === null) return 'missing';
      return refusal === null ? 'configured' : 'rejected';
    },
    close() {
      closing.abort(new ServiceError('Interrupted', 'The provider is being closed'));
    },
  };
}

/** Null when the refresh token is dead: then only a login helps. */
async function refreshed(
  settings: TokenKeeperSettings,
  session: Session,
  signal: AbortSignal,
): Promise<Session | null> {
  const { refresh } = session;
  if (refresh === null || settings.clock.monotonicMs() >= session.refreshUntilMs) return null;
  const grant = { grant_type: 'refresh_token', refresh_token: refresh };
  try {
    return await ask(settings, grant, refresh, signal);
  } catch (error) {
    if (isServiceError(error) && error.code === 'SourceDenied') return null;
    throw error;
  }
}

async function loggedIn(settings: TokenKeeperSettings, signal: AbortSignal): Promise<Session> {
  const { username, password, clock } = settings;
  if (username === null || password === null)
    throw new ServiceError(
      'SourceDenied',
      'Downloads from Copernicus need an account: set NIMBUS_COPERNICUS_USERNAME and NIMBUS_COPERNICUS_PASSWORD',
    );
  const grant = { grant_type: 'password', username, password };
  try {
    return await ask(settings, grant, null, signal);
  } catch (error) {
    const isRefusal = isServiceError(error) && error.details['reason'] === 'invalid_grant';
    if (!isRefusal) throw error;
  }
  await clock.sleep(settings.confirmAfterMs ?? 2_000, signal);
  return ask(settings, grant, null, signal);
}

async function ask(
  settings: TokenKeeperSettings,
  grant: Record<string, string>,
  oldRefresh: string | null,
  signal: AbortSignal,
): Promise<Session> {
  // Counted from before the request: on the safe side by as long as it takes.
  const askedAtMs = settings.clock.monotonicMs();
  const { grant_type: _, ...secrets } = grant;
  const answer = await settings.http.call(
    {
      method: 'POST',
      url: settings.tokenUrl,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ client_id: CLIENT_ID, ...grant }).toString(),
    },
    (received) => readToken(received, Object.values(secrets), settings.clock.wallMs()),
    signal,
    { sizeBytes: SIZE_LIMIT_BYTES },
  );
  return toSession(answer, oldRefresh, askedAtMs);
}

function toSession(answer: TokenAnswer, oldRefresh: string | null, askedAtMs: number): Session {
  const lifeMs = answer.expires_in * 1000;
  const refreshLifeMs = (answer.refresh_expires_in ?? 0) * 1000;
  return {
    access: answer.access_token,
    expiresAtMs: askedAtMs + lifeMs,
    renewAtMs: askedAtMs + Math.max(lifeMs * 0.8, lifeMs - RENEW_BEFORE_MS),
    refresh: answer.refresh_token ?? oldRefresh,
    refreshUntilMs: refreshLifeMs > 0 ? askedAtMs + refreshLifeMs : Infinity,
  };
}

function readToken(answer: HttpAnswer, secrets: string[], wallMs: number): TokenAnswer {
  if (answer.status === 200) return readJson(answer, tokenAnswerSchema);
  const received = { status: answer.status, headers: answer.headers, body: looseText(answer) };
  throw throttled(received, answer.host, wallMs) ?? identityError(received, answer.host, secrets);
}

/**
 * 5xx, and a 4xx that is not the identity service's own → SourceUnavailable, a redirect or another oddity → SourceRefused,
 * any other 4xx → SourceDenied with what to do.
 */
function identityError(
  answer: { status: number; body: string },
  host: string,
  secrets: string[],
): ServiceError {
  const { code, text } = readErrorBody(answer.body);
  const said = without(
    secrets,
    `${oneLine(text)} (${answer.status}${code === null ? '' : `, ${code}`})`,
  );
  const details = { status: answer.status, reason: code === null ? null : without(secrets, code) };
  // Gateways before it answer with pages of their own while it is not there.
  const isGateway = code === null && [403, 404, 405].includes(answer.status);
  if (answer.status >= 500 || answer.status === 408 || isGateway)
    return new ServiceError('SourceUnavailable', `${host} is failing: ${said}`, { details });
  if (answer.status < 400)
    return new ServiceError('SourceRefused', `${host} gives an unexpected answer: ${said}`, {
      details,
    });
  return new ServiceError(
    'SourceDenied',
    `Copernicus refuses the login: ${said}. Log in once at the Copernicus Data Space website, then check NIMBUS_COPERNICUS_USERNAME and NIMBUS_COPERNICUS_PASSWORD; an account with two-factor login (TOTP) is not supported`,
    { details },
  );
}

/** A server may quote what it was sent. */
const without = (secrets: string[], text: string): string =>
  secrets
    .flatMap((secret) => [secret, encodeURIComponent(secret)])
    .reduce((clean, secret) => clean.replaceAll(secret, '(hidden)'), text);
