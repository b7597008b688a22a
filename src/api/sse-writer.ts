/**
 * Writes server-sent events to one client. Memory stays bounded by what the socket takes: callers await `drained` when
 * `blocked`, and a reader that takes nothing for `stallMs` is dropped with what it has, which ends in a usable id.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
import type { Response } from 'express';

export interface SseMessage {
  /** Absent: the reader's last id stays. */
  id?: string;
  event: string;
  /** JSON, so without line breaks. */
  data: string;
}

export interface SseWriter {
  readonly blocked: boolean;
  readonly closed: boolean;
  send(message: SseMessage): void;
  /** Resolves once more may be written, or the stream is closed. */
  drained(): Promise<void>;
  end(): void;
}

const RECONNECT_MS = 2_000;

export function createSseWriter(
  response: Response,
  timings: { heartbeatMs: number; stallMs: number },
): SseWriter {
  response.set({
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
  });
  response.flushHeaders();
  response.write(`retry: ${RECONNECT_MS}\n\n`);
  let blockedSinceMs: number | null = null;
  response.on('drain', () => (blockedSinceMs = null));

  const write = (text: string): void => {
    if (!response.write(text)) blockedSinceMs ??= performance.now();
  };
  const beat = setInterval(() => {
    if (blockedSinceMs === null) write(': still here\n\n');
  }, timings.heartbeatMs);
  const watch = setInterval(
    () => {
      if (blockedSinceMs !== null && performance.now() - blockedSinceMs > timings.stallMs)
        response.destroy();
    },
    Math.max(10, timings.stallMs / 4),
  );
  response.once('close', () => {
    clearInterval(beat);
    clearInterval(watch);
  });

  return {
    get blocked() {
      return blockedSinceMs !== null;
    },
    get closed() {
      return response.destroyed || response.writableEnded;
    },
    send({ id, event, data }) {
      write(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`);
    },
    drained: () =>
      new Promise((resolve) => {
        if (blockedSinceMs === null || response.destroyed) return resolve();
        const done = (): void => {
          response.off('drain', done).off('close', done);
          resolve();
        };
        response.once('drain', done).once('close', done);
      }),
    end: () => void response.end(),
  };
}
