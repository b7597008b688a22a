/**
 * One reader's event stream: what it missed, then what happens, each stored event once and in order. There is no
 * buffer between replay and live: while a stream catches up it only notes that more has come, and reads on from the
 * mirror by position until nothing has. A blocked reader is simply one that catches up later.
 */
import { progressFigures, type JobRecord } from '../jobs/job.js';
import type { JobPage, SequencedEvent } from '../mirror/mirror.js';
import type { ApiContext } from './context.js';
import { fromEventId, toEventId, toSnapshotId } from './event-position.js';
import type { Subscriber } from './event-hub.js';
import type { StreamedEvent } from './schemas.js';
import type { SseWriter } from './sse-writer.js';

/** Small, because a page waits in memory while its reader is slow. */
const PAGE = 200;
const SNAPSHOT_JOBS = 100;
const RETRY_MS = 1_000;

export interface StreamStart {
  epoch: string;
  seq: number;
  /** Jobs to begin with, where the reader cannot go on from where it was. */
  snapshot: JobRecord[] | null;
}

/**
 * Decides how a stream begins. The position is read before the jobs are, so nothing falls between the two.
 * @throws ServiceError StoreUnavailable
 */
export async function startOf(
  { mirror }: ApiContext,
  jobId: string | undefined,
  lastEventId: string | undefined,
): Promise<StreamStart> {
  const { epoch, seq } = await mirror.head();
  const from = lastEventId === undefined ? null : fromEventId(lastEventId, epoch);
  if (from && from.seq <= seq) {
    const usable =
      from.scope === null
        ? isOf((await mirror.eventAt(from.seq))?.event.job_id, jobId)
        : from.scope === (jobId ?? 'all');
    if (usable) return { epoch, seq: from.seq, snapshot: null };
  }
  return { epoch, seq, snapshot: await readSnapshot({ mirror }, jobId) };
}

const isOf = (eventJobId: string | undefined, jobId: string | undefined): boolean =>
  eventJobId !== undefined && (jobId === undefined || eventJobId === jobId);

async function readSnapshot(
  { mirror }: Pick<ApiContext, 'mirror'>,
  jobId: string | undefined,
): Promise<JobRecord[]> {
  if (jobId !== undefined) {
    const record = await mirror.getJob(jobId);
    return record ? [record] : [];
  }
  const newest: JobPage = await mirror.listJobs({
    filter: {},
    sort: '-created_at',
    page: 1,
    pageSize: SNAPSHOT_JOBS,
  });
  return newest.items;
}

export class EventStream implements Subscriber {
  private seq = 0;
  private epoch = '';
  /** More may be there than was sent. */
  private behind = true;
  private catchingUp = true;
  /** The mirror may have become another one. */
  private unsure = false;

  constructor(
    private readonly context: ApiContext,
    private readonly writer: SseWriter,
    private readonly jobId: string | undefined,
  ) {}

  /** Sends the beginning, then everything up to now; live from there. Until then, what comes is only noted. */
  async begin(start: StreamStart): Promise<void> {
    this.epoch = start.epoch;
    this.seq = start.seq;
    if (start.snapshot) this.sendSnapshot(start.snapshot);
    await this.catchUp();
  }

  onEvent({ seq, event }: SequencedEvent): void {
    if (!isOf(event.job_id, this.jobId)) return;
    if (this.catchingUp || this.writer.blocked) return this.fallBehind();
    this.sendEvent({ seq, event });
  }

  onProgress(record: JobRecord): void {
    if (this.catchingUp || this.writer.blocked || !isOf(record.header.job_id, this.jobId)) return;
    const nowMs = this.context.now();
    this.send({
      job_id: record.header.job_id,
      number: null,
      type: 'job.progress',
      at: new Date(nowMs).toISOString(),
      data: progressFigures(record.snapshot, record.live, nowMs),
    });
  }

  onGap(): void {
    this.unsure = true;
    this.fallBehind();
  }

  onEnd(): void {
    this.writer.end();
  }

  private fallBehind(): void {
    this.behind = true;
    if (!this.catchingUp) void this.catchUp();
  }

  private async catchUp(): Promise<void> {
    this.catchingUp = true;
    let waiting = false;
    while (this.behind && !this.writer.closed) {
      this.behind = false;
      try {
        if (this.unsure) await this.checkEpoch();
        await this.replay();
      } catch (error) {
        if (!waiting) this.context.logger.warn({ err: error }, 'event stream waits for the mirror');
        waiting = true;
        this.behind = true;
        await pause(RETRY_MS);
      }
    }
    this.catchingUp = false;
  }

  private async replay(): Promise<void> {
    for (;;) {
      if (this.writer.blocked) await this.writer.drained();
      if (this.writer.closed) return;
      const options = { limit: PAGE, ...(this.jobId === undefined ? {} : { jobId: this.jobId }) };
      const page = await this.context.mirror.eventsAfter(this.seq, options);
      for (const sequenced of page) {
        if (this.writer.blocked) await this.writer.drained();
        if (this.writer.closed) return;
        this.sendEvent(sequenced);
      }
      if (page.length < PAGE) return;
    }
  }

  /** After a gap: a mirror that was dropped and filled again counts anew. */
  private async checkEpoch(): Promise<void> {
    this.unsure = false;
    const head = await this.context.mirror.head().catch((error: unknown) => {
      this.unsure = true;
      throw error;
    });
    if (head.epoch === this.epoch) return;
    const jobs = await readSnapshot(this.context, this.jobId);
    this.epoch = head.epoch;
    this.seq = head.seq;
    this.sendSnapshot(jobs);
  }

  private sendEvent({ seq, event }: SequencedEvent): void {
    if (seq <= this.seq || this.writer.closed) return;
    this.seq = seq;
    this.send(event, toEventId(this.epoch, seq));
  }

  private sendSnapshot(records: JobRecord[]): void {
    const event: StreamedEvent = {
      job_id: this.jobId ?? null,
      number: null,
      type: 'snapshot',
      at: new Date(this.context.now()).toISOString(),
      data: { jobs: records.map(this.context.show) },
    };
    this.send(event, toSnapshotId(this.epoch, this.seq, this.jobId));
  }

  private send(event: StreamedEvent, id?: string): void {
    if (this.writer.closed) return;
    this.writer.send({
      ...(id === undefined ? {} : { id }),
      event: event.type,
      data: JSON.stringify(event),
    });
  }
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms).unref());
