/**
 * The bandwidth limits of one worker: one line for everything, and one for each provider. Which limit is in force follows
 * from the environment, from what was set live (one record in the store, which every worker looks at), and from the
 * clock. Each worker keeps the limits for itself: nothing is divided between workers.
 */
import type { Logger } from 'pino';
import { z } from 'zod';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { isServiceError } from '../jobs/error-codes.js';
import { joinAll, Limiter, type Bandwidth } from '../transfer/bandwidth.js';
import {
  formatLimit,
  limitAt,
  parseBandwidth,
  type BandwidthTable,
} from '../transfer/bandwidth-table.js';

export const BANDWIDTH_RECORD = 'bandwidth.json';

/** Name of the line that everything goes through, beside the providers' own. */
export const ALL = 'all';

/** What the environment says. Texts have been checked. */
export interface BandwidthSettings {
  /** By line: `all`, or a provider's id. */
  limits: Readonly<Record<string, string>>;
  timeZone: string;
}

const liveSchema = z.object({
  /** By line; a line that is missing is as the environment says. */
  limits: z.record(z.string(), z.object({ text: z.string(), time_zone: z.string() })),
  changed_at: z.string(),
});
export type LiveBandwidth = z.infer<typeof liveSchema>;

export interface BandwidthLine {
  line: string;
  table: BandwidthTable;
  source: 'environment' | 'live';
}

/** What was set live; null = nothing ever was. @throws ServiceError StoreUnavailable, ZodError where it cannot be read */
export async function readLiveBandwidth(
  store: Pick<ArtifactStore, 'getRecord'>,
): Promise<LiveBandwidth | null> {
  try {
    return liveSchema.parse(await store.getRecord(BANDWIDTH_RECORD));
  } catch (error) {
    if (isServiceError(error) && error.code === 'NotFound') return null;
    throw error;
  }
}

/** Sets a line live, or with null leaves it to the environment again. The text has been checked. */
export async function writeLiveBandwidth(
  store: Pick<ArtifactStore, 'getRecord' | 'putRecord'>,
  line: string,
  limit: { text: string; time_zone: string } | null,
): Promise<void> {
  const { [line]: _before, ...others } = (await readLiveBandwidth(store))?.limits ?? {};
  const limits = limit === null ? others : { ...others, [line]: limit };
  await store.putRecord(BANDWIDTH_RECORD, { limits, changed_at: new Date().toISOString() });
}

/** The lines that have a limit, `all` first. What was set live goes before what the environment says. */
export function linesInForce(
  settings: BandwidthSettings,
  live: LiveBandwidth | null,
): BandwidthLine[] {
  const names = new Set([ALL, ...Object.keys({ ...settings.limits, ...live?.limits }).sort()]);
  return [...names].flatMap((line): BandwidthLine[] => {
    const set = live?.limits[line];
    if (set) return [{ line, table: parseBandwidth(set.text, set.time_zone), source: 'live' }];
    const text = settings.limits[line];
    if (text === undefined) return [];
    return [{ line, table: parseBandwidth(text, settings.timeZone), source: 'environment' }];
  });
}

export interface BandwidthControl {
  /** A new transfer's place on the lines of this provider. */
  of: (provider: string) => Bandwidth;
  /** Looks at record and clock now. */
  look: () => Promise<void>;
}

const LOOK_MS = 2_000;

/**
 * Follows settings, record and clock until the signal aborts. A record that cannot be read, or says nonsense, changes
 * nothing; it is warned about once.
 */
export function createBandwidthControl(
  settings: BandwidthSettings,
  store: Pick<ArtifactStore, 'getRecord'>,
  logger: Pick<Logger, 'info' | 'warn'>,
  signal: AbortSignal,
  now: () => number = Date.now,
): BandwidthControl {
  const limiters = new Map<string, Limiter>();
  const shown = new Map<string, number | null>();
  let lines = linesInForce(settings, null);
  let hasWarned = false;

  const limiterOf = (line: string): Limiter => {
    const known = limiters.get(line);
    if (known) return known;
    const limiter = new Limiter(null);
    limiters.set(line, limiter);
    return limiter;
  };

  /** Sets every line to what its table says at this moment. */
  const apply = (): void => {
    const inForce = new Map(lines.map(({ line, table }) => [line, limitAt(table, now())]));
    for (const line of new Set([...inForce.keys(), ...limiters.keys()])) {
      const limit = inForce.get(line) ?? null;
      limiterOf(line).setLimit(limit);
      if (limit !== (shown.get(line) ?? null))
        logger.info({ line, limit: formatLimit(limit) }, 'bandwidth limit');
      shown.set(line, limit);
    }
  };

  const look = async (): Promise<void> => {
    try {
      lines = linesInForce(settings, await readLiveBandwidth(store));
      hasWarned = false;
    } catch (error) {
      if (!hasWarned) logger.warn({ err: error }, 'live bandwidth limits cannot be read');
      hasWarned = true;
    }
    apply();
  };

  let isLooking = false;
  const tick = (): void => {
    // The clock goes on while the store does not answer.
    apply();
    if (isLooking) return;
    isLooking = true;
    void look().finally(() => (isLooking = false));
  };
  tick();
  const timer = setInterval(tick, LOOK_MS);
  timer.unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });

  return {
    of: (provider) => joinAll([limiterOf(ALL), limiterOf(provider)]),
    look,
  };
}
