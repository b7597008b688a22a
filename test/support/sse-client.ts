/** Reads an event stream as a browser does, and lets a test await what it needs. */
import { onTestFinished } from 'vitest';

export interface SseEvent {
  id: string | null;
  event: string;
  data: any;
}

export interface SseClient {
  readonly answer: Response;
  readonly events: SseEvent[];
  /** Comment lines and retry hints, as they came. */
  readonly asides: string[];
  /** Resolves once `done` holds; rejects when the stream ends before. */
  until(done: () => boolean): Promise<void>;
  /** Resolves once the server has ended or cut the stream. */
  readonly ended: Promise<void>;
  close(): void;
}

export async function openSse(
  url: string,
  headers: Record<string, string> = {},
): Promise<SseClient> {
  const abort = new AbortController();
  const answer = await fetch(url, { headers, signal: abort.signal });
  onTestFinished(() => abort.abort());
  const events: SseEvent[] = [];
  const asides: string[] = [];
  let wake = (): void => {};
  let over = false;

  const take = (block: string): void => {
    const fields: Record<string, string> = {};
    for (const line of block.split('\n')) {
      const match = /^(id|event|data): (.*)$/s.exec(line);
      if (match) fields[match[1]!] = match[2]!;
      else asides.push(line);
    }
    if (fields['data'] === undefined) return;
    const { id = null, event = 'message', data } = fields;
    events.push({ id, event, data: JSON.parse(data) });
  };

  const read = async (): Promise<void> => {
    let rest = '';
    const decoder = new TextDecoder();
    try {
      for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
        const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
        rest = blocks.pop()!;
        blocks.forEach(take);
        wake();
      }
    } catch {
      // Cut off: what came before counts.
    }
    over = true;
    wake();
  };
  const ended = read();

  return {
    answer,
    events,
    asides,
    ended,
    async until(done) {
      while (!done()) {
        if (over) throw new Error(`The stream ended after ${events.length} events`);
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    close: () => abort.abort(),
  };
}
