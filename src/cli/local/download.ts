/** Fetches one file over HTTP(S) for the cache of programs, through the proxy of the environment where there is one. */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EnvHttpProxyAgent, fetch } from 'undici';

const CONNECT_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 30_000;

/** @throws Error naming the host and the reason */
export async function download(
  address: string,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const dispatcher = new EnvHttpProxyAgent({
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    connect: { timeout: CONNECT_TIMEOUT_MS, rejectUnauthorized: true },
    headersTimeout: IDLE_TIMEOUT_MS,
    bodyTimeout: IDLE_TIMEOUT_MS,
  });
  const { host } = new URL(address);
  try {
    const answer = await fetch(address, { dispatcher, signal });
    if (!answer.ok || answer.body === null) throw new Error(`answered ${answer.status}`);
    await pipeline(Readable.fromWeb(answer.body), createWriteStream(target, { flags: 'wx' }), {
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    const { message, cause } = error as Error;
    const reason =
      cause instanceof Error ? cause.message || (cause as { code?: string }).code : message;
    throw new Error(`${host}: ${reason}`, { cause: error });
  } finally {
    await dispatcher.destroy();
  }
}
