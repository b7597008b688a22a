/** Who gets the token, who may be asked, and when to stop asking (F034, F038, F040, F048, F049). */
import { afterEach, describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import { assertAllowed, isPrivateAddress } from '../../../src/transfer/http/hosts.js';
import {
  honest,
  startLyingServer,
  type Answer,
  type LyingServer,
  type Script,
} from '../../support/lying-server.js';
import { bytesOf, useKits } from '../../support/transfer-kit.js';

const file = bytesOf(50_000);
const empty = { 'content-length': '0' };
const serve = useKits();
let second: LyingServer | undefined;
afterEach(async () => {
  await second?.close();
  second = undefined;
});

describe('F034 a token that expires', () => {
  it('in the middle of a file is renewed before the next request, once', async () => {
    let token = 0;
    const rejected: Record<string, string>[] = [];
    const kit = await serve((request) => {
      const answer = honest(request, file, { etag: '"one"' });
      if (request.index === 0)
        return { ...answer, body: answer.body.subarray(0, 20_000), then: 'end' };
      return request.headers.authorization === 'Bearer 0'
        ? { status: 401, headers: empty }
        : answer;
    });
    const result = await kit.fetch(
      kit.source(file, {
        headers: async () => ({ authorization: `Bearer ${token}` }),
        rejected: (headers) => {
          rejected.push(headers);
          token++;
        },
      }),
    );
    expect((await kit.content(result)).equals(file)).toBe(true);
    expect(rejected).toEqual([{ authorization: 'Bearer 0' }]);
    expect(kit.server.requests).toHaveLength(3);
  });

  it.each([1, 4, 8])(
    'under %i connections at once is one renewal and one file',
    async (connections) => {
      const large = bytesOf(3_000_000);
      let valid = 0;
      let current = 0;
      let renewals = 0;
      const kit = await serve(
        (request) => {
          if (request.headers.authorization !== `Bearer ${valid}`)
            return { status: 401, headers: empty };
          // expires when all are in the middle of something
          if (request.index === 5) valid++;
          const answer = honest(request, large, { etag: '"one"' });
          return {
            ...answer,
            body: answer.body.subarray(0, 200_000),
            sliceBytes: 32_000,
            everyMs: 1,
          };
        },
        { connections },
      );
      const result = await kit.fetch(
        kit.source(large, {
          headers: async () => ({ authorization: `Bearer ${current}` }),
          rejected: (headers) => {
            if (headers.authorization !== `Bearer ${current}`) return;
            current++;
            renewals++;
          },
        }),
      );
      expect((await kit.content(result)).equals(large)).toBe(true);
      expect(renewals).toBe(1);
    },
  );

  it('F038 a second 401 in a row ends it', async () => {
    const kit = await serve(() => ({ status: 401, headers: empty }));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'SourceDenied' });
    expect(kit.server.requests).toHaveLength(2);
  });
});

it('asks the provider first what an error means', async () => {
  const kit = await serve(() => ({
    status: 403,
    headers: { 'content-length': '7', 'x-why': 'licence' },
    body: 'licence',
  }));
  const seen: unknown[] = [];
  const source = kit.source(file, {
    translate: (answer) => {
      seen.push(answer);
      return new ServiceError('SourceOffline', 'On tape');
    },
  });
  await expect(kit.fetch(source)).rejects.toMatchObject({ code: 'SourceOffline' });
  expect(seen).toEqual([
    { status: 403, headers: expect.objectContaining({ 'x-why': 'licence' }), body: 'licence' },
  ]);
});

describe('F040 429 and 503 with Retry-After', () => {
  const answering =
    (status: number, after: string | null): Script =>
    (request) =>
      request.index === 0
        ? { status, headers: { ...empty, ...(after !== null && { 'retry-after': after }) } }
        : honest(request, file);

  it.each([
    [429, '0'],
    [503, '0'],
    [429, '-5'],
    [429, null],
    [503, null],
    [429, 'soon'],
    [429, new Date(Date.now() - 5000).toUTCString()],
  ])('%i, %s: waits inside and goes on', async (status, after) => {
    const kit = await serve(answering(status, after));
    const result = await kit.fetch(kit.source(file));
    expect(result.bytes).toBe(file.length);
    expect(kit.server.requests).toHaveLength(2);
  });

  it.each([
    ['seconds', () => '120', 120_000, 120_000],
    ['a date', () => new Date(Date.now() + 100_000).toUTCString(), 90_000, 100_000],
    ['ten years', () => '315360000', 3_600_000, 3_600_000],
  ])('a long wait, %s, is the caller’s', async (_, after, least, most) => {
    const kit = await serve(answering(429, after()));
    const error: unknown = await kit.fetch(kit.source(file)).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'SourceThrottled' });
    const { retryAfterMs } = error as ServiceError;
    expect(retryAfterMs).toBeGreaterThanOrEqual(least);
    expect(retryAfterMs).toBeLessThanOrEqual(most);
  });

  it('stops asking a provider that says "now" for ever', async () => {
    const kit = await serve(() => ({ status: 429, headers: { ...empty, 'retry-after': '0' } }));
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'SourceThrottled' });
    expect(kit.server.requests).toHaveLength(5);
  });
});

describe('F041 a provider that takes fewer connections than we were allowed', () => {
  it.each([
    ['429', (): Answer => ({ status: 429, headers: { ...empty, 'retry-after': '0' } })],
    ['503', (): Answer => ({ status: 503, headers: empty })],
    ['a reset', (): Answer => ({ head: '', then: 'reset' })],
    ['silence', (): Answer => ({ silent: true })],
  ])('and says so with %s: goes on with those it has', async (_, refusal) => {
    const large = bytesOf(2_000_000);
    let active = 0;
    const kit = await serve(
      async (request) => {
        if (active >= 2) return refusal();
        active++;
        const answer = honest(request, large, { etag: '"one"' });
        const end = answer.body.length / 32_000;
        setTimeout(() => active--, 2 * end);
        return { ...answer, sliceBytes: 32_000, everyMs: 2 };
      },
      { connections: 6 },
    );
    const result = await kit.fetch(kit.source(large));
    expect((await kit.content(result)).equals(large)).toBe(true);
  });
});

describe('F048 a redirect to another host', () => {
  const redirected = async (trusts: boolean) => {
    second = await startLyingServer((request) => honest(request, file));
    const target = second.host;
    const kit = await serve(() => ({
      status: 302,
      headers: { ...empty, location: `http://${target}/elsewhere` },
    }));
    const { host } = kit.server;
    kit.allow({ hosts: [target] });
    await kit.fetch(
      kit.source(file, {
        headers: async () => ({ authorization: 'Bearer secret', 'x-api-key': 'secret' }),
        trustedHosts: trusts ? [host, target] : [host],
        plainHttpHosts: [host, target],
      }),
    );
    return { first: kit.server.requests[0]?.headers, last: second.requests[0]?.headers };
  };

  it('goes without token and custom headers where the provider does not trust it', async () => {
    const { first, last } = await redirected(false);
    expect(first).toMatchObject({ authorization: 'Bearer secret', 'x-api-key': 'secret' });
    expect(JSON.stringify(last)).not.toContain('secret');
  });
  it('keeps them where it does', async () => {
    const { last } = await redirected(true);
    expect(last).toMatchObject({ authorization: 'Bearer secret', 'x-api-key': 'secret' });
  });
});

describe('F049 addresses that must not be asked', () => {
  const rules = { trustedHosts: ['data.example'], plainHttpHosts: ['127.0.0.1:8000'] };
  const from = new URL('https://data.example/a');

  it.each([
    ['https to http', 'http://data.example/b'],
    ['https to a plain http host that is allowed otherwise', 'http://127.0.0.1:8000/b'],
    ['a bare address', 'https://93.184.216.34/b'],
    ['a private address', 'https://10.0.0.1/b'],
    ['a decimal address', 'https://2130706433/b'],
    ['an IPv6 loopback', 'https://[::1]/b'],
    ['IPv4 in IPv6', 'https://[::ffff:169.254.169.254]/b'],
    ['another scheme', 'file:///etc/passwd'],
    ['credentials in the address', 'https://user:word@data.example/b'],
  ])('%s', (_, address) => {
    expect(() => assertAllowed(new URL(address), from, rules)).toThrow(ServiceError);
  });

  it.each(['64:ff9b:1::a00:1', '64:ff9b::a00:1', 'fec0::1', 'fe80::1', '::ffff:10.0.0.1'])(
    '%s is private',
    (address) => expect(isPrivateAddress(address)).toBe(true),
  );

  it('allows https to a public name, and http where the operator said so', () => {
    expect(() => assertAllowed(new URL('https://cdn.example/b'), from, rules)).not.toThrow();
    expect(() => assertAllowed(new URL('http://127.0.0.1:8000/'), null, rules)).not.toThrow();
    expect(() => assertAllowed(new URL('http://data.example/'), null, rules)).toThrow(/plain http/);
  });

  it('a name that leads to a private address is refused where the connection is made', async () => {
    const kit = await serve((request) => honest(request, file));
    const url = kit.server.url().replace('127.0.0.1', 'localhost').replace('http:', 'https:');
    const failure = kit.fetch(kit.source(file, { url, trustedHosts: [], plainHttpHosts: [] }));
    await expect(failure).rejects.toMatchObject({
      code: 'SourceRefused',
      message: expect.stringContaining('private address'),
    });
    expect(kit.server.requests).toHaveLength(0);
  });

  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '::1',
    '::',
    'fe80::1',
    'fd00::1',
    '::ffff:127.0.0.1',
    '::7f00:1',
    'nonsense',
  ])('%s is private', (address) => expect(isPrivateAddress(address)).toBe(true));
  it.each(['8.8.8.8', '93.184.216.34', '2606:4700::1111'])('%s is public', (address) =>
    expect(isPrivateAddress(address)).toBe(false),
  );
});

it('F050 shows no query of an address in an error', async () => {
  const kit = await serve(() => ({ status: 302, headers: { ...empty, location: '?sig=secret' } }));
  const failure = kit.fetch(kit.source(file, { url: kit.server.url('/file?sig=secret') }));
  await expect(failure).rejects.toThrow(/circle/);
  await expect(failure).rejects.not.toThrow(/secret/);
});
