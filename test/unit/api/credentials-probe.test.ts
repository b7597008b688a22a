import { describe, expect, it } from 'vitest';
import { createCredentialsProbe } from '../../../src/api/credentials-probe.js';
import type { CredentialsState, Provider } from '../../../src/providers/provider.js';

function provider(check: () => Promise<CredentialsState>, state: CredentialsState = 'configured') {
  let checks = 0;
  const double: Pick<Provider, 'id' | 'credentials' | 'check'> = {
    id: 'copernicus',
    credentials: () => state,
    check: async () => (checks++, { state: await check(), detail: '' }),
  };
  return { double: double as Provider, checks: () => checks };
}

describe('the credentials probe', () => {
  it('logs in once for everybody who asks within five minutes', async () => {
    let nowMs = 0;
    const probe = createCredentialsProbe(() => nowMs);
    const { double, checks } = provider(async () => 'rejected');
    expect(await Promise.all([probe.stateOf(double), probe.stateOf(double)])).toEqual([
      'rejected',
      'rejected',
    ]);
    nowMs = 299_999;
    await probe.stateOf(double);
    expect(checks()).toBe(1);
    nowMs = 300_000;
    await probe.stateOf(double);
    expect(checks()).toBe(2);
  });

  it('does not try to log in without credentials', async () => {
    const { double, checks } = provider(async () => 'configured', 'missing');
    expect(await createCredentialsProbe(() => 0).stateOf(double)).toBe('missing');
    expect(checks()).toBe(0);
  });

  it('shows what was last known when the provider does not answer', async () => {
    const { double } = provider(() => Promise.reject(new Error('down')));
    expect(await createCredentialsProbe(() => 0).stateOf(double)).toBe('configured');
  });
});
