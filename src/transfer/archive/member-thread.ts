/**
 * The body of a thread that reads members of an archive back: unpacks them, counts, and takes CRC-32 and digest. It runs
 * from its own source text (see member-pool.ts), so it may use nothing but its parameters and globals.
 * Memory: one slice in, one out, whatever a member claims; what unpacks to more than its length is left at once.
 */
import type * as Crypto from 'node:crypto';
import type * as Fs from 'node:fs';
import type * as Zlib from 'node:zlib';
import type { ChecksumAlgorithm } from '../../jobs/product.js';

/** A member's data: [start, start + packedBytes) of the file. */
export interface Piece {
  start: number;
  packedBytes: number;
  isDeflated: boolean;
  /** Unpacked, as stated. */
  bytes: number;
  algorithm: ChecksumAlgorithm | null;
}

export interface PieceFacts {
  /** Unpacked, as found; at most one slice more than stated. */
  bytes: number;
  crc32: number;
  digest: string | null;
  /** Why it could not be unpacked to its end. */
  fault: string | null;
}

export interface PiecesRequest {
  fd: number;
  pieces: Piece[];
  /** One Int32; any other value than 0 stops the work before the next slice. */
  stop: SharedArrayBuffer;
}

export type PiecesAnswer =
  | { type: 'done'; facts: PieceFacts[] }
  | { type: 'stopped' }
  | { type: 'failed'; message: string; errno: string | null };

/** @param load `require` */
export function memberThread(
  port: {
    on: (event: 'message', listener: (message: PiecesRequest) => void) => void;
    postMessage: (message: PiecesAnswer) => void;
  },
  load: (id: string) => unknown,
): void {
  const fs = load('node:fs') as typeof Fs;
  const zlib = load('node:zlib') as typeof Zlib;
  const crypto = load('node:crypto') as typeof Crypto;
  const memory = Buffer.allocUnsafeSlow(256 * 1024);

  const slices = function* (fd: number, piece: Piece, stop: Int32Array) {
    const end = piece.start + piece.packedBytes;
    for (let at = piece.start; at < end;) {
      if (Atomics.load(stop, 0) !== 0) return;
      const read = fs.readSync(fd, memory, 0, Math.min(memory.length, end - at), at);
      if (read === 0) throw new Error(`the file ends at ${at}, before ${end}`);
      yield memory.subarray(0, read);
      at += read;
    }
  };

  const inflate = async (
    packed: Iterable<Buffer>,
    packedBytes: number,
    mostBytes: number,
    take: (bytes: Buffer) => void,
  ): Promise<string | null> => {
    const engine = zlib.createInflateRaw({ chunkSize: 64 * 1024 });
    let bytes = 0;
    const ended = new Promise<string | null>((resolve) => {
      engine.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        take(chunk);
        if (bytes > mostBytes) resolve('it unpacks to more bytes than stated');
      });
      engine.on('end', () =>
        resolve(engine.bytesWritten === packedBytes ? null : 'something follows its last byte'),
      );
      engine.on('error', () => resolve('it cannot be unpacked'));
    });
    try {
      for (const slice of packed) {
        // Bytes behind the end of the deflated ones are never acknowledged: the end comes instead.
        const taken = new Promise<undefined>((resolve) => {
          engine.write(slice, () => resolve(undefined));
        });
        const outcome = await Promise.race([taken, ended]);
        if (outcome !== undefined) return outcome;
        if (bytes > mostBytes) break;
      }
      engine.end();
      return await ended;
    } finally {
      engine.destroy();
    }
  };

  const check = async (fd: number, piece: Piece, stop: Int32Array): Promise<PieceFacts> => {
    const facts: PieceFacts = { bytes: 0, crc32: 0, digest: null, fault: null };
    const hash = piece.algorithm ? crypto.createHash(piece.algorithm) : null;
    const take = (bytes: Buffer): void => {
      facts.bytes += bytes.length;
      facts.crc32 = zlib.crc32(bytes, facts.crc32);
      hash?.update(bytes);
    };
    const packed = slices(fd, piece, stop);
    if (piece.isDeflated) facts.fault = await inflate(packed, piece.packedBytes, piece.bytes, take);
    else for (const slice of packed) take(slice);
    facts.digest = hash?.digest('hex') ?? null;
    return facts;
  };

  const handle = async ({ fd, pieces, stop }: PiecesRequest): Promise<PiecesAnswer> => {
    const flag = new Int32Array(stop);
    const facts: PieceFacts[] = [];
    for (const piece of pieces) {
      facts.push(await check(fd, piece, flag));
      if (Atomics.load(flag, 0) !== 0) return { type: 'stopped' };
    }
    return { type: 'done', facts };
  };

  port.on('message', (request) => {
    handle(request).then(
      (answer) => port.postMessage(answer),
      (error: NodeJS.ErrnoException) =>
        port.postMessage({ type: 'failed', message: error.message, errno: error.code ?? null }),
    );
  });
}
