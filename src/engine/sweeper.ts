/**
 * Removes unfinished bytes that no download owns any more (I10): a worker died, its job was cancelled or terminated, and
 * nobody came back for them. Only what Temporal does not know as running goes, and only after a day.
 */
import type { Logger } from 'pino';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { knownPaths } from '../artifacts/held-files.js';
import { fileKey, fromDownloadWorkflowId, transferKey } from '../jobs/ids.js';
import { searchAttribute } from '../jobs/search-attributes.js';
import { openClient, type TemporalSettings } from './connection.js';

const ORPHAN_MS = 86_400_000;
const EVERY_MS = 3_600_000;

/** Sweeps now and then until the signal aborts. Temporal out of reach: nothing is removed. */
export function startSweeper(
  store: ArtifactStore,
  settings: TemporalSettings,
  logger: Logger,
  signal: AbortSignal,
): void {
  const sweep = async (): Promise<void> => {
    try {
      const owned = await ownedDirectories(store, settings);
      const swept = await store.sweep(ORPHAN_MS, (directory) => owned.has(directory));
      if (swept.removed > 0) logger.info(swept, 'orphans removed');
    } catch (error) {
      logger.debug({ error: String(error) }, 'sweep put off');
    }
  };
  const timer = setInterval(() => void sweep(), EVERY_MS);
  timer.unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}

async function ownedDirectories(
  store: ArtifactStore,
  settings: TemporalSettings,
): Promise<Set<string>> {
  const { client, close } = openClient(settings.env);
  try {
    const owned = new Set<string>();
    const query = `${searchAttribute.jobType.name} = "download" AND ExecutionStatus = "Running"`;
    for await (const { workflowId } of client.workflow.list({ query })) {
      const product = fromDownloadWorkflowId(workflowId);
      if (product === null) continue;
      const { provider, productId } = product;
      owned.add(store.partialDirectory(transferKey(provider, productId)));
      for (const path of await knownPaths(store, provider, productId))
        owned.add(store.partialDirectory(fileKey(provider, productId, path)));
    }
    return owned;
  } finally {
    await close();
  }
}
