/**
 * A job's story while it is being told: numbers each event and keeps the snapshot that follows from it.
 * Pure, deterministic: used by the workflow, and by tests that ask what a sequence of events must project to.
 */
import type { JobEvent, StoredEventType } from './event.js';
import type { JobSnapshot } from './job.js';

export type SnapshotChange = Partial<Omit<JobSnapshot, 'version' | 'updated_at'>>;

export class Story {
  /** Events that nobody has recorded yet, oldest first. */
  private untold: JobEvent[] = [];

  constructor(
    private readonly jobId: string,
    public snapshot: JobSnapshot,
  ) {}

  /** Appends one event; `at` is RFC 3339 UTC. */
  tell(
    type: StoredEventType,
    at: string,
    data: Record<string, unknown>,
    change: SnapshotChange,
  ): void {
    const number = this.snapshot.version + 1;
    this.snapshot = { ...this.snapshot, ...change, version: number, updated_at: at };
    this.untold.push({ job_id: this.jobId, number, type, at, data });
  }

  get hasUntold(): boolean {
    return this.untold.length > 0;
  }

  /** Takes the oldest untold events: one, and as many more as there may be of in number and together in characters of JSON. */
  take(limit: number, limitCharacters = Infinity): JobEvent[] {
    let count = 0;
    let characters = 0;
    for (const event of this.untold.slice(0, limit)) {
      characters += JSON.stringify(event).length;
      if (count > 0 && characters > limitCharacters) break;
      count++;
    }
    return this.untold.splice(0, count);
  }
}
