/**
 * Fills a mirror again after it was dropped (F105): each job's story from the store, recording by recording, then
 * whatever Temporal knows of jobs whose first recording had not been written. Harmless beside running workers, and to repeat: the
 * mirror keeps what it already has.
 */
import { readStory } from '../../activities/record.activities.js';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { initialSnapshot, type JobHeader } from '../jobs/job.js';
import { searchAttribute } from '../jobs/search-attributes.js';
import type { Mirror } from '../mirror/mirror.js';
import { openClient, type TemporalSettings } from './connection.js';

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
  const { client, close } = openClient(temporal.env);
  try {
    const query = `${searchAttribute.jobType.name} = "search_download" AND ExecutionStatus = "Running"`;
    for await (const { workflowId } of client.workflow.list({ query })) {
      if (told.has(workflowId)) continue;
      const header = await readHeader(client, workflowId);
      if (header === null) continue;
      const event = {
        job_id: header.job_id,
        number: 1,
        type: 'job.queued' as const,
        at: header.created_at,
        data: {},
      };
      await mirror.apply({
        header,
        snapshot: { ...initialSnapshot(header.created_at), version: 1 },
        events: [event],
      });
      report.jobs++;
      report.events++;
      report.fromTemporal++;
    }
  } catch {
    report.temporalAsked = false;
  } finally {
    await close();
  }
}

async function readHeader(
  client: ReturnType<typeof openClient>['client'],
  workflowId: string,
): Promise<JobHeader | null> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const data = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data;
  if (!data) return null;
  return (JSON.parse(Buffer.from(data).toString('utf8')) as { header: JobHeader }).header;
}
