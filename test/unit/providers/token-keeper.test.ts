import { describe, expect, it } from 'vitest';
import { createTokenKeeper } from '../../../src/providers/copernicus/token-keeper.js';
import { createFakeHttp, createTestClock, never, type FakeAnswer } from './doubles.js';

const TOKEN_URL = 'http://identity.test/token';
const PASSWORD = 'canary-pass&word';
const REFUSED: FakeAnswer = {
  status: 401,
  body: { error: 'invalid_grant', error_description: 'Invalid user credentials' },
};
const DEAD: FakeAnswer = {
  status: 400,
  body: { error: 'invalid_grant', error_description: 'Token is not active' },
};

/** An identity host that counts what it is asked; `respond` may answer instead of it. */
function setUp(options: {
  lifeSeconds?: number;
  refreshLifeSeconds?: number;
  respond?: (form: URLSearchParams, call: number) => FakeAnswer | undefined;
}) {
  const clock = createTestClock();
  const calls: string[] = [];
  const http = createFakeHttp(async ({ body }) => {
    const form = new URLSearchParams(body);
    calls.push(form.get('grant_type')!);
    await Promise.resolve();
    return (
      options.respond?.(form, calls.length) ?? {
        status: 200,
        body: {
          access_token: `access-${calls.length}`,
          expires_in: options.lifeSeconds ?? 600,
          refresh_token: `refresh-${calls.length}`,
          refresh_expires_in: options.refreshLifeSeconds ?? 3600,
        },
      }
    );
  });
  const account = { username: 'someone@example.test', password: PASSWORD };
  const keeper = createTokenKeeper({ tokenUrl: TOKEN_URL, ...account, http, clock });
  return { keeper, clock, calls };
}

describe('the token keeper', () => {
  it('logs in once for fifty who ask at once', async () => {
    const { keeper, calls } = setUp({});
    const tokens = await Promise.all(
      Array.from({ length: 50 }, () => keeper.token(new AbortController().signal)),
    );
    expect(new Set(tokens)).toEqual(new Set(['access-1']));
    expect(calls).toEqual(['password']);
  });

  it('F036 refreshes once for fifty who find the token expired together', async () => {
    const { keeper, clock, calls } = setUp({});
    await keeper.token(never);
    clock.advance(600_000);
    const tokens = await Promise.all(
      Array.from({ length: 50 }, () => keeper.token(new AbortController().signal)),
    );
    expect(new Set(tokens)).toEqual(new Set(['access-2']));
    expect(calls).toEqual(['password', 'refresh_token']);
  });

  it.each([
    [600, 569_000, 571_000],
    [5, 3_900, 4_100],
  ])('F034 renews a token of %i s ahead of its end', async (lifeSeconds, before, after) => {
    const { keeper, clock } = setUp({ lifeSeconds });
    await keeper.token(never);
    clock.advance(before);
    expect(await keeper.token(never)).toBe('access-1');
    clock.advance(after - before);
    expect(await keeper.token(never)).toBe('access-2');
  });

  it('F035 logs in once when the refresh token is refused', async () => {
    const { keeper, clock, calls } = setUp({
      respond: (form) => (form.get('grant_type') === 'refresh_token' ? DEAD : undefined),
    });
    await keeper.token(never);
    clock.advance(600_000);
    await Promise.all([keeper.token(never), keeper.token(never)]);
    expect(calls).toEqual(['password', 'refresh_token', 'password']);
    expect(keeper.state()).toBe('configured');
  });

  it('F035 does not present a refresh token that has run out', async () => {
    const { keeper, clock, calls } = setUp({ refreshLifeSeconds: 10 });
    await keeper.token(never);
    clock.advance(600_000);
    await keeper.token(never);
    expect(calls).toEqual(['password', 'password']);
  });

  it('presents the refresh token that came last', async () => {
    const presented: (string | null)[] = [];
    const { keeper, clock } = setUp({
      respond: (form) => void presented.push(form.get('refresh_token')),
    });
    for (let round = 0; round < 3; round += 1) {
      await keeper.token(never);
      clock.advance(600_000);
    }
    expect(presented).toEqual([null, 'refresh-1', 'refresh-2']);
  });

  it('F037 F038 stops after two refused logins and says what to do', async () => {
    const { keeper, calls, clock } = setUp({ respond: () => REFUSED });
    const asking = await Promise.allSettled([keeper.token(never), keeper.token(never)]);
    asking.push(...(await Promise.allSettled([keeper.token(never)])));
    for (const { reason } of asking as PromiseRejectedResult[]) {
      expect(reason).toMatchObject({ code: 'SourceDenied' });
      expect(reason.message).toMatch(/NIMBUS_COPERNICUS_PASSWORD.*TOTP.*not supported/);
    }
    expect(calls).toEqual(['password', 'password']);
    expect(clock.slept).toHaveLength(1);
    expect(keeper.state()).toBe('rejected');
  });

  it.each([403, 404, 405])(
    'F037 a gateway’s own %i is no refusal: the next who asks gets a token',
    async (status) => {
      const page = { status, body: '<html>no healthy upstream</html>' };
      const { keeper, calls } = setUp({ respond: (_, call) => (call === 1 ? page : undefined) });
      await expect(keeper.token(never)).rejects.toMatchObject({ code: 'SourceUnavailable' });
      expect(keeper.state()).toBe('configured');
      expect(await keeper.token(never)).toBe('access-2');
      expect(calls).toHaveLength(2);
    },
  );

  it('tries again a quarter of an hour after a refusal, so that a mended password heals without a restart', async () => {
    const { keeper, clock } = setUp({ respond: (_, call) => (call <= 2 ? REFUSED : undefined) });
    await expect(keeper.token(never)).rejects.toMatchObject({ code: 'SourceDenied' });
    clock.advance(15 * 60_000);
    expect(await keeper.token(never)).toBe('access-3');
    expect(keeper.state()).toBe('configured');
  });

  it('F037 takes a single refusal in mid-run for no proof of a wrong password', async () => {
    const { keeper, calls } = setUp({ respond: (_, call) => (call === 1 ? REFUSED : undefined) });
    expect(await keeper.token(never)).toBe('access-2');
    expect(calls).toEqual(['password', 'password']);
    expect(keeper.state()).toBe('configured');
  });

  it('forgets exactly the token that a server refused', async () => {
    const { keeper, calls } = setUp({});
    const first = await keeper.token(never);
    keeper.rejected(first);
    const second = await keeper.token(never);
    keeper.rejected(first);
    expect(await keeper.token(never)).toBe(second);
    expect(calls).toEqual(['password', 'refresh_token']);
  });

  it('goes on with a token that is still good while the identity host fails', async () => {
    const { keeper, clock } = setUp({
      respond: (_, call) => (call === 1 ? undefined : { status: 503, body: '<html>down</html>' }),
    });
    await keeper.token(never);
    clock.advance(580_000);
    expect(await keeper.token(never)).toBe('access-1');
    clock.advance(30_000);
    await expect(keeper.token(never)).rejects.toMatchObject({ code: 'SourceUnavailable' });
    expect(keeper.state()).toBe('configured');
  });

  it('waits when the identity host says so', async () => {
    const { keeper } = setUp({
      respond: () => ({ status: 429, body: '', headers: { 'retry-after': '7' } }),
    });
    await expect(keeper.token(never)).rejects.toMatchObject({
      code: 'SourceThrottled',
      retryAfterMs: 7000,
    });
  });

  it('lets one caller give up without ending the others’ wait', async () => {
    const { keeper, calls } = setUp({});
    const impatient = new AbortController();
    const first = keeper.token(impatient.signal);
    const second = keeper.token(never);
    impatient.abort(new Error('gone home'));
    await expect(first).rejects.toThrow('gone home');
    expect(await second).toBe('access-1');
    expect(calls).toHaveLength(1);
  });

  it('refuses a token that would break out of its header', async () => {
    const { keeper } = setUp({
      respond: () => ({ status: 200, body: { access_token: 'a\r\nX-Evil: 1', expires_in: 600 } }),
    });
    await expect(keeper.token(never)).rejects.toMatchObject({ code: 'SourceUnavailable' });
  });

  it.each([{ status: 401 }, { status: 403 }, { status: 500 }, { status: 302 }])(
    'F137 keeps the password out of the error when the host quotes it with status $status',
    async ({ status }) => {
      const { keeper } = setUp({
        respond: (form) => ({
          status,
          body: {
            error: `bad ${PASSWORD}`,
            error_description: `form was ${form.toString()} ${PASSWORD}`,
          },
        }),
      });
      const error = await keeper.token(never).catch((reason: unknown) => reason);
      const shown = JSON.stringify([String(error), error, (error as Error).stack]);
      expect(shown).not.toContain(PASSWORD);
      expect(shown).not.toContain(encodeURIComponent(PASSWORD));
    },
  );

  it('without credentials never asks, and says which variables to set', async () => {
    const http = createFakeHttp(() => {
      throw new Error('asked');
    });
    const account = { tokenUrl: TOKEN_URL, username: null, password: null };
    const keeper = createTokenKeeper({ ...account, http, clock: createTestClock() });
    expect(keeper.state()).toBe('missing');
    await expect(keeper.token(never)).rejects.toThrow(/NIMBUS_COPERNICUS_USERNAME/);
    expect(keeper.state()).toBe('missing');
  });
});
