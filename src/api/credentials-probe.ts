/**
 * Whether a provider takes our credentials, found out when somebody asks and then remembered for a while: workers log in
 * on their own, and what one of them was told does not reach this process.
 */
import type { CredentialsState, Provider } from '../providers/provider.js';
import { within } from './deadline.js';

const REMEMBER_MS = 300_000;
const ANSWER_MS = 3_000;

export interface CredentialsProbe {
  /** Never rejects: a provider that does not answer in time shows as it was last known. */
  stateOf(provider: Provider): Promise<CredentialsState>;
}

export function createCredentialsProbe(now: () => number): CredentialsProbe {
  const asked = new Map<string, { atMs: number; state: Promise<CredentialsState> }>();

  async function ask(provider: Provider): Promise<CredentialsState> {
    const giveUp = AbortSignal.timeout(ANSWER_MS);
    try {
      return (await within(provider.check(giveUp), ANSWER_MS, provider.id)).state;
    } catch {
      return provider.credentials();
    }
  }

  return {
    async stateOf(provider) {
      if (provider.credentials() !== 'configured') return provider.credentials();
      const known = asked.get(provider.id);
      if (known && now() - known.atMs < REMEMBER_MS) return await known.state;
      const state = ask(provider);
      asked.set(provider.id, { atMs: now(), state });
      return await state;
    },
  };
}
