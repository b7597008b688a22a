/** Stand-ins that the provider's parts are handed in tests: a clock that jumps instead of waiting, and HTTP without sockets. */
import type { Clock } from '../../../src/providers/copernicus/clock.js';
import type { Http, HttpAnswer, HttpRequest } from '../../../src/providers/copernicus/http.js';
import { searchDownloadRequestSchema } from '../../../src/jobs/request.js';
import type { SearchDownloadInput, SearchDownloadRequest } from '../../../src/jobs/request.js';

export interface TestClock extends Clock {
  advance(ms: number): void;
  slept: number[];
}

export function createTestClock(wallStartMs = Date.UTC(2026, 0, 1)): TestClock {
  let nowMs = 0;
  const slept: number[] = [];
  return {
    slept,
    monotonicMs: () => nowMs,
    wallMs: () => wallStartMs + nowMs,
    async sleep(ms, signal) {
      signal.throwIfAborted();
      slept.push(ms);
      nowMs += ms;
    },
    advance(ms) {
      nowMs += ms;
    },
  };
}

export interface FakeAnswer {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
}

export function toAnswer(url: string, answer: FakeAnswer): HttpAnswer {
  const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
  return {
    url,
    host: new URL(url).host,
    status: answer.status,
    headers: answer.headers ?? {},
    bytes: Buffer.from(text),
  };
}

/** Answers by a function; never retries. */
export function createFakeHttp(
  respond: (request: HttpRequest) => FakeAnswer | Promise<FakeAnswer>,
): Http {
  return {
    async call(request, read, signal) {
      signal.throwIfAborted();
      return read(toAnswer(request.url, await respond(request)));
    },
    close() {},
  };
}

export const never = new AbortController().signal;

export function searchRequest(changes: Partial<SearchDownloadInput> = {}): SearchDownloadRequest {
  return searchDownloadRequestSchema.parse({
    provider: 'copernicus',
    collection: 'SENTINEL-2',
    start_date: '2025-01-01',
    end_date: '2025-01-03',
    aoi: { global: true },
    ...changes,
  });
}
