/** The registry of mirrors: a further backend is one more case here, and must pass test/contract/mirror.contract.ts. */
import type { Logger } from '../telemetry/log.js';
import type { Mirror } from './mirror.js';
import { createMongoMirror } from './mongo/mongo-mirror.js';
import { createSqliteMirror } from './sqlite/sqlite-mirror.js';

export { createSpooledMirror, type SpooledMirror } from './spool.js';

export type MirrorSettings =
  { backend: 'mongodb'; uri: string; database: string } | { backend: 'sqlite'; path: string };

/** Neither backend is touched before the first call. */
export function createMirror(settings: MirrorSettings, logger?: Logger): Mirror {
  const log = logger ? { logger } : {};
  switch (settings.backend) {
    case 'mongodb':
      return createMongoMirror({ uri: settings.uri, database: settings.database, ...log });
    case 'sqlite':
      return createSqliteMirror({ path: settings.path, ...log });
  }
}
