/**
 * Digests off the event loop. A job follows one growing file: whoever writes it says how far its bytes are in order, and a
 * thread reads them back, step by step, so that jobs on one thread take turns and what is hashed is what is in the file.
 * Blocks written by an earlier process are checked against the CRC-32 that the journal holds on the way.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { ServiceError } from '../jobs/error-codes.js';
import type { Checksum, ChecksumAlgorithm } from '../jobs/product.js';
import { cancelledError, stored, toStoreError } from './errors.js';
import { hashThread, type HashAnswer, type HashRequest } from './hash-thread.js';
import type { Block } from './journal.js';

const STEP_BYTES = 4 * 1024 * 1024;
/** While more is to come, a thread is not woken for less. */
const LEAST_STEP_BYTES = 1024 * 1024;

export interface HashJob {
  /** Bytes [0, frontier) are in the file. Never goes back: a rollback needs a new job. */
  advance: (frontier: number) => void;
  /** Waits until everything up to the frontier is in, then ends the job. */
  digests: (signal: AbortSignal) => Promise<Checksum[]>;
  /** Start of the first journalled block that the disk did not give back as it was written. */
  readonly damagedFrom: number | null;
  /** Stops; resolves once the file is no longer read. Harmless after the end. */
  cancel: () => Promise<void>;
}

export interface HashPool {
  follow: (fd: number, algorithms: ChecksumAlgorithm[], written: readonly Block[]) => HashJob;
  close: () => Promise<void>;
}

export function createHashPool(threads: number): HashPool {
  const lanes = Array.from({ length: threads }, () => new Lane());
  return {
    follow(fd, algorithms, written) {
      const lane = lanes.reduce((least, one) => (one.jobs.size < least.jobs.size ? one : least));
      return new FollowingJob(lane, fd, algorithms, written);
    },
    async close() {
      await Promise.all(lanes.map((lane) => lane.close()));
    },
  };
}

/** Digests of a whole file, in the pool. Rejects with the abort's reason. */
export async function hashFile(
  pool: HashPool,
  path: string,
  algorithms: ChecksumAlgorithm[],
  signal: AbortSignal,
): Promise<{ bytes: number; digests: Checksum[] }> {
  const file = await stored(open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
  try {
    const { size } = await file.stat();
    const job = pool.follow(file.fd, algorithms, []);
    job.advance(size);
    const digests = await job.digests(signal).finally(() => job.cancel());
    return { bytes: size, digests };
  } finally {
    await file.close();
  }
}

/** One thread, started when first needed and replaced should it die. */
class Lane {
  readonly jobs = new Map<number, FollowingJob>();
  static #ids = 0;
  #worker: Worker | null = null;

  add(job: FollowingJob): number {
    const id = ++Lane.#ids;
    this.jobs.set(id, job);
    return id;
  }

  send(request: HashRequest): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(request);
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const load = require('node:module').createRequire(workerData.from);
      (${hashThread.toString()})(parentPort, load);`;
    const worker = new Worker(source, { eval: true, workerData: { from: import.meta.url } });
    worker.unref();
    worker.on('message', (answer: HashAnswer) => this.jobs.get(answer.job)?.take(answer));
    const lost = (error: unknown) => {
      if (this.#worker !== worker) return;
      this.#worker = null;
      for (const job of [...this.jobs.values()]) job.fail(error);
    };
    worker.on('error', lost);
    worker.on('exit', () => lost(new ServiceError('Interrupted', 'The hash thread has ended')));
    return worker;
  }
}

class FollowingJob implements HashJob {
  damagedFrom: number | null = null;
  readonly #id: number;
  readonly #lane: Lane;
  readonly #written: readonly Block[];
  #nextBlock = 0;
  #at = 0;
  #frontier = 0;
  #stepTo: number | null = null;
  #isComplete = false;
  #over = false;
  #failure: unknown;
  #found: Checksum[] | null = null;
  /** Called whenever something changed: a step ended, digests came, the job failed. */
  #changed: () => void = () => undefined;

  constructor(lane: Lane, fd: number, algorithms: ChecksumAlgorithm[], written: readonly Block[]) {
    this.#lane = lane;
    this.#written = written;
    this.#id = lane.add(this);
    lane.send({ type: 'start', job: this.#id, fd, algorithms });
  }

  advance(frontier: number): void {
    this.#frontier = Math.max(this.#frontier, frontier);
    this.#step();
  }

  async digests(signal: AbortSignal): Promise<Checksum[]> {
    const onAbort = () => this.#changed();
    signal.addEventListener('abort', onAbort, { once: true });
    this.#isComplete = true;
    this.#step();
    try {
      await this.#until(() => signal.aborted || this.#at === this.#frontier);
      if (signal.aborted) throw cancelledError(signal);
      this.#lane.send({ type: 'digest', job: this.#id });
      await this.#until(() => this.#found !== null);
      this.#end();
      return this.#found ?? [];
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async cancel(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    await this.#until(() => this.#stepTo === null).catch(() => undefined);
    if (this.#failure === undefined) this.#lane.send({ type: 'drop', job: this.#id });
    this.#end();
  }

  take(answer: HashAnswer): void {
    if (answer.type === 'failed') {
      const error = Object.assign(new Error(answer.message), { code: answer.errno ?? undefined });
      this.fail(
        answer.errno === null
          ? new ServiceError('StoreUnavailable', error.message)
          : toStoreError(error),
      );
      return;
    }
    if (answer.type === 'digests') {
      this.#found = answer.digests;
    } else {
      this.#checkBlock(answer.crc32);
      this.#at = this.#stepTo ?? this.#at;
      this.#stepTo = null;
      this.#step();
    }
    this.#changed();
  }

  fail(error: unknown): void {
    this.#failure = error;
    this.#stepTo = null;
    this.#end();
    this.#changed();
  }

  #step(): void {
    if (this.#over || this.#stepTo !== null || this.#at >= this.#frontier) return;
    if (!this.#isComplete && this.#frontier - this.#at < LEAST_STEP_BYTES) return;
    const block = this.#written[this.#nextBlock];
    const whole = block?.offset === this.#at && block.offset + block.length <= this.#frontier;
    const to = whole
      ? block.offset + block.length
      : Math.min(
          this.#frontier,
          this.#at + STEP_BYTES,
          block && block.offset > this.#at ? block.offset : Infinity,
        );
    this.#stepTo = to;
    this.#lane.send({ type: 'step', job: this.#id, from: this.#at, to, crc32: whole });
  }

  #checkBlock(crc32: number | null): void {
    if (crc32 === null) return;
    const block = this.#written[this.#nextBlock++];
    if (block && block.crc32 !== crc32) this.damagedFrom ??= block.offset;
  }

  #end(): void {
    this.#over = true;
    this.#lane.jobs.delete(this.#id);
  }

  async #until(reached: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure as Error;
      if (reached()) return;
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
  }
}
