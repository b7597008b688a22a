/**
 * Digests off the event loop. A job follows one growing file in order: bytes that arrive just where it stands are handed
 * over in shared memory, others are read back once the file has no gap before them. Blocks written by an earlier process
 * are checked against the digest that the journal holds on the way, and those that are handed over get theirs there, where
 * it costs least. Jobs on one thread take turns.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { ServiceError } from '../jobs/error-codes.js';
import type { Checksum, ChecksumAlgorithm } from '../jobs/product.js';
import { blockDigest, BLOCK_DIGEST_BYTES, type BlockDigest } from './block-digest.js';
import { cancelledError, stored, toThreadError } from './errors.js';
import { hashThread, type HashAnswer, type HashRequest, type HashThread } from './hash-thread.js';
import { md5Module } from './md5/code.js';
import { bytesOfMd5, MD5_SCRATCH_BYTES, md5Lanes } from './md5/lanes.js';
import type { Block, Checkpoint } from './records.js';
import { SlabPool, type Slab } from './slabs.js';
import { PRIMES, xxh64Module } from './xxh64/code.js';
import { xxh64, XXH64_SCRATCH_BYTES } from './xxh64/xxh64.js';

const STEP_BYTES = 4 * 1024 * 1024;
/** What a thread reads of a file at a time, and the memory that it has for itself. */
const FILE_BYTES = 256 * 1024;
const THREAD_BYTES = MD5_SCRATCH_BYTES + 2 * XXH64_SCRATCH_BYTES + FILE_BYTES;
/** While more is to come, a thread is not woken to read less. */
const LEAST_STEP_BYTES = 1024 * 1024;
/** Bytes in memory are kept for the thread when they are this near to where it stands, and so many pieces of them. */
const NEAR_BYTES = 8 * 1024 * 1024;
const MOST_AHEAD = 8;
/** With fewer answers than this, a thread is slow to come to what it was given. */
const WARM_ANSWERS = 32;
const FILES_TOGETHER = 8;

export interface Following {
  fd: number;
  algorithms: ChecksumAlgorithm[];
  /** What an earlier process wrote. */
  written?: readonly Block[];
  /** Go on from here, where it holds the state of every algorithm. */
  checkpoint?: Checkpoint | null;
}

/** Bytes in a slab that are about to be written at `position` of the file. */
export interface Offer {
  position: number;
  slab: Slab;
  start: number;
  length: number;
  /** Is their XXH64 asked for? */
  isBlock: boolean;
}

export interface HashJob {
  /** Bytes [0, handed) were given to the thread. */
  readonly handed: number;
  /** It takes no more bytes: its digests were asked for, it was stopped, or it failed. */
  readonly isOver: boolean;
  /** Journalled blocks that the disk did not give back as they were written. */
  readonly damaged: readonly Block[];
  /**
   * Each only once. Holds the slab as long as it needs it; bytes that are not nearly next are ignored. Resolves with the
   * XXH64 of bytes that are just next, should the thread be up and get to them; with null at once for all others.
   */
  offer: (offer: Offer) => Promise<string | null>;
  /** Lets go of what was offered and is not next yet: that is read back once it is in the file. */
  letGo: () => void;
  /** Bytes [start, end), none of which was handed over yet, are no longer in the file; others may follow in their place. */
  forget: (start: number, end: number) => void;
  /** Bytes [0, frontier) are in the file. */
  advance: (frontier: number) => void;
  /** Waits until everything up to `bytes` is in, then ends the job. */
  digests: (bytes: number, signal: AbortSignal) => Promise<Checksum[]>;
  /** The state of the digests where they stand; null when it cannot be saved. */
  checkpoint: () => Promise<Checkpoint | null>;
  /** Stops; resolves once neither file nor memory is read any longer. Harmless after the end. */
  cancel: () => Promise<void>;
}

export interface HashPool {
  readonly slabs: SlabPool;
  /** At once, on this thread. */
  readonly digestOfBlock: BlockDigest;
  follow: (following: Following) => HashJob;
  close: () => Promise<void>;
}

/** Then the state can be saved. */
const isMd5Alone = (algorithms: readonly ChecksumAlgorithm[]): boolean =>
  algorithms.length > 0 && algorithms.every((algorithm) => algorithm === 'md5');

type StartThread = (source: string, options: WorkerOptions) => Worker;
const startWorker: StartThread = (source, options) => new Worker(source, options);

/** @param startThread runs this source text */
export function createHashPool(threads: number, startThread = startWorker): HashPool {
  const slabs = new SlabPool(threads * THREAD_BYTES + BLOCK_DIGEST_BYTES);
  const lanes = Array.from(
    { length: threads },
    (_, i) => new Lane(slabs.memory, slabs.besides + i * THREAD_BYTES, startThread),
  );
  return {
    slabs,
    digestOfBlock: blockDigest(slabs.memory, slabs.besides + threads * THREAD_BYTES),
    follow(following) {
      // Files on one thread share its steps of MD5: a few more are there than bring bytes at a time.
      const size = isMd5Alone(following.algorithms) ? FILES_TOGETHER : 1;
      const load = ({ jobs }: Lane) => Math.floor(jobs.size / size);
      const lane = lanes.reduce((least, one) => (load(one) < load(least) ? one : least));
      return new FollowingJob(lane, following);
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
    const job = pool.follow({ fd: file.fd, algorithms });
    job.advance(size);
    const digests = await job.digests(size, signal).finally(() => job.cancel());
    return { bytes: size, digests };
  } finally {
    await file.close();
  }
}

let modules: HashThread['modules'] | undefined;

/** One thread, started when first needed and replaced should it die. */
class Lane {
  readonly jobs = new Map<number, FollowingJob>();
  static #ids = 0;
  #worker: Worker | null = null;
  #answers = 0;

  constructor(
    readonly memory: WebAssembly.Memory,
    /** Of the thread's own part of it. */
    readonly offset: number,
    readonly startThread: StartThread,
  ) {}

  add(job: FollowingJob): number {
    const id = ++Lane.#ids;
    this.jobs.set(id, job);
    return id;
  }

  /** Where it cannot, all jobs fail. */
  send(request: HashRequest): void {
    try {
      this.#worker ??= this.#start();
      this.#worker.postMessage(request);
    } catch (error) {
      this.#lose(failed(error));
    }
  }

  /** Starting a thread, and compiling its code in earnest, takes as long as tens of megabytes take to come. */
  get isUp(): boolean {
    return this.#answers >= WARM_ANSWERS;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const source = `
      const { parentPort: port, workerData } = require('node:worker_threads');
      const load = require('node:module').createRequire(workerData.from);
      const md5Lanes = ${md5Lanes.toString()};
      const xxh64 = ${xxh64.toString()};
      (${hashThread.toString()})({ ...workerData, port, load, md5Lanes, xxh64 });`;
    const ofMemory = this.offset + MD5_SCRATCH_BYTES;
    const ofFile = ofMemory + XXH64_SCRATCH_BYTES;
    const file = ofFile + XXH64_SCRATCH_BYTES;
    const workerData = {
      from: import.meta.url,
      modules: (modules ??= { md5: md5Module(), xxh64: xxh64Module() }),
      primes: PRIMES,
      memory: this.memory,
      scratch: { md5: this.offset, ofMemory, ofFile, file, fileBytes: FILE_BYTES },
    };
    const worker = this.startThread(source, { eval: true, workerData });
    worker.on('message', (answer: HashAnswer) => {
      this.#answers++;
      this.jobs.get(answer.job)?.take(answer);
    });
    const lost = (error: ServiceError) => {
      if (this.#worker === worker) this.#lose(error);
    };
    worker.on('error', (error) => lost(failed(error)));
    worker.on('exit', () =>
      lost(new ServiceError('StoreUnavailable', 'The hash thread has ended')),
    );
    return worker;
  }

  #lose(error: ServiceError): void {
    this.#worker = null;
    this.#answers = 0;
    for (const job of [...this.jobs.values()]) job.fail(error);
  }
}

function failed(error: unknown): ServiceError {
  const message = error instanceof Error ? error.message : String(error);
  return new ServiceError('StoreUnavailable', `The hash thread failed: ${message}`);
}

class FollowingJob implements HashJob {
  readonly damaged: Block[] = [];
  handed: number;
  readonly #canSave: boolean;
  readonly #id: number;
  readonly #lane: Lane;
  #written: readonly Block[];
  /** Bytes in memory, by position, that will be next before long. */
  readonly #ahead = new Map<number, Offer>();
  /** What the thread has yet to take in from memory. */
  readonly #given: { slab: Slab; took: (xxh64: string | null) => void }[] = [];
  #nextBlock = 0;
  /** The thread reads just this one at the moment. */
  #checked: Block | null = null;
  #frontier = 0;
  #isStepping = false;
  #isComplete = false;
  #over = false;
  #failure: { error: unknown } | null = null;
  #found: Checksum[] | null = null;
  #saved: ((states: Record<string, string> | null) => void)[] = [];
  /** Called whenever something changed: a step ended, digests came, the job failed. */
  #changed: () => void = () => undefined;

  constructor(lane: Lane, { fd, written, checkpoint, ...following }: Following) {
    const algorithms = [...new Set(following.algorithms)];
    this.#canSave = isMd5Alone(algorithms);
    const state = (this.#canSave && checkpoint?.states['md5']) || null;
    const isUsable =
      state !== null && checkpoint!.upTo === bytesOfMd5(Buffer.from(state, 'base64'));
    this.#lane = lane;
    this.handed = isUsable ? checkpoint!.upTo : 0;
    this.#written = (written ?? [])
      .filter(({ offset }) => offset >= this.handed)
      .sort((a, b) => a.offset - b.offset);
    this.#id = lane.add(this);
    lane.send({ type: 'start', job: this.#id, fd, algorithms, state: isUsable ? state : null });
  }

  get isOver(): boolean {
    return this.#over;
  }

  async offer(offer: Offer): Promise<string | null> {
    const { position, slab } = offer;
    if (this.#over || slab.offset === null) return null;
    if (position === this.handed) {
      const isBlock = offer.isBlock && this.#lane.isUp;
      const took = this.#give({ ...offer, isBlock });
      this.#handOver();
      return isBlock ? took : null;
    }
    const isNear = position > this.handed && position - this.handed <= NEAR_BYTES;
    if (isNear && this.#ahead.size < MOST_AHEAD)
      this.#ahead.set(position, { ...offer, slab: slab.hold(), isBlock: false });
    return null;
  }

  letGo(): void {
    const offered = [...this.#ahead.values()];
    this.#ahead.clear();
    for (const { slab } of offered) slab.release();
  }

  forget(start: number, end: number): void {
    this.letGo();
    this.#frontier = Math.min(this.#frontier, start);
    this.#written = this.#written.filter(
      ({ offset, length }) => offset >= end || offset + length <= start,
    );
    this.#nextBlock = 0;
  }

  advance(frontier: number): void {
    this.#frontier = Math.max(this.#frontier, frontier);
    this.#step();
  }

  async digests(bytes: number, signal: AbortSignal): Promise<Checksum[]> {
    if (this.#over && !this.#failure)
      throw new ServiceError('Internal', 'The digests of a file are asked for twice');
    const onAbort = () => this.#changed();
    signal.addEventListener('abort', onAbort, { once: true });
    this.#isComplete = true;
    this.#step();
    try {
      await this.#until(() => signal.aborted || (this.handed === bytes && !this.#isStepping));
      if (signal.aborted) throw cancelledError(signal);
      this.#send({ type: 'digest', job: this.#id });
      await this.#until(() => signal.aborted || this.#found !== null);
      if (signal.aborted) throw cancelledError(signal);
      this.#end();
      return this.#found ?? [];
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async checkpoint(): Promise<Checkpoint | null> {
    if (!this.#canSave || this.#over || this.handed === 0) return null;
    const upTo = this.handed;
    const states = await new Promise<Record<string, string> | null>((resolve) => {
      this.#saved.push(resolve);
      this.#send({ type: 'save', job: this.#id });
    });
    return states && { upTo, states };
  }

  async cancel(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    await this.#until(() => !this.#isStepping && this.#given.length === 0).catch(() => undefined);
    if (!this.#failure) this.#send({ type: 'drop', job: this.#id });
    this.#end();
  }

  take(answer: HashAnswer): void {
    if (answer.type === 'failed') {
      this.fail(toThreadError(answer.message, answer.errno));
      return;
    }
    if (answer.type === 'digests') this.#found = answer.digests;
    else if (answer.type === 'saved') this.#saved.shift()?.(answer.states);
    else if (answer.type === 'took') {
      const given = this.#given.shift();
      given?.slab.release();
      given?.took(answer.xxh64);
    } else {
      if (this.#checked && this.#checked.xxh64 !== answer.xxh64) this.damaged.push(this.#checked);
      this.#isStepping = false;
    }
    this.#step();
    this.#changed();
  }

  /** Gives the thread what is next and in memory. */
  #handOver(): void {
    for (let next; (next = this.#ahead.get(this.handed));) {
      this.#ahead.delete(this.handed);
      void this.#give(next);
      next.slab.release();
    }
  }

  #give({ slab, start, length, isBlock }: Offer): Promise<string | null> {
    this.handed += length;
    const offset = (slab.offset as number) + start;
    this.#send({ type: 'slab', job: this.#id, offset, length, isBlock });
    return new Promise((took) => this.#given.push({ slab: slab.hold(), took }));
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#isStepping = false;
    this.#end();
    this.#changed();
  }

  /** Has the thread read on where the file has bytes that nobody handed over. */
  #step(): void {
    if (this.#over || this.#isStepping || this.handed >= this.#frontier) return;
    if (!this.#isComplete && this.#frontier - this.handed < LEAST_STEP_BYTES) return;
    while ((this.#written[this.#nextBlock]?.offset ?? Infinity) < this.handed) this.#nextBlock++;
    const block = this.#written[this.#nextBlock];
    const end = Math.min(this.#frontier, ...this.#ahead.keys());
    const from = this.handed;
    const isWhole = block?.offset === from && from + block.length <= end;
    this.#checked = isWhole ? block : null;
    const to = isWhole
      ? from + block.length
      : Math.min(end, from + STEP_BYTES, block && block.offset > from ? block.offset : Infinity);
    this.#isStepping = true;
    this.handed = to;
    this.#send({ type: 'step', job: this.#id, from, to, isBlock: isWhole });
    this.#handOver();
  }

  #send(request: HashRequest): void {
    this.#lane.send(request);
  }

  #end(): void {
    this.#over = true;
    this.#lane.jobs.delete(this.#id);
    this.letGo();
    for (const { slab, took } of this.#given.splice(0)) {
      slab.release();
      took(null);
    }
    for (const resolve of this.#saved.splice(0)) resolve(null);
  }

  async #until(reached: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure) throw this.#failure.error as Error;
      if (reached()) return;
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
  }
}
