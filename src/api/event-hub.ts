/**
 * One tail of the mirror for the whole process, fanned out to any number of event streams. Starts with the first
 * stream; progress is thinned here, once for all, so that a job says at most two a second.
 */
import type { JobRecord } from '../jobs/job.js';
import type { FeedItem, Mirror, SequencedEvent } from '../mirror/mirror.js';

export interface Subscriber {
  onEvent(sequenced: SequencedEvent): void;
  onProgress(record: JobRecord): void;
  /** Something may have been missed: read again from where you stand. */
  onGap(): void;
  /** The process is stopping. */
  onEnd(): void;
}

export interface EventHub {
  /** Resolves once the tail is live. @throws ServiceError StoreUnavailable; the next call tries again */
  ready(): Promise<void>;
  subscribe(subscriber: Subscriber): () => void;
  readonly subscribers: number;
  /** Ends every stream and the tail. */
  close(): void;
}

interface Thinned {
  latest: JobRecord | null;
  timer: NodeJS.Timeout | null;
}

export interface HubOptions {
  mirror: Mirror;
  progressMs: number;
  now: () => number;
  onLag: (seconds: number) => void;
}

export function createEventHub({ mirror, progressMs, now, onLag }: HubOptions): EventHub {
  const subscribers = new Set<Subscriber>();
  const stopping = new AbortController();
  const progress = new Map<string, Thinned>();
  let following: Promise<void> | null = null;

  const emitProgress = (jobId: string, state: Thinned, record: JobRecord): void => {
    state.latest = null;
    state.timer = setTimeout(() => {
      state.timer = null;
      if (state.latest) emitProgress(jobId, state, state.latest);
      else progress.delete(jobId);
    }, progressMs);
    state.timer.unref();
    for (const subscriber of subscribers) subscriber.onProgress(record);
  };

  const onItem = (item: FeedItem): void => {
    if (item.kind === 'gap') {
      for (const subscriber of subscribers) subscriber.onGap();
    } else if (item.kind === 'event') {
      onLag((now() - Date.parse(item.event.at)) / 1000);
      for (const subscriber of subscribers) subscriber.onEvent(item);
    } else {
      const jobId = item.record.header.job_id;
      const state = progress.get(jobId) ?? { latest: null, timer: null };
      progress.set(jobId, state);
      if (state.timer) state.latest = item.record;
      else emitProgress(jobId, state, item.record);
    }
  };

  return {
    ready() {
      following ??= mirror.follow(onItem, stopping.signal).catch((error: unknown) => {
        following = null;
        throw error;
      });
      return following;
    },
    subscribe(subscriber) {
      subscribers.add(subscriber);
      return () => subscribers.delete(subscriber);
    },
    get subscribers() {
      return subscribers.size;
    },
    close() {
      stopping.abort();
      for (const { timer } of progress.values()) if (timer) clearTimeout(timer);
      for (const subscriber of [...subscribers]) subscriber.onEnd();
    },
  };
}
