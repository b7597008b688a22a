/** What a route decides to answer; sending it (faults, throttle, ledger) is the exchange's business. */
import type { ByteSource } from '../content/byte-source.js';

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer | BodyRange;
  /** Called once when the answer is over, however it ended. */
  release?: () => void;
}

/** A stretch of a source: `[start, end)`. */
export interface BodyRange {
  source: ByteSource;
  start: number;
  end: number;
}

export function json(status: number, value: unknown, headers: Record<string, string> = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify(value)),
  };
}

export function redirectTo(status: 301 | 302, location: string): Answer {
  return { status, headers: { location }, body: Buffer.alloc(0) };
}

export function isRange(body: Buffer | BodyRange): body is BodyRange {
  return !Buffer.isBuffer(body);
}
