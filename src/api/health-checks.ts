/** What health says: each part asked at once, each given a short time. Never logs in anywhere. */
import type { ApiContext } from './context.js';
import { within } from './deadline.js';
import type { Check, Health } from './schemas.js';

const LOW_DISK_BYTES = 1024 ** 3;

export async function checkHealth(context: ApiContext): Promise<Health> {
  const [{ temporal, mirror }, data_dir] = await Promise.all([
    checkCore(context),
    check(context, 'Data directory', async () => {
      const [free] = await Promise.all([context.store.freeBytes(), context.store.ping()]);
      return free < LOW_DISK_BYTES ? `${Math.floor(free / 1024 ** 2)} MiB free` : null;
    }),
  ]);
  const checks = { temporal, mirror, data_dir, providers: checkProviders(context) };
  const allWell = Object.values(checks).every(({ status }) => status === 'ok');
  return { status: allWell ? 'ok' : 'degraded', version: context.version, checks };
}

/** What no job can be submitted or read without. */
export async function checkCore(context: ApiContext): Promise<{ temporal: Check; mirror: Check }> {
  const [temporal, mirror] = await Promise.all([
    check(context, 'Temporal', () => context.engine.ping()),
    check(context, 'Mirror', () => context.mirror.ping()),
  ]);
  return { temporal, mirror };
}

/** @param ask a text is a complaint; nothing, or null, is none */
async function check(
  context: ApiContext,
  what: string,
  ask: () => Promise<string | null | void>,
): Promise<Check> {
  try {
    const complaint = await within(ask(), context.timings.checkMs, what);
    return complaint ? { status: 'degraded', detail: complaint } : { status: 'ok' };
  } catch (error) {
    return { status: 'degraded', detail: error instanceof Error ? error.message : 'No answer' };
  }
}

function checkProviders({ providers }: ApiContext): Check {
  const complaints = [...providers.values()]
    .map((provider) => ({ id: provider.id, state: provider.credentials() }))
    .filter(({ state }) => state !== 'configured')
    .map(({ id, state }) => `${id}: credentials ${state}`);
  return complaints.length === 0
    ? { status: 'ok' }
    : { status: 'degraded', detail: complaints.join(', ') };
}
