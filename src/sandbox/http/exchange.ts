/**
 * One request and its answer: reads the body within a bound, sends the answer as a fault script wants it, at the
 * set speed, with backpressure, and writes the ledger. Memory: one piece (64 kB) for each running answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultAction } from '../faults.js';
import type { Ledger, LedgerEntry } from '../ledger.js';
import { isRange, type Answer, type BodyRange } from './answer.js';

const pieceBytes = 64 * 1024;

export interface Exchange {
  method: string;
  /** Decoded, without query. */
  path: string;
  /** As sent, with the leading `?`, or ''. */
  search: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  entry: LedgerEntry;
  /** The scripted step for this request; routes look at what concerns their bytes. */
  fault: FaultAction;
  /** The whole body as text. @throws BodyTooLarge */
  body(limitBytes: number): Promise<string>;
}

export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
}

export async function readBody(request: IncomingMessage, limitBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > limitBytes) throw new BodyTooLarge(`More than ${limitBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

export interface Sending {
  ledger: Ledger;
  entry: LedgerEntry;
  fault: FaultAction;
  bytesPerSecond: number | null;
}

/** Sends an answer; resolves when it is over, also when the client went away. */
export async function send(
  response: ServerResponse,
  answer: Answer,
  { ledger, entry, fault, bytesPerSecond }: Sending,
): Promise<void> {
  const whole = toRange(answer.body);
  const range = fault.shortBodyBytes === undefined ? whole : shortened(whole, fault.shortBodyBytes);
  const length = range.end - range.start;
  const headers: Record<string, string> = { ...answer.headers };
  if (!fault.chunked) headers['content-length'] = String(fault.contentLength ?? length);
  if (fault.contentRange !== undefined) headers['content-range'] = fault.contentRange;
  if (fault.endAfterBytes !== undefined || fault.contentLength !== undefined)
    headers['connection'] = 'close';
  Object.assign(headers, fault.headers);
  entry.status = answer.status;
  response.writeHead(answer.status, headers);
  if (response.req.method === 'HEAD') {
    response.end();
    return;
  }
  response.flushHeaders();
  const limit = Math.min(length, fault.cutAfterBytes ?? Infinity, fault.endAfterBytes ?? Infinity);
  await sendBytes(
    response,
    { ...range, end: range.start + limit },
    {
      fault,
      bytesPerSecond: fault.bytesPerSecond ?? bytesPerSecond,
      sent: (bytes) => ledger.sent(entry, bytes),
    },
  );
  if (response.destroyed) return;
  if (fault.cutAfterBytes !== undefined) cut(response, fault.reset === true);
  else if (fault.endAfterBytes !== undefined || fault.contentLength !== undefined)
    await endConnection(response, fault.chunked === true);
  else await new Promise<void>((resolve) => response.once('close', resolve).end(resolve));
}

function cut({ socket }: ServerResponse, reset: boolean): void {
  if (reset) socket?.resetAndDestroy();
  else socket?.destroy();
}

/** Ends the stream in order although more was announced: Node itself would wait. */
async function endConnection(response: ServerResponse, chunked: boolean): Promise<void> {
  const { socket } = response;
  if (chunked) await new Promise<void>((resolve) => response.end(resolve));
  socket?.end();
}

interface Pace {
  fault: FaultAction;
  bytesPerSecond: number | null;
  sent: (bytes: number) => void;
}

async function sendBytes(response: ServerResponse, range: BodyRange, pace: Pace): Promise<void> {
  const { fault, bytesPerSecond } = pace;
  const startedAt = performance.now();
  const piece = bytesPerSecond === null ? pieceBytes : slowPiece(bytesPerSecond);
  const stallAt =
    fault.stallAfterBytes === undefined ? Infinity : range.start + fault.stallAfterBytes;
  let stalled = false;
  for (let at = range.start; at < range.end && !response.destroyed;) {
    if (at >= stallAt && !stalled) {
      stalled = true;
      await stall(response, fault.stallMs);
      continue;
    }
    const until = Math.min(range.end, at + piece, stalled ? Infinity : stallAt);
    const bytes = Buffer.allocUnsafe(until - at);
    range.source.read(at, bytes);
    spoil(bytes, at, fault);
    await write(response, bytes, pace.sent);
    at = until;
    if (bytesPerSecond !== null && at < range.end) {
      const dueMs = ((at - range.start) / bytesPerSecond) * 1000;
      await waitOrGone(response, dueMs - (performance.now() - startedAt));
    }
  }
  if (!stalled && stallAt >= range.end && stallAt !== Infinity)
    await stall(response, fault.stallMs);
}

/** At least ten pieces a second, so that a slow answer is smooth. */
function slowPiece(bytesPerSecond: number): number {
  return Math.max(1, Math.min(pieceBytes, Math.floor(bytesPerSecond / 20)));
}

function spoil(bytes: Buffer, at: number, fault: FaultAction): void {
  const { flipByteAt: flip, inject } = fault;
  if (flip !== undefined && flip >= at && flip < at + bytes.length) bytes[flip - at]! ^= 1;
  if (!inject) return;
  const text = Buffer.from(inject.text);
  const [from, until] = [
    Math.max(at, inject.at),
    Math.min(at + bytes.length, inject.at + text.length),
  ];
  if (from < until) text.copy(bytes, from - at, from - inject.at, until - inject.at);
}

/** Resolves when the bytes are with the operating system, or the client is gone. */
function write(
  response: ServerResponse,
  bytes: Buffer,
  sent: (bytes: number) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const gone = (): void => resolve();
    response.once('close', gone);
    response.write(bytes, (error) => {
      if (!error) sent(bytes.length);
      response.off('close', gone);
      resolve();
    });
  });
}

/** Stands still for a time, or until the client gives up. */
async function stall(response: ServerResponse, ms: number | undefined): Promise<void> {
  await waitOrGone(response, ms ?? 2 ** 31 - 1);
}

/** Waits, but not longer than the client does. */
export async function waitOrGone(response: ServerResponse, ms: number): Promise<void> {
  if (ms <= 0 || response.destroyed) return;
  const gone = new AbortController();
  const stop = (): void => gone.abort();
  response.once('close', stop);
  await sleep(ms, undefined, { signal: gone.signal }).catch(() => undefined);
  response.off('close', stop);
}

function toRange(body: Answer['body']): BodyRange {
  if (isRange(body)) return body;
  const source = {
    sizeBytes: body.length,
    read: (offset: number, into: Buffer) => void body.copy(into, 0, offset, offset + into.length),
  };
  return { source, start: 0, end: body.length };
}

function shortened(range: BodyRange, bytes: number): BodyRange {
  return { ...range, end: Math.min(range.end, range.start + bytes) };
}
