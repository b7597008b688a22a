/**
 * Threads that read members back, off the event loop. A thread begins when there is work and ends when there has been none
 * for a while, so that nobody pays for them who has no archive to check. Work waits in line where all are busy.
 */
import { availableParallelism } from 'node:os';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { ServiceError } from '../../jobs/error-codes.js';
import { cancelledError, toThreadError } from '../errors.js';
import {
  memberThread,
  type Piece,
  type PieceFacts,
  type PiecesAnswer,
  type PiecesRequest,
} from './member-thread.js';

const IDLE_MS = 5_000;
const MOST_THREADS = 4;

export interface MemberPool {
  readonly threads: number;
  /**
   * What the pieces really are, in their order. After an abort it rejects with the signal's reason, and only once the file
   * is no longer read, so that it may be closed. @throws StoreUnavailable when reading fails
   */
  check: (fd: number, pieces: Piece[], signal: AbortSignal) => Promise<PieceFacts[]>;
  /** Ends the threads; what was under way fails with Interrupted. */
  close: () => Promise<void>;
}

type Outcome = PiecesAnswer | { type: 'lost' };

interface Task {
  request: PiecesRequest;
  settle: (outcome: Outcome) => void;
}

/** @param startThread runs this source text */
export function createMemberPool(
  threads = Math.min(MOST_THREADS, availableParallelism()),
  startThread: (source: string, options: WorkerOptions) => Worker = (source, options) =>
    new Worker(source, options),
): MemberPool {
  const waiting: Task[] = [];
  const lanes = Array.from({ length: threads }, () => new Lane(waiting, startThread));
  return {
    threads,
    async check(fd, pieces, signal) {
      if (signal.aborted) throw cancelledError(signal);
      const stop = new SharedArrayBuffer(4);
      const answer = await new Promise<Outcome>((resolve) => {
        const onAbort = (): void => {
          Atomics.store(new Int32Array(stop), 0, 1);
          const place = waiting.indexOf(task);
          if (place >= 0) waiting.splice(place, 1)[0]?.settle({ type: 'stopped' });
        };
        const task: Task = {
          request: { fd, pieces, stop },
          settle(outcome) {
            signal.removeEventListener('abort', onAbort);
            resolve(outcome);
          },
        };
        signal.addEventListener('abort', onAbort, { once: true });
        waiting.push(task);
        lanes.find((lane) => lane.isFree)?.next();
      });
      if (answer.type === 'done') return answer.facts;
      if (answer.type === 'stopped') throw cancelledError(signal);
      if (answer.type === 'lost')
        throw new ServiceError('Interrupted', 'The thread that reads archives has ended');
      throw toThreadError(answer.message, answer.errno);
    },
    async close() {
      for (const task of waiting.splice(0)) task.settle({ type: 'lost' });
      await Promise.all(lanes.map((lane) => lane.close()));
    },
  };
}

let shared: MemberPool | null = null;

/** One pool for the process, for callers that bring none. Its threads keep no process alive. */
export function sharedMemberPool(): MemberPool {
  return (shared ??= createMemberPool());
}

class Lane {
  #worker: Worker | null = null;
  #task: Task | null = null;
  #idle: NodeJS.Timeout | null = null;

  constructor(
    readonly waiting: Task[],
    readonly startThread: (source: string, options: WorkerOptions) => Worker,
  ) {}

  get isFree(): boolean {
    return this.#task === null;
  }

  next(): void {
    if (this.#idle) clearTimeout(this.#idle);
    this.#idle = null;
    for (let task; (task = this.waiting.shift());) if (this.#begin(task)) return;
    this.#worker?.unref();
    this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
  }

  #begin(task: Task): boolean {
    this.#task = task;
    try {
      this.#worker ??= this.#start();
      this.#worker.ref();
      this.#worker.postMessage(task.request);
      return true;
    } catch (error) {
      // The system gives no more threads: the next may come at a better time.
      this.#finish({ type: 'failed', message: `No thread: ${String(error)}`, errno: null });
      return false;
    }
  }

  async close(): Promise<void> {
    const [worker, task] = [this.#worker, this.#task];
    this.#worker = null;
    this.#task = null;
    await worker?.terminate();
    task?.settle({ type: 'lost' });
  }

  #start(): Worker {
    const source = `
      const { parentPort } = require('node:worker_threads');
      (${memberThread.toString()})(parentPort, require);`;
    // What is unpacked is garbage at once: swept often, it stays small.
    const worker = this.startThread(source, {
      eval: true,
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    worker.on('message', (answer: PiecesAnswer) => {
      this.#finish(answer);
      this.next();
    });
    const lost = () => {
      if (this.#worker !== worker) return;
      this.#worker = null;
      this.#finish({ type: 'lost' });
      this.next();
    };
    worker.on('error', lost);
    worker.on('exit', lost);
    return worker;
  }

  #finish(outcome: Outcome): void {
    const task = this.#task;
    this.#task = null;
    task?.settle(outcome);
  }
}
