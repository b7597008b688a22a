/**
 * Tells the story to the mirror and the store: one recording at a time, everything untold in it, so that a busy job costs
 * few round trips and the order of events is the order of numbers. An ordinary activity, not a local one: its input is in
 * the history before it runs, so a worker that dies in between repeats the very same events (docs/decisions/0003).
 */
import { CancellationScope, patched } from '@temporalio/workflow';
import type { JobHeader } from '../../src/jobs/job.js';
import type { StoredEventType } from '../../src/jobs/event.js';
import type { SnapshotChange, Story } from '../../src/jobs/story.js';
import type { Activities } from '../../activities/index.js';
import { endOfStep } from './step.js';

/** Keeps one recording's payload far below Temporal's warning at 256 kB. */
const EVENTS_A_RECORDING = 80;
const CHARACTERS_A_RECORDING = 160_000;

export class Recorder {
  private busy: Promise<void> | null = null;
  private manifest = false;
  /** Older histories have recordings that end in the middle of a step, wherever an await happened to be. */
  private readonly byStep = patched('2026-11-recordings-by-step');

  constructor(
    private readonly header: JobHeader,
    readonly story: Story,
    private readonly recordEvents: Activities['recordEvents'],
  ) {}

  /** Appends an event, stamped with the workflow's clock; recorded soon, not awaited. */
  tell(type: StoredEventType, data: Record<string, unknown>, change: SnapshotChange = {}): void {
    this.story.tell(type, new Date(Date.now()).toISOString(), data, change);
    // Recording goes on while the job is being cancelled; failures are retried for ever by the activity's policy.
    this.busy ??= CancellationScope.nonCancellable(() => this.record());
  }

  /** Appends the job's last event; the manifest, where there is to be one, is written before it is recorded. */
  tellLast(
    type: StoredEventType,
    data: Record<string, unknown>,
    change: SnapshotChange,
    manifest: boolean,
  ): Promise<void> {
    this.manifest = manifest;
    this.tell(type, data, change);
    return this.settled();
  }

  /** Resolves once everything told so far is recorded. */
  async settled(): Promise<void> {
    while (this.busy !== null) await this.busy;
  }

  private async record(): Promise<void> {
    // Whatever else is told in this same step goes along.
    await (this.byStep ? endOfStep() : Promise.resolve());
    try {
      while (this.story.hasUntold) {
        const events = this.story.take(EVENTS_A_RECORDING, CHARACTERS_A_RECORDING);
        const opens = events[0]!.number === 1;
        await this.recordEvents({
          job_id: this.header.job_id,
          header: opens ? this.header : null,
          snapshot: this.story.snapshot,
          events,
          manifest: this.manifest && !this.story.hasUntold,
        });
      }
    } finally {
      this.busy = null;
    }
  }
}
