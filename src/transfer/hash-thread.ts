/**
 * The body of a hash thread. It runs from its own source text in a worker (see hash-pool.ts), so that one file serves the
 * compiled product and the tests alike: it may use nothing but its parameters and globals.
 * It takes in a file in order, from shared memory or by reading it back, and keeps the state of the digests between steps.
 */
import type * as Crypto from 'node:crypto';
import type * as Fs from 'node:fs';
import type * as Zlib from 'node:zlib';
import type * as HashWasm from 'hash-wasm';
import type { ChecksumAlgorithm } from '../jobs/product.js';

export type HashRequest =
  | {
      type: 'start';
      job: number;
      fd: number;
      algorithms: ChecksumAlgorithm[];
      /** By algorithm, base64: the state over bytes [0, upTo). An algorithm with a state, or with an empty one, is one that can be saved. */
      states: Record<string, string>;
      upTo: number;
    }
  /** Takes in `length` bytes at `offset` of the shared memory. */
  | { type: 'slab'; job: number; offset: number; length: number }
  /** Takes in bytes [from, to) of the file; `crc32` asks for the CRC-32 of just these. */
  | { type: 'step'; job: number; from: number; to: number; crc32: boolean }
  | { type: 'save'; job: number }
  | { type: 'digest'; job: number }
  | { type: 'drop'; job: number };

export type HashAnswer =
  | { type: 'took'; job: number }
  | { type: 'stepped'; job: number; crc32: number | null }
  | { type: 'saved'; job: number; states: Record<string, string> | null }
  | { type: 'digests'; job: number; digests: { algorithm: ChecksumAlgorithm; value: string }[] }
  | { type: 'failed'; job: number; message: string; errno: string | null };

/** @param load `require`, resolving from the engine's own module. */
export function hashThread(
  port: {
    on: (event: 'message', listener: (message: HashRequest) => void) => void;
    postMessage: (message: HashAnswer) => void;
  },
  load: (id: string) => unknown,
  shared: SharedArrayBuffer,
): void {
  interface Hasher {
    update: (bytes: Uint8Array) => unknown;
    digest: (format: 'hex') => string;
    save?: () => Uint8Array;
  }
  interface Job {
    fd: number;
    hashers: { algorithm: ChecksumAlgorithm; hasher: Hasher }[];
  }
  const fs = load('node:fs') as typeof Fs;
  const zlib = load('node:zlib') as typeof Zlib;
  const crypto = load('node:crypto') as typeof Crypto;
  const jobs = new Map<number, Job>();
  const slabs = Buffer.from(shared);
  const memory = Buffer.allocUnsafeSlow(256 * 1024);

  const createSaveable = async (state: string): Promise<Hasher> => {
    const { createMD5 } = load('hash-wasm') as typeof HashWasm;
    const hasher = (await createMD5()).init();
    return state === '' ? hasher : hasher.load(Buffer.from(state, 'base64'));
  };

  const create = async (algorithm: ChecksumAlgorithm, state: string | undefined) => {
    if (state !== undefined) return await createSaveable(state);
    if (algorithm !== 'blake3') return crypto.createHash(algorithm);
    const blake = load('@napi-rs/blake-hash') as { Blake3Hasher: new () => Hasher };
    return new blake.Blake3Hasher();
  };

  const update = (job: Job, bytes: Uint8Array): void => {
    for (const { hasher } of job.hashers) hasher.update(bytes);
  };

  const step = (job: Job, from: number, to: number, withCrc: boolean): number | null => {
    let crc = 0;
    for (let at = from; at < to;) {
      const read = fs.readSync(job.fd, memory, 0, Math.min(memory.length, to - at), at);
      if (read === 0) throw new Error(`the file ends at ${at}, before ${to}`);
      const bytes = memory.subarray(0, read);
      update(job, bytes);
      if (withCrc) crc = zlib.crc32(bytes, crc);
      at += read;
    }
    return withCrc ? crc : null;
  };

  /** A state that cannot be loaded, as one of another version of the library, is made again from the file. */
  const start = async (request: Extract<HashRequest, { type: 'start' }>): Promise<Job> => {
    const { fd, algorithms, states, upTo } = request;
    const withStates = async (known: Record<string, string>): Promise<Job> => {
      const hashers = [];
      for (const algorithm of algorithms)
        hashers.push({ algorithm, hasher: await create(algorithm, known[algorithm]) });
      return { fd, hashers };
    };
    try {
      return await withStates(states);
    } catch (error) {
      if (upTo === 0) throw error;
      const fresh = Object.fromEntries(Object.keys(states).map((name) => [name, '']));
      const job = await withStates(fresh);
      step(job, 0, upTo, false);
      return job;
    }
  };

  /** null when not all of the job's digests can be saved. */
  const save = ({ hashers }: Job): Record<string, string> | null => {
    const states: Record<string, string> = {};
    for (const { algorithm, hasher } of hashers) {
      if (!hasher.save) return null;
      states[algorithm] = Buffer.from(hasher.save()).toString('base64');
    }
    return states;
  };

  const handle = async (request: HashRequest): Promise<HashAnswer | null> => {
    if (request.type === 'start') {
      jobs.set(request.job, await start(request));
      return null;
    }
    const job = jobs.get(request.job);
    if (!job) return null;
    switch (request.type) {
      case 'slab':
        update(job, slabs.subarray(request.offset, request.offset + request.length));
        return { type: 'took', job: request.job };
      case 'step': {
        const crc32 = step(job, request.from, request.to, request.crc32);
        return { type: 'stepped', job: request.job, crc32 };
      }
      case 'save':
        return { type: 'saved', job: request.job, states: save(job) };
      case 'drop':
        jobs.delete(request.job);
        return null;
      case 'digest': {
        jobs.delete(request.job);
        const digests = job.hashers.map(({ algorithm, hasher }) => ({
          algorithm,
          value: hasher.digest('hex'),
        }));
        return { type: 'digests', job: request.job, digests };
      }
    }
  };

  const answer = async (request: HashRequest): Promise<void> => {
    try {
      const found = await handle(request);
      if (found) port.postMessage(found);
    } catch (error) {
      jobs.delete(request.job);
      const { message, code } = error as NodeJS.ErrnoException;
      port.postMessage({ type: 'failed', job: request.job, message, errno: code ?? null });
    }
  };
  let last: Promise<void> = Promise.resolve();
  port.on('message', (request) => {
    last = last.then(() => answer(request));
  });
}
