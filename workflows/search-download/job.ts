/** What the steps of one run share: the request, the story as told so far, how far the job is, and the way to the next run. */
import { continueAsNew, log, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { StoredEventType } from '../../src/jobs/event.js';
import type { JobHeader, JobSnapshot, JobState, Waiting } from '../../src/jobs/job.js';
import { searchAttribute } from '../../src/jobs/search-attributes.js';
import { initialSnapshot } from '../../src/jobs/snapshot.js';
import { Story } from '../../src/jobs/story.js';
import { patientSteps } from '../shared/activities.js';
import { Recorder } from '../shared/recorder.js';
import {
  defaultOptions,
  type Progress,
  type SearchDownloadInput,
  type SearchDownloadOptions,
} from './input.js';

export class Job {
  readonly header: JobHeader;
  readonly options: SearchDownloadOptions;
  readonly progress: Progress;
  readonly isFirstRun: boolean;
  readonly recorder: Recorder;

  constructor(private readonly input: SearchDownloadInput) {
    this.header = input.header;
    this.options = { ...defaultOptions, ...input.options };
    this.isFirstRun = input.progress === undefined;
    this.progress = input.progress ?? {
      snapshot: initialSnapshot(this.header.created_at),
      phase: { name: 'search', page: 0, cursor: null },
      firstProblem: null,
    };
    this.recorder = new Recorder(
      this.header,
      new Story(this.header.job_id, this.progress.snapshot),
      patientSteps(this.options).recordEvents,
    );
  }

  get snapshot(): JobSnapshot {
    return this.recorder.story.snapshot;
  }

  /** An event that says what the job waits for from now on; null = for nothing any more. */
  tellWaiting(
    type: StoredEventType,
    data: Record<string, unknown>,
    waiting: Omit<Waiting, 'since'> | null,
  ): void {
    const told =
      waiting === null ? null : { ...waiting, since: new Date(Date.now()).toISOString() };
    this.recorder.tell(
      type,
      { ...data, ...(told === null ? {} : { waiting: told }) },
      { waiting: told },
    );
  }

  showState(state: JobState): void {
    upsertSearchAttributes([{ key: searchAttribute.state, value: state }]);
  }

  /** Next run: nothing is in flight, everything is told. */
  async continue(): Promise<never> {
    await this.recorder.settled();
    const progress: Progress = { ...this.progress, snapshot: this.snapshot };
    log.info('continuing as new', { events: workflowInfo().historyLength });
    return await continueAsNew<(input: SearchDownloadInput) => Promise<JobSnapshot>>({
      header: this.header,
      ...(this.input.options ? { options: this.input.options } : {}),
      progress,
    });
  }
}
