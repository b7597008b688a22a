/** A plain reader of server-sent events, as a browser's EventSource reads them. */
export interface SseMessage {
  id?: string;
  event: string;
  data: any;
}

/** Follows until `stopAfter` says so, then cuts the connection. */
export async function followEvents(
  url: string,
  options: {
    lastEventId?: string;
    headers?: Record<string, string>;
    stopAfter: (seen: SseMessage[]) => boolean;
    timeoutMs?: number;
  },
): Promise<SseMessage[]> {
  const cut = new AbortController();
  const timer = setTimeout(
    () => cut.abort(new Error(`No end of ${url}`)),
    options.timeoutMs ?? 60_000,
  );
  const headers = {
    ...options.headers,
    ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }),
  };
  const seen: SseMessage[] = [];
  try {
    const response = await fetch(url, { headers, signal: cut.signal });
    if (response.status !== 200)
      throw new Error(`${url}: ${response.status} ${await response.text()}`);
    let buffered = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      buffered += chunk;
      const blocks = buffered.split('\n\n');
      buffered = blocks.pop()!;
      for (const message of blocks.map(toMessage)) {
        if (message === null) continue;
        seen.push(message);
        if (options.stopAfter(seen)) return seen;
      }
    }
    return seen;
  } finally {
    clearTimeout(timer);
    cut.abort();
  }
}

function toMessage(block: string): SseMessage | null {
  const fields = block.split('\n').map((line) => /^([a-z]+): ?(.*)$/.exec(line));
  const value = (name: string): string | undefined =>
    fields.find((field) => field?.[1] === name)?.[2];
  const data = value('data');
  if (data === undefined) return null;
  const id = value('id');
  return {
    ...(id === undefined ? {} : { id }),
    event: value('event') ?? 'message',
    data: JSON.parse(data),
  };
}
