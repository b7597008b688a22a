/**
 * The body of a hash thread. It runs from its own source text in a worker (see hash-pool.ts), so that one file serves the
 * compiled product and the tests alike: it may use nothing but its parameters and globals.
 * It reads a file back, step by step as told, and keeps the state of the digests between steps.
 */
import type * as Crypto from 'node:crypto';
import type * as Fs from 'node:fs';
import type * as Zlib from 'node:zlib';
import type { ChecksumAlgorithm } from '../jobs/product.js';

export type HashRequest =
  | { type: 'start'; job: number; fd: number; algorithms: ChecksumAlgorithm[] }
  /** Takes in bytes [from, to); `crc32` asks for the CRC-32 of just these. */
  | { type: 'step'; job: number; from: number; to: number; crc32: boolean }
  | { type: 'digest'; job: number }
  | { type: 'drop'; job: number };

export type HashAnswer =
  | { type: 'stepped'; job: number; crc32: number | null }
  | { type: 'digests'; job: number; digests: { algorithm: ChecksumAlgorithm; value: string }[] }
  | { type: 'failed'; job: number; message: string; errno: string | null };

/** @param load `require`, resolving from the engine's own module. */
export function hashThread(
  port: {
    on: (event: 'message', listener: (message: HashRequest) => void) => void;
    postMessage: (message: HashAnswer) => void;
  },
  load: (id: string) => unknown,
): void {
  interface Hasher {
    update: (bytes: Uint8Array) => unknown;
    digest: (format: 'hex') => string;
  }
  interface Job {
    fd: number;
    hashers: { algorithm: ChecksumAlgorithm; hasher: Hasher }[];
  }
  const fs = load('node:fs') as typeof Fs;
  const zlib = load('node:zlib') as typeof Zlib;
  const crypto = load('node:crypto') as typeof Crypto;
  const jobs = new Map<number, Job>();
  const memory = Buffer.allocUnsafeSlow(256 * 1024);

  const create = (algorithm: ChecksumAlgorithm): Hasher => {
    if (algorithm !== 'blake3') return crypto.createHash(algorithm);
    const blake = load('@napi-rs/blake-hash') as { Blake3Hasher: new () => Hasher };
    return new blake.Blake3Hasher();
  };

  const step = (job: Job, from: number, to: number, withCrc: boolean): number | null => {
    let crc = 0;
    for (let at = from; at < to;) {
      const read = fs.readSync(job.fd, memory, 0, Math.min(memory.length, to - at), at);
      if (read === 0) throw new Error(`the file ends at ${at}, before ${to}`);
      const bytes = memory.subarray(0, read);
      for (const { hasher } of job.hashers) hasher.update(bytes);
      if (withCrc) crc = zlib.crc32(bytes, crc);
      at += read;
    }
    return withCrc ? crc : null;
  };

  const handle = (request: HashRequest): HashAnswer | null => {
    if (request.type === 'start') {
      const hashers = request.algorithms.map((algorithm) => ({
        algorithm,
        hasher: create(algorithm),
      }));
      jobs.set(request.job, { fd: request.fd, hashers });
      return null;
    }
    const job = jobs.get(request.job);
    if (!job) return null;
    if (request.type === 'step') {
      const crc32 = step(job, request.from, request.to, request.crc32);
      return { type: 'stepped', job: request.job, crc32 };
    }
    jobs.delete(request.job);
    if (request.type === 'drop') return null;
    const digests = job.hashers.map(({ algorithm, hasher }) => ({
      algorithm,
      value: hasher.digest('hex'),
    }));
    return { type: 'digests', job: request.job, digests };
  };

  port.on('message', (request) => {
    try {
      const answer = handle(request);
      if (answer) port.postMessage(answer);
    } catch (error) {
      jobs.delete(request.job);
      const { message, code } = error as NodeJS.ErrnoException;
      port.postMessage({ type: 'failed', job: request.job, message, errno: code ?? null });
    }
  });
}
