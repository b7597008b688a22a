/**
 * Follows a job to its end: every stored event once and in order, progress as it comes. The stream is only the bell:
 * after each (re)connection and each gap in the numbers, what was missed is read from the stored events, so that a cut
 * stream, a restarted API or a mirror that lags behind lose and repeat nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { hasEnded, type Job } from '../../jobs/job.js';
import { CommandError, EXIT } from '../exit-codes.js';
import type { ApiClient, StreamedMessage } from './api-client.js';

export type Told =
  | { kind: 'event'; number: number; type: string; at: string; data: Record<string, unknown> }
  | { kind: 'progress'; data: Record<string, unknown> }
  /** The connection was lost or is back. */
  | { kind: 'connection'; up: boolean };

const RECONNECT_MS = 500;
/** A stream that says nothing, heartbeats apart, is checked against the job itself this often. */
const CHECK_MS = 5_000;

/** Resolves with the job once it has ended. Goes on through any loss of the API; rejects when the signal aborts. */
export async function followJob(
  client: ApiClient,
  jobId: string,
  onTold: (told: Told) => void,
  signal: AbortSignal,
): Promise<Job> {
  let lastNumber = 0;
  let up = true;

  const catchUp = async (): Promise<void> => {
    for (const event of await client.eventsAfter(jobId, lastNumber)) {
      if (event.number <= lastNumber) continue;
      lastNumber = event.number;
      onTold({ kind: 'event', ...event });
    }
  };

  const take = async (message: StreamedMessage): Promise<void> => {
    if (message.type === 'job.progress') onTold({ kind: 'progress', data: message.data });
    else if (message.number === lastNumber + 1) {
      lastNumber = message.number;
      onTold({ kind: 'event', ...message, number: message.number });
    } else if (message.number === null || message.number > lastNumber) await catchUp();
  };

  /** One connection, until the job has ended (then the job) or the connection has. */
  const follow = async (): Promise<Job | null> => {
    const cut = new AbortController();
    const both = AbortSignal.any([cut.signal, signal]);
    const stream = await client.stream(jobId, both);
    if (!up) onTold({ kind: 'connection', up: (up = true) });
    let ended: Job | null = null;
    const check = async (): Promise<void> => {
      const job = await client.job(jobId);
      await catchUp();
      if (!hasEnded(job.state)) return;
      ended = job;
      cut.abort();
    };
    await check();
    const timer = setInterval(() => void check().catch(() => cut.abort()), CHECK_MS);
    try {
      for await (const message of stream) {
        await take(message);
        if (/^job\.(succeeded|failed|cancelled)$/.test(message.type)) await check();
        if (ended) break;
      }
    } catch (error) {
      if (!ended) throw error;
    } finally {
      clearInterval(timer);
      cut.abort();
    }
    return ended;
  };

  for (;;) {
    signal.throwIfAborted();
    try {
      const job = await follow();
      if (job) return job;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof CommandError && error.exitCode !== EXIT.unavailable) throw error;
    }
    if (up) onTold({ kind: 'connection', up: (up = false) });
    await sleep(RECONNECT_MS, undefined, { signal });
  }
}
