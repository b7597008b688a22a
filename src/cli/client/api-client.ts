/**
 * The jobs API as the command line speaks it (docs/api.md). Answers are parsed by the schemas that the server answers by.
 * Errors are CommandErrors: a problem document becomes its own words, a server out of reach says how to start one.
 */
import { z } from 'zod';
import { jobEventSchema, type JobEvent } from '../../jobs/event.js';
import { jobSchema, type Job } from '../../jobs/job.js';
import { isErrorCode } from '../../jobs/error-codes.js';
import { problemSchema } from '../../jobs/problem-schema.js';
import { type Problem } from '../../jobs/problem.js';
import { jobResultSchema, type JobResult } from '../../jobs/result.js';
import { CommandError, EXIT, exitCodeOf } from '../exit-codes.js';
import { plain } from '../output/text.js';
import { sseData } from './sse.js';

const pageSchema = z.object({
  items: z.array(jobSchema),
  total: z.number(),
  next_cursor: z.string().nullable(),
});
export type JobListPage = z.infer<typeof pageSchema>;

const streamedSchema = z.object({
  job_id: z.string().nullable(),
  number: z.number().nullable(),
  type: z.string(),
  at: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export type StreamedMessage = z.infer<typeof streamedSchema>;

const healthSchema = z.object({
  status: z.string(),
  version: z.string(),
  checks: z.record(z.string(), z.object({ status: z.string(), detail: z.string().optional() })),
});
export type ApiHealth = z.infer<typeof healthSchema>;

const EVENTS_PAGE = 500;

export interface ApiClient {
  readonly baseUrl: string;
  /** `created` is false when the key was seen before: then it is the job of that time. */
  submit(request: unknown, idempotencyKey: string): Promise<{ job: Job; created: boolean }>;
  job(jobId: string): Promise<Job>;
  jobs(query: Record<string, string | string[]>): Promise<JobListPage>;
  cancel(jobId: string): Promise<Job>;
  retry(jobId: string): Promise<Job>;
  result(jobId: string): Promise<JobResult>;
  /** All stored events with a number above `after`. */
  eventsAfter(jobId: string, after: number): Promise<JobEvent[]>;
  /** Messages of the live stream until it or the signal ends. Not resumed here: see follow-job.ts. */
  stream(jobId: string, signal: AbortSignal): Promise<AsyncGenerator<StreamedMessage>>;
  health(): Promise<ApiHealth>;
}

export function createApiClient(options: { baseUrl: string; apiKey: string | null }): ApiClient {
  const baseUrl = options.baseUrl.replace(/\/+$/, '');
  const always: Record<string, string> = { accept: 'application/json' };
  if (options.apiKey !== null) always['x-api-key'] = options.apiKey;

  async function call(path: string, init: Call = {}): Promise<Response> {
    const answer = await fetch(`${baseUrl}${path}`, {
      ...init,
      redirect: 'error',
      headers: { ...always, ...init.headers },
    }).catch((error: unknown) => {
      throw unreachable(baseUrl, error);
    });
    if (!answer.ok) throw await toError(answer, baseUrl);
    return answer;
  }

  async function read<T>(schema: z.ZodType<T>, answer: Response): Promise<T> {
    const parsed = schema.safeParse(await answer.json().catch(() => null));
    if (!parsed.success) throw notNimbus(baseUrl);
    return parsed.data;
  }

  const jobPath = (jobId: string): string => `/v1/jobs/${encodeURIComponent(jobId)}`;

  return {
    baseUrl,
    async submit(request, idempotencyKey) {
      const answer = await call('/v1/jobs', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey },
        body: JSON.stringify(request),
      });
      return { job: await read(jobSchema, answer), created: answer.status === 202 };
    },
    job: async (jobId) => read(jobSchema, await call(jobPath(jobId))),
    async jobs(query) {
      const search = new URLSearchParams(
        Object.entries(query).flatMap(([name, value]) =>
          [value].flat().map((one): [string, string] => [name, one]),
        ),
      );
      return read(pageSchema, await call(`/v1/jobs?${search.toString()}`));
    },
    cancel: async (jobId) => read(jobSchema, await call(jobPath(jobId), { method: 'DELETE' })),
    retry: async (jobId) =>
      read(jobSchema, await call(`${jobPath(jobId)}/retry`, { method: 'POST' })),
    result: async (jobId) => read(jobResultSchema, await call(`${jobPath(jobId)}/result`)),
    async eventsAfter(jobId, after) {
      const events: JobEvent[] = [];
      for (;;) {
        const last = events.at(-1)?.number ?? after;
        const answer = await call(`${jobPath(jobId)}/events?after=${last}`);
        const page = await read(z.object({ items: z.array(jobEventSchema) }), answer);
        events.push(...page.items);
        if (page.items.length < EVENTS_PAGE) return events;
      }
    },
    async stream(jobId, signal) {
      const answer = await call(`/v1/events?job_id=${encodeURIComponent(jobId)}`, {
        headers: { accept: 'text/event-stream' },
        signal,
      });
      return messages(answer);
    },
    health: async () => read(healthSchema, await call('/v1/health')),
  };
}

interface Call {
  method?: 'POST' | 'DELETE';
  headers?: Record<string, string>;
  body?: string;
  signal?: AbortSignal;
}

async function* messages(answer: Response): AsyncGenerator<StreamedMessage> {
  for await (const text of sseData(answer.body as unknown as AsyncIterable<Uint8Array>)) {
    const parsed = streamedSchema.safeParse(JSON.parse(text));
    if (parsed.success) yield parsed.data;
  }
}

function unreachable(baseUrl: string, cause: unknown): CommandError {
  const { code } = ((cause as { cause?: unknown }).cause ?? {}) as { code?: string };
  return new CommandError(
    `The API at ${baseUrl} does not answer${code ? ` (${code})` : ''}`,
    EXIT.unavailable,
    'Start it with `npm start`, or name another with --api-url or NIMBUS_SERVICE_URL',
  );
}

function notNimbus(baseUrl: string): CommandError {
  return new CommandError(
    `What answers at ${baseUrl} is not the Nimbus API of this version`,
    EXIT.unavailable,
    'Name the right one with --api-url or NIMBUS_SERVICE_URL',
  );
}

async function toError(answer: Response, baseUrl: string): Promise<CommandError> {
  const parsed = problemSchema.safeParse(await answer.json().catch(() => null));
  if (!parsed.success) return notNimbus(baseUrl);
  return problemError(parsed.data, retryAfterMs(answer));
}

/** Nimbus tells it in whole seconds, and says so only where coming again helps. */
function retryAfterMs(answer: Response): number | null {
  const seconds = answer.headers.get('retry-after');
  return seconds !== null && /^\d{1,5}$/.test(seconds) ? Number(seconds) * 1000 : null;
}

/** A problem in words: what, which fields, what to do next. */
export function problemError(problem: Problem, retryAfterMs: number | null = null): CommandError {
  const fields = (problem.errors ?? []).map(({ path, message }) => `  ${path}: ${message}`);
  return new CommandError(
    plainLines([`${problem.title}: ${problem.detail}`, ...fields]),
    isErrorCode(problem.code) ? exitCodeOf(problem.code) : EXIT.failed,
    problem.hint === undefined ? null : plain(problem.hint),
    retryAfterMs,
  );
}

const plainLines = (lines: string[]): string => lines.map(plain).join('\n');
