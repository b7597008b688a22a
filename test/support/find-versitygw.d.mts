import type * as cache from '../../src/cli/local/cache.js';
import type { Notes } from '../../src/cli/output/notes.js';

/** Absolute path, or null when none can be had. */
export function findVersitygw(
  from: Pick<typeof cache, 'onPath' | 'runs' | 'cacheDirectory' | 'obtain' | 'step'>,
  context: { env: cache.Environment; notes: Notes; signal: AbortSignal },
): Promise<string | null>;
