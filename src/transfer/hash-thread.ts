/**
 * The body of a hash thread. It runs from its own source text in a worker (see hash-pool.ts), so that one file serves the
 * compiled product and the tests alike: it may use nothing but its parameters and globals.
 * It takes in a file in order, from shared memory or by reading it back, and keeps the state of the digests between steps.
 */
import type * as Crypto from 'node:crypto';
import type * as Fs from 'node:fs';
import type { ChecksumAlgorithm } from '../jobs/product.js';
import type { Md5Code } from './md5/code.js';
import type { Md5, Md5Lanes } from './md5/lanes.js';
import type { PRIMES, Xxh64Code } from './xxh64/code.js';
import type { Xxh64 } from './xxh64/xxh64.js';

export type HashRequest =
  | {
      type: 'start';
      job: number;
      fd: number;
      algorithms: ChecksumAlgorithm[];
      /** Of the MD5 so far, base64. */
      state: string | null;
    }
  /** Takes in `length` bytes at `offset` of the shared memory; `isBlock` asks for their XXH64. */
  | { type: 'slab'; job: number; offset: number; length: number; isBlock: boolean }
  /** Takes in bytes [from, to) of the file; `isBlock` asks for the XXH64 of just these. */
  | { type: 'step'; job: number; from: number; to: number; isBlock: boolean }
  | { type: 'save'; job: number }
  | { type: 'digest'; job: number }
  | { type: 'drop'; job: number };

export type HashAnswer =
  | { type: 'took'; job: number; xxh64: string | null }
  | { type: 'stepped'; job: number; xxh64: string | null }
  | { type: 'saved'; job: number; states: Record<string, string> | null }
  | { type: 'digests'; job: number; digests: { algorithm: ChecksumAlgorithm; value: string }[] }
  | { type: 'failed'; job: number; message: string; errno: string | null };

export interface HashThread {
  port: {
    on: (event: 'message', listener: (message: HashRequest) => void) => void;
    postMessage: (message: HashAnswer) => void;
  };
  /** `require`, resolving from the engine's own module. */
  load: (id: string) => unknown;
  md5Lanes: (code: Md5Code, memory: SharedArrayBuffer, scratch: number, ofBlock: Xxh64) => Md5Lanes;
  xxh64: (
    code: Xxh64Code,
    primes: typeof PRIMES,
    memory: SharedArrayBuffer,
    scratch: number,
  ) => Xxh64;
  modules: { md5: WebAssembly.Module; xxh64: WebAssembly.Module };
  primes: typeof PRIMES;
  memory: WebAssembly.Memory;
  /**
   * Where the thread's own parts of the memory lie: what `md5Lanes` needs, `xxh64` for what is in memory and for what is read
   * back meanwhile, and room to read a file into.
   */
  scratch: { md5: number; ofMemory: number; ofFile: number; file: number; fileBytes: number };
}

export function hashThread({ port, load, ...given }: HashThread): void {
  interface Hasher {
    update: (bytes: Uint8Array) => unknown;
    digest: (format: 'hex') => string;
  }
  interface Job {
    fd: number;
    algorithms: ChecksumAlgorithm[];
    md5: Md5 | null;
    hashers: Map<ChecksumAlgorithm, Hasher>;
  }
  const fs = load('node:fs') as typeof Fs;
  const crypto = load('node:crypto') as typeof Crypto;
  const { memory, modules, scratch } = given;
  const codeOf = (module: WebAssembly.Module): unknown =>
    new WebAssembly.Instance(module, { engine: { memory } }).exports;
  const xxh64Code = codeOf(modules.xxh64) as Xxh64Code;
  const [ofMemory, ofFile] = [scratch.ofMemory, scratch.ofFile].map((own) =>
    given.xxh64(xxh64Code, given.primes, memory.buffer, own),
  ) as [Xxh64, Xxh64];
  const md5Code = codeOf(modules.md5) as Md5Code;
  const lanes = given.md5Lanes(md5Code, memory.buffer, scratch.md5, ofMemory);
  const room = Buffer.from(memory.buffer, scratch.file, scratch.fileBytes);
  const jobs = new Map<number, Job>();

  const create = (algorithm: ChecksumAlgorithm): Hasher => {
    if (algorithm !== 'blake3') return crypto.createHash(algorithm);
    const blake = load('@napi-rs/blake-hash') as { Blake3Hasher: new () => Hasher };
    return new blake.Blake3Hasher();
  };

  /** Fills the room from `at` on, as far as `to`. */
  const fillRoom = (fd: number, at: number, to: number): number => {
    const wanted = Math.min(room.length, to - at);
    for (let fill = 0; fill < wanted;) {
      const read = fs.readSync(fd, room, fill, wanted - fill, at + fill);
      if (read === 0) throw new Error(`the file ends at ${at + fill}, before ${to}`);
      fill += read;
    }
    return wanted;
  };

  const step = (job: Job, from: number, to: number, isBlock: boolean): string | null => {
    if (isBlock) ofFile.begin();
    for (let at = from; at < to;) {
      const read = fillRoom(job.fd, at, to);
      const bytes = room.subarray(0, read);
      for (const hasher of job.hashers.values()) hasher.update(bytes);
      if (job.md5) lanes.addNow(job.md5, scratch.file, read);
      if (isBlock) ofFile.add(scratch.file, read);
      at += read;
    }
    return isBlock ? ofFile.end() : null;
  };

  const start = ({ fd, algorithms, state }: Extract<HashRequest, { type: 'start' }>): Job => {
    const others = algorithms.filter((algorithm) => algorithm !== 'md5');
    const hashers = new Map(others.map((algorithm) => [algorithm, create(algorithm)]));
    const saved = state === null ? undefined : Buffer.from(state, 'base64');
    const md5 = algorithms.includes('md5') ? lanes.create(saved) : null;
    return { fd, algorithms, md5, hashers };
  };

  const drop = (id: number): void => {
    const md5 = jobs.get(id)?.md5;
    if (md5) lanes.drop(md5);
    jobs.delete(id);
  };

  const handle = (request: HashRequest): HashAnswer | null => {
    const { job: id } = request;
    if (request.type === 'start') {
      jobs.set(id, start(request));
      return null;
    }
    const job = jobs.get(id);
    if (!job) return null;
    switch (request.type) {
      case 'slab': {
        const { offset, length, isBlock } = request;
        const bytes = Buffer.from(memory.buffer, offset, length);
        for (const hasher of job.hashers.values()) hasher.update(bytes);
        const took = (xxh64: string | null) => port.postMessage({ type: 'took', job: id, xxh64 });
        if (job.md5) lanes.add(job.md5, { offset, length, isBlock }, took);
        else took(isBlock ? ofMemory.of(offset, length) : null);
        return null;
      }
      case 'step': {
        const xxh64 = step(job, request.from, request.to, request.isBlock);
        return { type: 'stepped', job: id, xxh64 };
      }
      case 'save': {
        const isSaveable = job.md5 !== null && job.hashers.size === 0;
        const states = isSaveable
          ? { md5: Buffer.from(lanes.save(job.md5!)).toString('base64') }
          : null;
        return { type: 'saved', job: id, states };
      }
      case 'drop':
        drop(id);
        return null;
      case 'digest': {
        const digests = job.algorithms.map((algorithm) => ({
          algorithm,
          value: job.hashers.get(algorithm)?.digest('hex') ?? lanes.digest(job.md5!),
        }));
        drop(id);
        return { type: 'digests', job: id, digests };
      }
    }
  };

  port.on('message', (request) => {
    try {
      const found = handle(request);
      if (found) port.postMessage(found);
    } catch (error) {
      drop(request.job);
      const { message, code } = error as NodeJS.ErrnoException;
      port.postMessage({ type: 'failed', job: request.job, message, errno: code ?? null });
    }
  });
}
