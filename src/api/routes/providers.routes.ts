/** Providers as they are now: what they offer, which limits hold, how many slots are used, whether we may log in. */
import type { Mirror } from '../../mirror/mirror.js';
import type { ApiContext } from '../context.js';
import { createCredentialsProbe } from '../credentials-probe.js';
import { ifUp } from '../deadline.js';
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';

const MOST_JOBS = 500;

export function providersRoutes(context: ApiContext, mount: Mount): void {
  const credentials = createCredentialsProbe(context.now);
  mount(operations.listProviders, async ({ response }) => {
    const items = await Promise.all(
      [...context.providers.values()].map(async (provider) => {
        const info = provider.info();
        const used = ifUp(countInFlight(context.mirror, info.id), context.timings.mirrorMs);
        const state = credentials.stateOf(provider);
        return { ...info, slots_used: await used, credentials: await state };
      }),
    );
    response.json({ items });
  });
}

/** Products being fetched now, as the mirror knows it. */
async function countInFlight(mirror: Mirror, provider: string): Promise<number> {
  const running = await mirror.listJobs({
    filter: { states: ['running'], provider },
    sort: '-created_at',
    page: 1,
    pageSize: MOST_JOBS,
  });
  return running.items.reduce((sum, { snapshot }) => sum + snapshot.in_flight.length, 0);
}
