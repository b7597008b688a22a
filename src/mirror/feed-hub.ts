/** The listeners of one tail. One that throws is not heard of by the others. */
import type { Logger } from '../telemetry/log.js';
import type { FeedItem } from './mirror.js';

export type FeedListener = (item: FeedItem) => void;

export interface FeedHub {
  readonly size: number;
  /** Listens until the signal aborts; `left` is called then. Returns what ends it earlier. */
  add(listener: FeedListener, signal: AbortSignal, left: () => void): () => void;
  emit(item: FeedItem): void;
}

export function createFeedHub(logger: Pick<Logger, 'error'> | undefined): FeedHub {
  // Wrapped, so that one function may listen twice.
  const entries = new Set<{ listener: FeedListener }>();
  return {
    get size() {
      return entries.size;
    },
    add(listener, signal, left) {
      const entry = { listener };
      const leave = () => {
        signal.removeEventListener('abort', leave);
        if (entries.delete(entry)) left();
      };
      entries.add(entry);
      signal.addEventListener('abort', leave, { once: true });
      return leave;
    },
    emit(item) {
      for (const { listener } of [...entries]) {
        try {
          listener(item);
        } catch (error) {
          logger?.error({ err: error }, 'feed listener failed');
        }
      }
    },
  };
}
