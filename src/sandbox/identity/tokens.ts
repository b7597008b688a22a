/**
 * The identity service's memory: sessions and signed tokens. A password login opens a session, which ends only by
 * time; a refresh token lives as long as its session. Access tokens are RS256 JWTs, signed by a key made at start.
 */
import {
  createHmac,
  createSign,
  createVerify,
  generateKeyPair,
  randomBytes,
  randomUUID,
  type KeyPairKeyObjectResult,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { Settings } from '../options.js';

/** As many sessions as one account may have open at once. */
export const sessionLimit = 100;

export interface IssuedTokens {
  access_token: string;
  expires_in: number;
  refresh_expires_in: number;
  refresh_token: string;
  token_type: 'Bearer';
  'not-before-policy': 0;
  session_state: string;
  scope: string;
}

export type TokenVerdict =
  | { state: 'valid'; session: string; user: string }
  | { state: 'expired' | 'wrong-audience'; session: string }
  | { state: 'unreadable' };

interface Session {
  id: string;
  user: string;
  endsAtMs: number;
}

interface Claims {
  sub?: string;
  sid?: string;
  exp?: number;
  aud?: string | string[];
  typ?: string;
}

const scope = 'AUDIENCE_PUBLIC openid email profile ondemand_processing user-context';

export class TokenService {
  private sessions = new Map<string, Session>();
  private readonly refreshKey = randomBytes(32);

  private constructor(
    private readonly issuer: () => string,
    private readonly keys: KeyPairKeyObjectResult,
    readonly keyId: string,
    private readonly settings: () => Settings,
  ) {}

  static async create(issuer: () => string, settings: () => Settings): Promise<TokenService> {
    const keys = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
    return new TokenService(issuer, keys, randomBytes(24).toString('base64url'), settings);
  }

  /** The public key as a JWK set. @see RFC 7517 */
  jwks(): { keys: Record<string, unknown>[] } {
    const jwk = this.keys.publicKey.export({ format: 'jwk' });
    return { keys: [{ ...jwk, kid: this.keyId, use: 'sig', alg: 'RS256' }] };
  }

  openSessions(): number {
    const now = Date.now();
    for (const [id, session] of this.sessions)
      if (session.endsAtMs <= now) this.sessions.delete(id);
    return this.sessions.size;
  }

  /** Opens a session, or answers null when the account has too many. */
  login(user: string): IssuedTokens | null {
    if (this.openSessions() >= sessionLimit) return null;
    const id = randomUUID();
    const session = {
      id,
      user,
      endsAtMs: Date.now() + this.settings().refreshLifetimeSeconds * 1000,
    };
    this.sessions.set(id, session);
    return this.issue(session);
  }

  /** New tokens of the same session, or null when the refresh token is dead or not ours. */
  refresh(token: string): IssuedTokens | null {
    const claims = this.refreshClaims(token);
    this.openSessions();
    const session = this.sessions.get(claims?.sid ?? '');
    if (!session || (claims?.exp ?? 0) * 1000 <= Date.now()) return null;
    return this.issue(session);
  }

  /** A token of a client-credentials client: good for searching, refused by the download server. */
  machineToken(client: string): { access_token: string; expires_in: number; token_type: 'Bearer' } {
    const lifetime = this.settings().tokenLifetimeSeconds;
    const access_token = this.sign(
      { sub: client, aud: client, sid: randomUUID(), azp: client },
      lifetime,
    );
    return { access_token, expires_in: lifetime, token_type: 'Bearer' };
  }

  verify(token: string): TokenVerdict {
    const claims = this.accessClaims(token);
    if (!claims) return { state: 'unreadable' };
    const session = claims.sid ?? '';
    const audience = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
    if (!audience.includes('CLOUDFERRO_PUBLIC')) return { state: 'wrong-audience', session };
    if ((claims.exp ?? 0) * 1000 <= Date.now()) return { state: 'expired', session };
    return { state: 'valid', session, user: claims.sub ?? '' };
  }

  private issue(session: Session): IssuedTokens {
    const remaining = Math.max(0, (session.endsAtMs - Date.now()) / 1000);
    const lifetime = this.settings().tokenLifetimeSeconds;
    const access = {
      sub: session.user,
      sid: session.id,
      session_state: session.id,
      aud: ['CLOUDFERRO_PUBLIC', 'account'],
      azp: 'cdse-public',
      acr: '1',
      'allowed-origins': ['*'],
      realm_access: {
        roles: ['offline_access', 'uma_authorization', 'default-roles-cdas', 'copernicus-general'],
      },
      resource_access: {
        account: { roles: ['manage-account', 'manage-account-links', 'view-profile'] },
      },
      scope,
      email_verified: true,
      name: 'Sandbox User',
      organizations: ['default-sandbox'],
      user_context_id: session.id,
      context_roles: {},
      context_groups: [
        '/access_groups/user_typology/copernicus_general/',
        '/organizations/default-sandbox/',
      ],
      preferred_username: session.user,
      user_context: 'default-sandbox',
    };
    return {
      access_token: this.sign(access, lifetime),
      expires_in: Math.floor(lifetime),
      refresh_expires_in: Math.floor(remaining),
      refresh_token: this.signRefresh(session),
      token_type: 'Bearer',
      'not-before-policy': 0,
      session_state: session.id,
      scope,
    };
  }

  private sign(claims: Record<string, unknown>, lifetimeSeconds: number): string {
    const now = Date.now() / 1000;
    const whole = {
      // Not in whole seconds, as servers have it: of a short life that would be a good part.
      exp: now + lifetimeSeconds,
      iat: Math.floor(now),
      jti: randomUUID(),
      iss: this.issuer(),
      typ: 'Bearer',
      ...claims,
    };
    const body = `${encode({ alg: 'RS256', typ: 'JWT', kid: this.keyId })}.${encode(whole)}`;
    return `${body}.${createSign('RSA-SHA256').update(body).sign(this.keys.privateKey, 'base64url')}`;
  }

  private signRefresh(session: Session): string {
    const body = `${encode({ alg: 'HS512', typ: 'JWT', kid: 'refresh' })}.${encode({
      exp: session.endsAtMs / 1000,
      iat: Math.floor(Date.now() / 1000),
      jti: randomUUID(),
      iss: this.issuer(),
      aud: this.issuer(),
      sub: session.user,
      typ: 'Refresh',
      azp: 'cdse-public',
      sid: session.id,
      scope,
    })}`;
    return `${body}.${createHmac('sha512', this.refreshKey).update(body).digest('base64url')}`;
  }

  private accessClaims(token: string): Claims | null {
    const [head, payload, signature] = token.split('.');
    if (!head || !payload || !signature) return null;
    if ((decode(head) as { alg?: string } | null)?.alg !== 'RS256') return null;
    const verifier = createVerify('RSA-SHA256').update(`${head}.${payload}`);
    if (!verifier.verify(this.keys.publicKey, signature, 'base64url')) return null;
    return decode(payload) as Claims | null;
  }

  private refreshClaims(token: string): Claims | null {
    const [head, payload, signature] = token.split('.');
    if (!head || !payload || !signature) return null;
    const expected = createHmac('sha512', this.refreshKey).update(`${head}.${payload}`);
    return expected.digest('base64url') === signature ? (decode(payload) as Claims | null) : null;
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString()) as unknown;
  } catch {
    return null;
  }
}
