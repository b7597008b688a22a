/** The parts of the bucket that need no server. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fromAddress, toAddress } from '../../../src/artifacts/s3/address.js';
import {
  checksumOf,
  combineCrc32,
  compositeCrc32,
  crc32Of,
} from '../../../src/artifacts/s3/checksum.js';
import { createSlabs, FileBody } from '../../../src/artifacts/s3/file-body.js';
import { insist } from '../../../src/artifacts/s3/insist.js';
import {
  isOutOfReach,
  Refusal,
  toRefusal,
  toStoreError,
} from '../../../src/artifacts/s3/refusal.js';
import { createSlots } from '../../../src/artifacts/s3/slots.js';
import { partBytesFor } from '../../../src/artifacts/s3/upload.js';
import { safeSegments } from '../../../src/artifacts/safe-path.js';
import { ServiceError } from '../../../src/jobs/error-codes.js';

const MIB = 1024 * 1024;

async function fileOf(bytes: Buffer) {
  const directory = await mkdtemp(join(tmpdir(), 'nimbus-body-'));
  await writeFile(join(directory, 'file'), bytes);
  const file = await open(join(directory, 'file'));
  onTestFinished(async () => {
    await file.close();
    await rm(directory, { recursive: true });
  });
  return file;
}

describe('checksums of parts', () => {
  it('give that of the whole, however it was cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1 }), (pieces) => {
        const parts = pieces.map((piece) => ({
          crc32: crc32Of(Buffer.from(piece)),
          bytes: piece.length,
        }));
        expect(combineCrc32(parts)).toBe(crc32Of(Buffer.concat(pieces)));
      }),
    );
  });

  it('give that of the whole where it has gigabytes', () => {
    const zeros = Buffer.alloc(MIB);
    let [crc, bytes] = [crc32(Buffer.from('head')), 4];
    for (let i = 0; i < 200; i++, bytes += MIB) crc = crc32(zeros, crc);
    const tail = { bytes: bytes - 4, crc32: '' };
    let rest = 0;
    for (let i = 0; i < 200; i++) rest = crc32(zeros, rest);
    tail.crc32 = base64(rest);
    expect(combineCrc32([{ crc32: crc32Of(Buffer.from('head')), bytes: 4 }, tail])).toBe(
      base64(crc),
    );
  });

  it('are what S3 calls composite: the checksum of their bytes, and their number', () => {
    const parts = ['one', 'two'].map((text) => ({ crc32: crc32Of(Buffer.from(text)) }));
    const all = Buffer.concat(parts.map((part) => Buffer.from(part.crc32, 'base64')));
    expect(compositeCrc32(parts)).toBe(`${crc32Of(all)}-2`);
  });

  it.each(['crc32', 'md5'] as const)(
    'are computed of any stretch of a file by %s',
    async (kind) => {
      const bytes = randomBytes(700_000);
      const file = await fileOf(bytes);
      const stretch = bytes.subarray(1_234, 601_234);
      const expected =
        kind === 'md5' ? createHash('md5').update(stretch).digest('base64') : crc32Of(stretch);
      const place = { start: 1_234, bytes: 600_000 };
      expect(await checksumOf(file, place, kind, createSlabs(), undefined)).toBe(expected);
      const beyond = { start: 600_000, bytes: 200_000 };
      await expect(checksumOf(file, beyond, kind, createSlabs(), undefined)).rejects.toMatchObject({
        code: 'StoreUnavailable',
      });
    },
  );
});

const base64 = (crc: number): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
};

it.each([
  [1, 16],
  [156 * 1024, 16],
  [160_000, 16],
  [160_001, 17],
  [5 * MIB, 525],
])('a file of %d MiB goes in parts of %d MiB, never more than 10,000', (mib, expected) => {
  const part = partBytesFor(mib * MIB, 16 * MIB);
  expect(part).toBe(expected * MIB);
  expect(Math.ceil((mib * MIB) / part)).toBeLessThanOrEqual(10_000);
});

describe('the body of a request', () => {
  const bytes = randomBytes(2 * MIB + 77);
  /** Takes its time, and looks at what it was given only then. */
  const slowTarget = () => {
    const got: Buffer[] = [];
    const target = new Writable({
      write(piece: Buffer, _encoding, done) {
        void sleep(Math.random() * 3).then(() => (got.push(Buffer.from(piece)), done()));
      },
    });
    return { target, got };
  };

  it('is exactly the stretch of the file, though its memory is used again and again', async () => {
    const file = await fileOf(bytes);
    const slabs = createSlabs();
    const bodies = Array.from({ length: 4 }, async (_, index) => {
      const { target, got } = slowTarget();
      const start = index * 1_000;
      new FileBody(file, start, bytes.length - start, slabs).pipe(target);
      await new Promise((resolve) => target.on('finish', resolve));
      return Buffer.concat(got).equals(bytes.subarray(start));
    });
    expect(await Promise.all(bodies)).toEqual([true, true, true, true]);
    const { target, got } = slowTarget();
    new FileBody(file, 5, 10, slabs).pipe(target);
    await new Promise((resolve) => target.on('finish', resolve));
    expect(Buffer.concat(got).equals(bytes.subarray(5, 15))).toBe(true);
  });

  it('is sent from its first byte again where the request is made again', async () => {
    const file = await fileOf(bytes);
    const body = new FileBody(file, 100, bytes.length - 100, createSlabs());
    const [abandoned, again, afterAll] = [slowTarget(), slowTarget(), slowTarget()];
    body.pipe(abandoned.target);
    await sleep(5);
    for (const { target, got } of [again, afterAll]) {
      body.pipe(target);
      await new Promise((resolve) => target.on('finish', resolve));
      expect(Buffer.concat(got).equals(bytes.subarray(100))).toBe(true);
    }
    expect(abandoned.target.writableEnded).toBe(false);
  });

  it('can be read in any other way', async () => {
    const file = await fileOf(bytes);
    const read = await buffer(new FileBody(file, 100, 1_000_000, createSlabs()));
    expect(read.equals(bytes.subarray(100, 1_000_100))).toBe(true);
  });

  it('given up, ends the request and leaves the file open', async () => {
    const file = await fileOf(bytes);
    const target = new Writable({ write: () => undefined });
    const body = new FileBody(file, 0, bytes.length, createSlabs());
    body.pipe(target);
    await sleep(20);
    body.destroy();
    await new Promise((resolve) => target.on('close', resolve));
    expect((await file.read(Buffer.alloc(4), 0, 4, 0)).bytesRead).toBe(4);
  });

  it('says that the file is too short, to whoever sends it', async () => {
    const file = await fileOf(bytes);
    const target = new Writable({ write: (_piece, _encoding, done) => done() });
    const body = new FileBody(file, 0, bytes.length + 1, createSlabs());
    const failure = new Promise((resolve) => body.on('error', resolve));
    body.pipe(target).on('error', () => undefined);
    expect(await failure).toMatchObject({ code: 'StoreUnavailable' });
  });
});

describe('addresses', () => {
  it.each([
    [{ bucket: 'b-1', prefix: '' }, 's3://b-1/a/b.zip'],
    [{ bucket: 'b-1', prefix: 'x/y' }, 's3://b-1/x/y/a/b.zip'],
  ])('name a path of %j, and give it back', (location, address) => {
    expect(toAddress(location, 'a/b.zip')).toBe(address);
    expect(fromAddress(location, address)).toBe('a/b.zip');
    expect(fromAddress(location, address.replace('s3://', 'S3:/'))).toBe('a/b.zip');
    expect(fromAddress(location, 'a/b.zip')).toBe('a/b.zip');
  });

  it.each([
    's3://b-1/x/y',
    's3://b-1/x/y/',
    's3://b-1/x/yy/a',
    's3://b-2/x/y/a',
    's3://b-1/a',
    'https://b-1/x/y/a',
    's3://b-1/x/y/../../secret',
    's3://b-1/x/y/.nimbus/held/a',
    's3://b-1/x/y//a',
  ])('F119 elsewhere or outside are no path: %s', (address) => {
    expect(fromAddress({ bucket: 'b-1', prefix: 'x/y' }, address)).toBeNull();
  });

  it('are taken back for every path that a store takes', () => {
    const location = { bucket: 'bucket', prefix: 'p' };
    const segment = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 5 }), (segments) => {
        const path = segments.join('/');
        fc.pre(safeSegments(path) !== null);
        expect(fromAddress(location, toAddress(location, path))).toBe(path);
      }),
    );
  });
});

describe('failures', () => {
  /** As the SDK throws them. */
  const answered = (name: string, status: number) =>
    Object.assign(new Error('AKIAEXAMPLE: the secret was canary'), {
      name,
      Code: name,
      $metadata: { httpStatusCode: status },
      StringToSign: 'canary',
    });
  const code = (error: unknown) =>
    (toStoreError(toRefusal(error, 'PutObject'), 'b') as ServiceError).code;

  it.each([
    [answered('AccessDenied', 403), 'StoreUnavailable', false],
    [answered('NoSuchBucket', 404), 'StoreUnavailable', false],
    [answered('SlowDown', 503), 'StoreUnavailable', true],
    [answered('InternalError', 500), 'StoreUnavailable', true],
    [answered('RequestTimeout', 400), 'StoreUnavailable', true],
    [answered('QuotaExceeded', 403), 'StorageFull', false],
    [answered('XMinioStorageFull', 507), 'StorageFull', false],
    [answered('KeyTooLongError', 400), 'InvalidInput', false],
    [answered('PreconditionFailed', 412), 'Conflict', false],
    [answered('ObjectParentIsFile', 409), 'Conflict', false],
    [new Error('Region is missing'), 'StoreUnavailable', false],
    [Object.assign(new Error('canary'), { code: 'ECONNREFUSED' }), 'StoreUnavailable', true],
    [Object.assign(new Error('canary'), { name: 'TimeoutError' }), 'StoreUnavailable', true],
    [
      Object.assign(new Error('canary'), { name: 'CredentialsProviderError' }),
      'StoreUnavailable',
      false,
    ],
  ])('%s is %s', (error, expected, outOfReach) => {
    expect(code(error)).toBe(expected);
    const shown = toStoreError(toRefusal(error, 'PutObject'), 'b') as ServiceError;
    expect(isOutOfReach(shown)).toBe(outOfReach);
    expect(JSON.stringify([shown.message, shown.details, shown.cause])).not.toMatch(/canary|AKIA/);
  });

  it('of our own stay what they are: no mistake is tried again as if it were the network', () => {
    const mistake = new TypeError('undefined is not a function');
    expect(toRefusal(mistake, 'PutObject')).toBe(mistake);
    const known = new ServiceError('StorageFull', 'The disk is full');
    expect(toRefusal(known, 'PutObject')).toBe(known);
  });

  it('are tried again while that may help, and so often', async () => {
    const backoff = { tries: 4, baseMs: 1, mostMs: 2 };
    let calls = 0;
    const failing = (refusal: Refusal) => () => {
      calls++;
      return Promise.reject(refusal);
    };
    await expect(
      insist(failing(new Refusal('SlowDown', 503, 'x')), backoff, undefined),
    ).rejects.toThrow('SlowDown');
    expect(calls).toBe(4);
    await expect(
      insist(failing(new Refusal('AccessDenied', 403, 'x')), backoff, undefined),
    ).rejects.toThrow('AccessDenied');
    expect(calls).toBe(5);
  });

  it('end with the signal, in the middle of waiting too', async () => {
    const stop = new AbortController();
    const backoff = { tries: 100, baseMs: 60_000, mostMs: 60_000 };
    const refusal = new Refusal('SlowDown', 503, 'x');
    const insisting = insist(() => Promise.reject(refusal), backoff, stop.signal);
    setTimeout(() => stop.abort(new ServiceError('Interrupted', 'The worker is stopping')), 20);
    await expect(insisting).rejects.toMatchObject({ code: 'Interrupted' });
  });
});

describe('slots', () => {
  it('let so many in at once, and all in the end', async () => {
    const slots = createSlots(3);
    let [inside, most] = [0, 0];
    const work = async () => {
      most = Math.max(most, ++inside);
      await sleep(2);
      inside--;
    };
    await Promise.all(Array.from({ length: 20 }, () => slots.run(undefined, work)));
    expect([inside, most]).toEqual([0, 3]);
  });

  it('are not lost to those who go away while they wait, nor to those who fail', async () => {
    const slots = createSlots(1);
    const stop = new AbortController();
    let release!: () => void;
    const first = slots.run(undefined, () => new Promise<void>((resolve) => (release = resolve)));
    const gone = slots.run(stop.signal, async () => 'never');
    const failing = slots.run(undefined, () => Promise.reject(new Error('failed')));
    const last = slots.run(undefined, async () => 'done');
    stop.abort();
    await expect(gone).rejects.toMatchObject({ code: 'Cancelled' });
    release();
    await first;
    await expect(failing).rejects.toThrow('failed');
    expect(await last).toBe('done');
    expect(await slots.run(undefined, async () => 'again')).toBe('again');
  });
});
