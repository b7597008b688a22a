/** The identity host: discovery, keys, and the token endpoint with its grants and refusals. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { json, type Answer } from '../http/answer.js';
import type { Exchange } from '../http/exchange.js';
import type { Ledger } from '../ledger.js';
import type { TokenService } from './tokens.js';

export const realmPath = '/auth/realms/CDSE';

export interface IdentityDeps {
  baseUrl: string;
  users: Record<string, string>;
  tokens: TokenService;
  ledger: Ledger;
}

const noStore = { 'cache-control': 'no-store', pragma: 'no-cache' };

/** Answers what lies under `realmPath`; the realm's name is taken in any case, as clients write both. */
export async function identityRoutes(exchange: Exchange, deps: IdentityDeps): Promise<Answer> {
  const path = exchange.path.slice(realmPath.length);
  if (path === '/.well-known/openid-configuration') return json(200, discovery(deps.baseUrl));
  if (path === '/protocol/openid-connect/certs') return json(200, deps.tokens.jwks());
  if (path !== '/protocol/openid-connect/token')
    return json(404, { error: 'Unable to find matching target resource method' });
  if (exchange.method !== 'POST') return json(405, { error: 'HTTP 405 Method Not Allowed' });
  const form = new URLSearchParams(await exchange.body(64 * 1024));
  return grant(form, deps);
}

function grant(form: URLSearchParams, deps: IdentityDeps): Answer {
  const kind = form.get('grant_type');
  if (kind === null) return refusal(400, 'invalid_request', 'Missing form parameter: grant_type');
  if (kind === 'client_credentials') return machineGrant(form, deps);
  if (form.get('client_id') !== 'cdse-public')
    return refusal(401, 'invalid_client', 'Invalid client or Invalid client credentials');
  if (kind === 'password') return passwordGrant(form, deps);
  if (kind === 'refresh_token') return refreshGrant(form, deps);
  return refusal(400, 'unsupported_grant_type', 'Unsupported grant_type');
}

function passwordGrant(form: URLSearchParams, { users, tokens, ledger }: IdentityDeps): Answer {
  const [user, password] = [form.get('username') ?? '', form.get('password') ?? ''];
  const known = Object.hasOwn(users, user) && same(users[user]!, password);
  const issued = known ? tokens.login(user) : null;
  if (!issued) {
    ledger.count('loginsRefused');
    return known
      ? refusal(400, 'invalid_grant', 'Too many open sessions')
      : refusal(401, 'invalid_grant', 'Invalid user credentials');
  }
  ledger.count('logins');
  ledger.count('tokensIssued');
  ledger.sessions(tokens.openSessions());
  return json(200, issued, noStore);
}

function refreshGrant(form: URLSearchParams, { tokens, ledger }: IdentityDeps): Answer {
  const issued = tokens.refresh(form.get('refresh_token') ?? '');
  if (!issued) {
    ledger.count('refreshesRefused');
    return refusal(400, 'invalid_grant', 'Token is not active');
  }
  ledger.count('refreshes');
  ledger.count('tokensIssued');
  return json(200, issued, noStore);
}

/** Clients of the processing service (`sh-…`) with any secret: their tokens cannot download. */
function machineGrant(form: URLSearchParams, { tokens, ledger }: IdentityDeps): Answer {
  const client = form.get('client_id') ?? '';
  if (!client.startsWith('sh-') || !form.get('client_secret'))
    return refusal(401, 'invalid_client', 'Invalid client or Invalid client credentials');
  ledger.count('tokensIssued');
  return json(200, tokens.machineToken(client), noStore);
}

function refusal(status: number, error: string, description: string): Answer {
  return json(status, { error, error_description: description }, noStore);
}

function same(one: string, two: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(two));
}

/** @see OpenID Connect Discovery 1.0 §3 */
function discovery(baseUrl: string): Record<string, unknown> {
  const realm = `${baseUrl}${realmPath}`;
  const connect = `${realm}/protocol/openid-connect`;
  return {
    issuer: realm,
    authorization_endpoint: `${connect}/auth`,
    token_endpoint: `${connect}/token`,
    introspection_endpoint: `${connect}/token/introspect`,
    userinfo_endpoint: `${connect}/userinfo`,
    end_session_endpoint: `${connect}/logout`,
    jwks_uri: `${connect}/certs`,
    grant_types_supported: [
      'authorization_code',
      'refresh_token',
      'password',
      'client_credentials',
    ],
    response_types_supported: [
      'code',
      'none',
      'id_token',
      'token',
      'id_token token',
      'code id_token',
    ],
    subject_types_supported: ['public', 'pairwise'],
    id_token_signing_alg_values_supported: [
      'RS256',
      'RS384',
      'RS512',
      'HS256',
      'HS512',
      'ES256',
      'PS256',
    ],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    scopes_supported: [
      'openid',
      'AUDIENCE_PUBLIC',
      'email',
      'offline_access',
      'profile',
      'user-context',
    ],
    claims_supported: [
      'aud',
      'sub',
      'iss',
      'auth_time',
      'name',
      'preferred_username',
      'email',
      'acr',
    ],
    code_challenge_methods_supported: ['plain', 'S256'],
  };
}
