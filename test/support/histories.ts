/**
 * Recorded histories: `RECORD_HISTORIES=1 npx vitest run test/workflow` writes those of today's code to test/histories,
 * where test/replay replays them against every later version. Recorded once per scenario and released version.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

const directory = fileURLToPath(new URL('../histories/', import.meta.url));

export async function saveHistory(
  handle: Pick<WorkflowHandle, 'fetchHistory'>,
  scenario: string,
): Promise<void> {
  if (process.env['RECORD_HISTORIES'] !== '1') return;
  mkdirSync(directory, { recursive: true });
  const day = new Date().toISOString().slice(0, 10);
  writeFileSync(
    `${directory}${scenario}.${day}.json`,
    `${historyToJSON(await handle.fetchHistory())}\n`,
  );
}

/** [name, history] of each recorded one. */
export function recordedHistories(): [string, object][] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => [
      name.replace(/\.json$/, ''),
      JSON.parse(readFileSync(directory + name, 'utf8')) as object,
    ]);
}
