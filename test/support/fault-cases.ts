/**
 * Cases of the soak tests: one number decides what a file is like, what its server does wrong, and what is asked of the
 * engine, so that server and client draw the same in two processes, and a case that failed can be played again.
 */
import { createCipheriv } from 'node:crypto';
import { FAULTS, kindsFor, seeded, type Fault, type World } from './faults.js';

export interface FaultCase {
  size: number;
  checksums: ('md5' | 'sha256' | 'blake3')[];
  knowsLength: boolean;
  isPinned: boolean;
  isDated: boolean;
  servesRanges: boolean;
  hidesTotal: boolean;
  most: number | null;
  machines: number | null;
  connections: number;
  takes: number | null;
  faults: Fault[];
  /** Milliseconds after which the client gives up an attempt by itself; the last one is for all that follow. */
  stopsAfterMs: (number | null)[];
  /** A second transfer of the same directory starts this much later; the later one wins. */
  rivalAfterMs: number | null;
}

const MAX_SIZE = 4_000_000;
const pool = randomBytesOf(2 * MAX_SIZE + 1000, 7);

/** Random bytes, the same for the same seed, as fast as AES makes them. */
export function randomBytesOf(size: number, seed: number): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed >>> 0);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

/** @param slowShare of the faults cost the client a time limit */
export function drawCase(seed: number, index: number, slowShare = 0.02): FaultCase {
  const random = seeded(Math.imul(seed, 2_654_435_761) + index);
  const below = (limit: number) => Math.floor(random() * limit);
  const oneOf = <T>(...choices: T[]): T => choices[below(choices.length)] as T;
  const checksums = oneOf<FaultCase['checksums']>(
    ['md5'],
    ['md5'],
    ['blake3'],
    ['md5', 'blake3'],
    ['sha256'],
    [],
    [],
    [],
  );
  const knowsLength = random() < 0.8;
  const kinds = kindsFor({ digest: checksums.length > 0, length: knowsLength });
  const quick = kinds.filter((kind) => !FAULTS[kind]?.slow);
  const slow = kinds.filter((kind) => FAULTS[kind]?.slow);
  const knowsSize = knowsLength || checksums.length > 0;
  const fault = (): Fault => ({
    kind: random() < slowShare ? oneOf(...slow) : oneOf(...quick),
    share: random(),
    amount: below(1_000_000),
    ...(knowsSize && random() < 0.15 && { cutAt: random() }),
    ...(random() < 0.15 && { sliceBytes: oneOf(7, 100, 1460, 5000) }),
  });
  const size = 1 + Math.floor(MAX_SIZE ** random());
  return {
    size,
    checksums,
    knowsLength,
    isPinned: random() < 0.5,
    isDated: random() < 0.3,
    servesRanges: random() < 0.8,
    hidesTotal: random() < 0.1,
    // more parts than this cost more time than an attempt has, where each needs a connection of its own
    most: random() < 0.1 ? Math.max(20_000, Math.floor(size / oneOf(2, 5, 20))) : null,
    machines: checksums.length > 0 && random() < 0.1 ? 2 + below(3) : null,
    connections: 1 + below(8),
    takes: random() < 0.2 ? 1 + below(4) : null,
    faults: Array.from({ length: below(12) }, fault),
    stopsAfterMs: random() < 0.3 ? [below(50), below(300), null] : [null],
    rivalAfterMs: random() < 0.05 ? below(100) : null,
  };
}

/** The file of a case; another of the same size with `isOther`. */
export function fileOf({ size }: FaultCase, index: number, isOther = false): Buffer {
  const start = (index % 1000) + (isOther ? MAX_SIZE : 0);
  return pool.subarray(start, start + size);
}

export function worldOf(one: FaultCase, index: number, forbiddenHost: string): World {
  return {
    file: fileOf(one, index),
    other: fileOf(one, index, true),
    etag: one.isPinned ? `"${index}"` : null,
    lastModified: one.isDated ? 'Wed, 01 Jan 2025 00:00:00 GMT' : null,
    servesRanges: one.servesRanges,
    hidesTotal: one.hidesTotal,
    ...(one.most !== null && { most: one.most }),
    ...(one.machines !== null && { machines: one.machines }),
    takes: one.takes,
    faults: one.faults,
    validToken: 0,
    forbiddenHost,
  };
}
