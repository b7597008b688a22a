/** Structured logs: constant message, facts in fields, one JSON object a line (so that no product title can break a line). */
import { pino, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Fields that may carry a secret are dropped wherever they appear. */
const secretPaths = [
  'password',
  'token',
  'authorization',
  'headers',
  'access_token',
  'refresh_token',
  'key',
].flatMap((name) => [name, `*.${name}`]);

export function createLogger(options: { level: string; role: string; version: string }): Logger {
  return pino(
    {
      level: options.level,
      base: { role: options.role, version: options.version, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: secretPaths, remove: true },
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** An address that may be logged or shown: without user part, query and fragment. */
export function publicUrl(address: string): string {
  try {
    const url = new URL(address);
    return `${url.protocol}//${url.host}${url.pathname}`;
  } catch {
    return '(not an address)';
  }
}
