/**
 * Fills a mirror again after it was dropped (F105): each job's story from the store, recording by recording, then
 * whatever Temporal knows of jobs whose first recording had not been written. Harmless beside running workers, and to repeat: the
 * mirror keeps what it already has.
 */
import { readStory } from '../../activities/record.activities.js';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { acceptedBatch } from '../jobs/accepted.js';
import type { JobHeader } from '../jobs/job.js';
import { searchAttribute } from '../jobs/search-attributes.js';
import type { Mirror } from '../mirror/mirror.js';
import { isOutOfReach, openClient, type TemporalSettings } from './connection.js';
import { readHeader } from './read-header.js';

export interface RebuildReport {
  jobs: number;
  events: number;
  /** Jobs known to Temporal alone: accepted, nothing recorded yet. */
  fromTemporal: number;
  /** False when Temporal did not answer: stories in the store were restored, jobs without one were not looked for. */
  temporalAsked: boolean;
}

export interface RebuildOptions {
  mirror: Mirror;
  store: ArtifactStore;
  temporal: TemporalSettings;
  onJob?: (report: RebuildReport) => void;
}

export async function rebuildMirror({
  mirror,
  store,
  temporal,
  onJob,
}: RebuildOptions): Promise<RebuildReport> {
  await mirror.prepare();
  const report: RebuildReport = { jobs: 0, events: 0, fromTemporal: 0, temporalAsked: true };
  const told = new Set<string>();
  for (const jobId of await jobsInStore(store)) {
    for await (const batch of readStory(store, jobId)) {
      await mirror.apply(batch);
      report.events += batch.events.length;
    }
    told.add(jobId);
    report.jobs++;
    onJob?.(report);
  }
  await addUntoldJobs(mirror, temporal, told, report);
  return report;
}

async function jobsInStore(store: ArtifactStore): Promise<string[]> {
  const jobs = new Set<string>();
  for (const record of await store.listRecords('jobs/')) {
    const match = /^jobs\/([^/]+)\/story\//.exec(record);
    if (match) jobs.add(match[1]!);
  }
  return [...jobs];
}

/** A job that was accepted while no worker ran has no story yet: its header is its workflow's input. */
async function addUntoldJobs(
  mirror: Mirror,
  temporal: TemporalSettings,
  told: Set<string>,
  report: RebuildReport,
): Promise<void> {
  for (const header of await untoldHeaders(temporal, told, report)) {
    await mirror.apply(acceptedBatch(header));
    report.jobs++;
    report.events++;
    report.fromTemporal++;
  }
}

async function untoldHeaders(
  temporal: TemporalSettings,
  told: Set<string>,
  report: RebuildReport,
): Promise<JobHeader[]> {
  const opened = openClient(temporal.env);
  const headers: JobHeader[] = [];
  try {
    const query = `${searchAttribute.jobType.name} = "search_download" AND ExecutionStatus = "Running"`;
    for await (const { workflowId } of opened.client.workflow.list({ query })) {
      if (told.has(workflowId)) continue;
      headers.push(await readHeader(opened, workflowId));
    }
  } catch (error) {
    if (!isOutOfReach(error)) throw error;
    report.temporalAsked = false;
  } finally {
    await opened.close();
  }
  return headers;
}
