/** What is particular to a bucket: large files in parts, killed processes, and a wire and servers that cannot be trusted. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createS3Store, type S3Store, type S3StoreOptions } from '../../src/artifacts/index.js';
import { ServiceError } from '../../src/jobs/error-codes.js';
import type { TransferResult } from '../../src/transfer/transfer.js';
import { compileTransfer, type CompiledTransfer } from '../support/compiled-transfer.mjs';
import { startS3Proxy, type Action, type Operation, type S3Proxy } from '../support/s3-proxy.js';
import {
  startVersitygw,
  testCredentials,
  versitygwMissing,
  type TestBucket,
} from '../support/versitygw.js';
import { verifiedTransfer } from './artifact-store.contract.js';

const MIB = 1024 * 1024;
const PART = 5 * MIB;
const LARGE = randomBytes(4 * PART + 3 * MIB + 17);
const PARTS = [1, 2, 3, 4, 5];
const FINAL = 'copernicus/SENTINEL-2/one/one.SAFE.zip';
const child = fileURLToPath(new URL('../support/publish-child.mjs', import.meta.url));
const skipped = versitygwMissing === null ? '' : ` (skipped: ${versitygwMissing})`;

describe.skipIf(versitygwMissing !== null)(`a bucket under fire${skipped}`, () => {
  let server: TestBucket;
  let proxy: S3Proxy;
  let compiled: CompiledTransfer;
  let workDirectory: string;
  let prefix: string;
  let store: S3Store;
  let prefixes = 0;

  beforeAll(async () => {
    process.env['AWS_ACCESS_KEY_ID'] = testCredentials.accessKeyId;
    process.env['AWS_SECRET_ACCESS_KEY'] = testCredentials.secretAccessKey;
    [server, compiled] = await Promise.all([startVersitygw(), compileTransfer(['src/artifacts'])]);
  });
  afterAll(async () => {
    await Promise.all([server?.close(), compiled?.remove()]);
  });
  beforeEach(async () => {
    workDirectory = await mkdtemp(join(tmpdir(), 'nimbus-work-'));
    prefix = `faults-${++prefixes}`;
    proxy = await startS3Proxy(server.endpoint);
    store = open();
    await store.prepare();
    proxy.ledger.length = 0;
  });
  afterEach(async () => {
    await store.close();
    await proxy.close();
    await rm(workDirectory, { recursive: true, force: true });
  });

  const settings = (): S3StoreOptions => ({
    ...{ workDirectory, bucket: server.bucket, prefix, endpoint: proxy.endpoint },
    ...{ region: null, forcePathStyle: true, partBytes: PART },
    backoff: { baseMs: 5, mostMs: 20 },
  });
  const open = (change: Partial<S3StoreOptions> = {}) =>
    createS3Store({ ...settings(), ...change });
  const at = (path: string) => ({ Bucket: server.bucket, Key: `${prefix}/${path}` });
  const read = async (path: string): Promise<Buffer> => {
    const { Body } = await server.client.send(new GetObjectCommand(at(path)));
    return await buffer(Body as Readable);
  };
  const exists = (path: string): Promise<boolean> =>
    server.client.send(new HeadObjectCommand(at(path))).then(
      () => true,
      () => false,
    );
  const uploads = async (): Promise<string[]> => {
    const command = new ListMultipartUploadsCommand({ Bucket: server.bucket, Prefix: prefix });
    return ((await server.client.send(command)).Uploads ?? []).map(({ UploadId }) => UploadId!);
  };
  /** Everything of ours that is no record, final or hidden: what a publication may leave. */
  const hidden = async (): Promise<string[]> => {
    const Prefix = `${prefix}/.nimbus/.uploads/`;
    const { Contents } = await server.client.send(
      new ListObjectsV2Command({ Bucket: server.bucket, Prefix }),
    );
    return (Contents ?? []).map(({ Key }) => Key!);
  };
  const count = (operation: Operation): number =>
    proxy.ledger.filter((seen) => seen.operation === operation).length;
  const sentParts = (): number[] =>
    proxy.ledger
      .filter((seen) => seen.operation === 'UploadPart' && seen.status === 200)
      .map(({ partNumber }) => partNumber!);
  /** Numbers of the parts that the server has, of the one upload that there is; all of them once it is complete. */
  const partsThere = async (): Promise<number[]> => {
    if (await exists(FINAL)) return PARTS;
    const [UploadId] = await uploads();
    if (UploadId === undefined) return [];
    const { Parts } = await server.client.send(new ListPartsCommand({ ...at(FINAL), UploadId }));
    return (Parts ?? []).map(({ PartNumber }) => PartNumber!);
  };
  const publish = async (bytes: Buffer, change: object = {}, key = 'key') =>
    store.publish(await verifiedTransfer(store, key, bytes), FINAL, key, change);
  /** The object is exact, and nothing of its making is left (I1, I10). */
  const expectDone = async (bytes: Buffer): Promise<void> => {
    expect((await read(FINAL)).equals(bytes)).toBe(true);
    expect(await uploads()).toEqual([]);
    expect(await hidden()).toEqual([]);
    expect(await readdir(join(workDirectory, '.partial'))).toEqual([]);
  };

  describe('a large file', () => {
    it('goes in parts, each with its checksum, and appears with that of the whole', async () => {
      proxy.script = async ({ operation }): Promise<Action> => {
        if (operation === 'UploadPart') expect(await exists(FINAL)).toBe(false);
        return 'pass';
      };
      await publish(LARGE);
      await expectDone(LARGE);
      expect(sentParts().sort()).toEqual(PARTS);
      for (const { headers } of proxy.ledger.filter(({ operation }) => operation === 'UploadPart'))
        expect(headers['x-amz-checksum-crc32']).toMatch(/^[A-Za-z0-9+/]{6}==$/);
      const head = await server.client.send(
        new HeadObjectCommand({ ...at(FINAL), ChecksumMode: 'ENABLED' }),
      );
      const whole = Buffer.alloc(4);
      whole.writeUInt32BE(crc32(LARGE));
      expect(head).toMatchObject({
        ChecksumCRC32: whole.toString('base64'),
        ChecksumType: 'FULL_OBJECT',
        ContentLength: LARGE.length,
        Metadata: {
          'nimbus-digests': `sha256:${createHash('sha256').update(LARGE).digest('hex')}`,
        },
      });
    });

    it('F082 is not sent again by a repeat, also when the partial is gone', async () => {
      const artifact = await publish(LARGE);
      proxy.ledger.length = 0;
      expect(await publish(LARGE)).toEqual(artifact);
      const gone = await verifiedTransfer(store, 'key', LARGE);
      await store.discard('key');
      expect(await store.publish(gone, FINAL, 'key')).toEqual(artifact);
      expect(count('UploadPart')).toBe(0);
    });

    it('F062 is put again where it has rotted under its label', async () => {
      await publish(LARGE);
      const { Metadata } = await server.client.send(new HeadObjectCommand(at(FINAL)));
      const Body = Buffer.from(LARGE);
      Body[123]! ^= 1;
      await server.client.send(new PutObjectCommand({ ...at(FINAL), Body, ...{ Metadata } }));
      await publish(LARGE, { replace: true });
      await expectDone(LARGE);
    });

    it('takes the place of other bytes when told to, never otherwise', async () => {
      const other = randomBytes(LARGE.length);
      await publish(other);
      await expect(publish(LARGE)).rejects.toMatchObject({ code: 'Conflict' });
      expect(await uploads()).toEqual([]);
      await publish(LARGE, { replace: true });
      await expectDone(LARGE);
    });

    it('is verified from beginning to end, through connections that break', async () => {
      const artifact = await publish(LARGE);
      proxy.script = ({ operation }, nth) =>
        operation === 'GetObject' && nth % 3 !== 0 ? { cutAnswerAfter: 2 * MIB } : 'pass';
      const { signal } = new AbortController();
      expect(await store.isIntact(artifact, 'digest', signal)).toBe(true);
      const opened = await store.open(FINAL);
      const some = await buffer(opened.read({ start: 3 * MIB, end: 9 * MIB + 1 }));
      expect(some.equals(LARGE.subarray(3 * MIB, 9 * MIB + 1))).toBe(true);
    });

    it('is not served half old, half new, when it is replaced while it is read', async () => {
      await publish(LARGE);
      const opened = await store.open(FINAL);
      await publish(randomBytes(LARGE.length), { replace: true });
      await expect(buffer(opened.read())).rejects.toMatchObject({ code: 'Conflict' });
    });
  });

  describe('faults of the wire', () => {
    it.each<[string, Operation]>([
      ['a large file', 'UploadPart'],
      ['a large file', 'CreateUpload'],
      ['a large file', 'ListUploads'],
      ['a large file', 'HeadObject'],
      ['a large file', 'Complete'],
      ['a small file', 'PutObject'],
    ])('%s arrives through a 503 on every other %s', async (what, operation) => {
      const bytes = what === 'a large file' ? LARGE : LARGE.subarray(0, 1000);
      proxy.script = (seen, nth) =>
        seen.operation === operation && nth % 2 === 1 ? { status: 503, code: 'SlowDown' } : 'pass';
      await publish(bytes);
      await expectDone(bytes);
    });

    it('parts that are cut off arrive by being sent again', async () => {
      proxy.script = ({ operation }, nth) =>
        operation === 'UploadPart' && nth % 2 === 1 ? { cutAfter: nth * 300_000 } : 'pass';
      await publish(LARGE);
      await expectDone(LARGE);
    });

    it.each<[string, Operation, number]>([
      ['small', 'PutObject', 1000],
      ['large', 'UploadPart', LARGE.length],
      ['large', 'CreateUpload', LARGE.length],
      ['large', 'Complete', LARGE.length],
    ])('a %s file is published once when the answer to %s is lost', async (_, operation, size) => {
      const bytes = LARGE.subarray(0, size);
      proxy.script = (seen, nth) =>
        seen.operation === operation && nth === 1 ? 'lose-answer' : 'pass';
      await publish(bytes);
      await expectDone(bytes);
    });

    it.each([1000, LARGE.length])(
      'a byte that flips on the way of %d is refused and sent again',
      async (size) => {
        const bytes = LARGE.subarray(0, size);
        let flipped = false;
        proxy.script = ({ operation, path }) => {
          const isOfFile = operation === 'UploadPart' || operation === 'PutObject';
          if (!isOfFile || !path.endsWith('.zip') || flipped) return 'pass';
          flipped = true;
          return 'flip';
        };
        await publish(bytes);
        await expectDone(bytes);
        expect(proxy.ledger.filter(({ status }) => status === 400)).toHaveLength(1);
      },
    );

    it('a server that confirms other checksums than were sent is not believed', async () => {
      proxy.script = ({ operation }) =>
        operation === 'UploadPart' ? { answer: { 'x-amz-checksum-crc32': 'AAAAAA==' } } : 'pass';
      await expect(publish(LARGE)).rejects.toMatchObject({ code: 'StoreUnavailable' });
      expect(await exists(FINAL)).toBe(false);
      proxy.script = () => 'pass';
      await publish(LARGE);
      await expectDone(LARGE);
    });

    it('an object that is shorter than what was sent does not stay', async () => {
      let completed = false;
      proxy.script = ({ operation }) => {
        if (operation === 'Complete') completed = true;
        return operation === 'HeadObject' && completed
          ? { answer: { 'content-length': '1000' } }
          : 'pass';
      };
      await expect(publish(LARGE)).rejects.toMatchObject({ code: 'StoreUnavailable' });
      expect(await exists(FINAL)).toBe(false);
    });

    it('goes on when the server comes back, and says why it could not', async () => {
      await server.stop();
      try {
        await expect(store.ping()).rejects.toMatchObject({ code: 'StoreUnavailable' });
        await expect(publish(LARGE)).rejects.toMatchObject({ code: 'StoreUnavailable' });
        await expect(open({ endpoint: server.endpoint }).prepare()).resolves.toBeUndefined();
      } finally {
        await server.start();
      }
      await store.ping();
      await publish(LARGE);
      await expectDone(LARGE);
    });

    it.each([
      [507, 'InsufficientStorage', 'StorageFull'],
      [403, 'QuotaExceeded', 'StorageFull'],
      [403, 'AccessDenied', 'StoreUnavailable'],
      [501, 'NotImplemented', 'StoreUnavailable'],
    ])('F065 an answer %d %s is %s, at once', async (status, code, expected) => {
      proxy.script = ({ operation }) =>
        operation === 'UploadPart' || operation === 'PutObject' ? { status, code } : 'pass';
      await expect(publish(LARGE)).rejects.toMatchObject({ code: expected });
      await expect(store.putRecord('a.json', 1)).rejects.toMatchObject({ code: expected });
      expect(await exists(FINAL)).toBe(false);
    });
  });

  it.each<Operation>(['UploadPart', 'Complete', 'HeadObject'])(
    'ends within 2 s of being cancelled while %s is not answered, and goes on later',
    async (operation) => {
      const stop = new AbortController();
      let reached!: () => void;
      const there = new Promise<void>((resolve) => (reached = resolve));
      proxy.script = (seen) => {
        if (seen.operation !== operation) return 'pass';
        reached();
        return 'never-answer';
      };
      const publishing = publish(LARGE, { signal: stop.signal });
      const outcome = publishing.catch((error: unknown) => error);
      await there;
      const startMs = performance.now();
      stop.abort(new ServiceError('Interrupted', 'The worker is stopping'));
      expect(await outcome).toMatchObject({ code: 'Interrupted' });
      expect(performance.now() - startMs).toBeLessThan(2_000);
      proxy.script = () => 'pass';
      await publish(LARGE);
      await expectDone(LARGE);
    },
  );

  describe('F077 a publishing process that is killed', () => {
    const start = (transfer: TransferResult): ChildProcess => {
      const args = { entry: compiled.urlOf('src/artifacts/s3/s3-store.ts'), store: settings() };
      const what = { transfer, path: FINAL, key: 'key', replace: true };
      return spawn(process.execPath, [child, JSON.stringify({ ...args, ...what })], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    };

    it.each<[string, Operation, number]>([
      ['before it has learnt the id of its upload', 'CreateUpload', 1],
      ['after the first part', 'UploadPart', 1],
      ['after the third part', 'UploadPart', 3],
      ['when all parts are there', 'UploadPart', 5],
      ['when the object is complete', 'Complete', 1],
      ['before it has tidied up', 'DeleteObject', 1],
    ])('%s leaves what a repeat goes on with', async (_, operation, nth) => {
      const transfer = await verifiedTransfer(store, 'key', LARGE);
      const victim = start(transfer);
      const exited = once(victim, 'exit');
      let answered = 0;
      proxy.onAnswered = async (seen) => {
        if (seen.operation !== operation || ++answered !== nth) return;
        victim.kill('SIGKILL');
        await exited;
      };
      await exited;
      expect(answered).toBeGreaterThanOrEqual(nth);
      proxy.onAnswered = () => undefined;
      // What was on its way when its sender died may still arrive.
      await sleep(300);
      const before = new Set(await partsThere());
      proxy.ledger.length = 0;

      await store.publish(transfer, FINAL, 'key', { replace: true });
      await expectDone(LARGE);
      const again = sentParts();
      expect(again.filter((part) => before.has(part))).toEqual([]);
      expect([...before, ...again].sort()).toEqual(PARTS);
    });

    it('at any moment: the object is exact, and no part is sent twice that was there', async () => {
      const transfer = await verifiedTransfer(store, 'key', LARGE);
      let kills = 0;
      for (let round = 0; round < 4; round++) {
        const victim = start(transfer);
        const timer = setTimeout(() => victim.kill('SIGKILL'), 380 + Math.random() * 250);
        const [, signal] = (await once(victim, 'exit')) as [number, string | null];
        clearTimeout(timer);
        if (signal !== null) kills++;
      }
      await store.publish(transfer, FINAL, 'key', { replace: true });
      await expectDone(LARGE);
      // One that was under way when its process died may have arrived without anybody's knowledge: it is there, and stays.
      const sent = sentParts();
      for (const part of sent) expect(PARTS).toContain(part);
      expect(sent.length).toBeLessThanOrEqual(PARTS.length + 4 * kills);
    });

    it('takes no more memory for a file ten times as large', async () => {
      const peaks: number[] = [];
      for (const size of [24 * MIB, 240 * MIB]) {
        const transfer = await verifiedTransfer(store, 'key', randomBytes(size));
        const publisher = start(transfer);
        const told = JSON.parse((await buffer(publisher.stdout!)).toString()) as {
          artifact?: object;
          idleBytes: number;
          peakBytes: number;
        };
        expect(told.artifact).toMatchObject({ bytes: size });
        peaks.push(told.peakBytes - told.idleBytes);
      }
      expect(peaks[1]! - peaks[0]!).toBeLessThan(24 * MIB);
      expect(peaks[1]!).toBeLessThan(64 * MIB);
    });
  });

  describe('several at once', () => {
    const race = async (one: Buffer, other: Buffer, replace: boolean) => {
      const second = open({ workDirectory: await mkdtemp(join(workDirectory, 'other-')) });
      await second.prepare();
      const outcomes = await Promise.allSettled([
        store.publish(await verifiedTransfer(store, 'key', one), FINAL, 'key', { replace }),
        second.publish(await verifiedTransfer(second, 'other', other), FINAL, 'other', { replace }),
      ]);
      await second.close();
      return outcomes.map((outcome) =>
        outcome.status === 'fulfilled' ? 'published' : (outcome.reason as ServiceError).code,
      );
    };

    it.each([1000, LARGE.length])(
      'of two with other bytes (%d), one wins and one is told',
      async (size) => {
        const [one, other] = [randomBytes(size), randomBytes(size)];
        const outcomes = await race(one, other, false);
        expect([...outcomes].sort()).toEqual(['Conflict', 'published']);
        expect((await read(FINAL)).equals(outcomes[0] === 'published' ? one : other)).toBe(true);
        expect(await uploads()).toEqual([]);
        expect(await hidden()).toEqual([]);
      },
    );

    it.each([1000, LARGE.length])('two with the same bytes (%d) both succeed', async (size) => {
      const bytes = LARGE.subarray(0, size);
      expect(await race(bytes, bytes, false)).toEqual(['published', 'published']);
      expect((await read(FINAL)).equals(bytes)).toBe(true);
      expect(await uploads()).toEqual([]);
    });

    it('two that replace leave the bytes of one, whole', async () => {
      await publish(randomBytes(1000));
      const [one, other] = [randomBytes(LARGE.length), randomBytes(LARGE.length)];
      expect(await race(one, other, true)).toEqual(['published', 'published']);
      const there = await read(FINAL);
      expect(there.equals(one) || there.equals(other)).toBe(true);
      expect(await uploads()).toEqual([]);
    });
  });

  describe('F097 orphans', () => {
    const begin = async (key: string, path: string): Promise<void> => {
      const transfer = await verifiedTransfer(store, key, LARGE);
      proxy.script = ({ operation }) =>
        operation === 'Complete' ? { status: 403, code: 'AccessDenied' } : 'pass';
      await store.publish(transfer, path, key).catch(() => undefined);
      proxy.script = () => 'pass';
    };

    it('uploads that are old and that nobody owns are aborted, and no others', async () => {
      await begin('owned', 'a/owned.zip');
      await begin('orphan', 'a/orphan.zip');
      await rm(store.partialDirectory('orphan'), { recursive: true });
      const foreign = await server.client.send(
        new CreateMultipartUploadCommand(at('a/foreign.zip')),
      );
      expect(await uploads()).toHaveLength(3);
      const owned = store.partialDirectory('owned');
      const isOwned = (directory: string) => directory === owned;

      expect(await store.sweep(3_600_000, isOwned)).toEqual({ removed: 0, bytes: 0 });
      expect(await uploads()).toHaveLength(3);

      expect(await store.sweep(0, isOwned)).toEqual({ removed: 1, bytes: LARGE.length });
      const left = await uploads();
      expect(left).toHaveLength(2);
      expect(left).toContain(foreign.UploadId);
      expect(await hidden()).toHaveLength(1);

      proxy.ledger.length = 0;
      await store.publish(await verifiedTransfer(store, 'owned', LARGE), 'a/owned.zip', 'owned');
      expect(count('UploadPart')).toBe(0);
    });

    it('an upload that was begun and never recorded is found by its path', async () => {
      const transfer = await verifiedTransfer(store, 'key', LARGE);
      const { UploadId } = await server.client.send(new CreateMultipartUploadCommand(at(FINAL)));
      await server.client.send(
        new UploadPartCommand({
          ...at(FINAL),
          UploadId,
          PartNumber: 1,
          Body: LARGE.subarray(0, PART),
        }),
      );
      await store.publish(transfer, FINAL, 'key');
      await expectDone(LARGE);
    });

    it('what a cancelled job had sent goes with its partial directory', async () => {
      await begin('key', FINAL);
      expect(await uploads()).toHaveLength(1);
      await store.discard('key');
      expect(await uploads()).toEqual([]);
      expect(await hidden()).toEqual([]);
    });

    it('a product that was made anew does not leave the parts of the old one', async () => {
      await begin('key', FINAL);
      const other = randomBytes(LARGE.length);
      await publish(other);
      await expectDone(other);
    });
  });

  describe('servers that cannot be used', () => {
    const fake = async (listener: RequestListener) => {
      const http = createServer((request, response) => {
        request.resume();
        request.on('end', () => listener(request, response));
      });
      await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
      const endpoint = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
      const close = () =>
        new Promise((resolve) => (http.closeAllConnections(), http.close(resolve)));
      return { endpoint, close };
    };

    it.each<[string, RequestListener, RegExp]>([
      [
        'ignores conditions',
        (_, response) => response.writeHead(200, { etag: '"1"' }).end(),
        /If-None-Match/,
      ],
      [
        'ignores checksums',
        ({ headers }, response) =>
          response.writeHead('if-none-match' in headers ? 412 : 200, { etag: '"1"' }).end(),
        /checksum/,
      ],
    ])('one that %s is refused at the start', async (_, listener, words) => {
      const { endpoint, close } = await fake(listener);
      const refused = open({ endpoint });
      await expect(refused.prepare()).rejects.toMatchObject({
        code: 'StoreUnavailable',
        message: expect.stringMatching(words) as string,
      });
      await refused.close();
      await close();
    });

    it('one that knows MD5 alone is served by MD5', async () => {
      proxy.script = ({ operation, path, headers }) =>
        operation === 'PutObject' && path.endsWith('.probe') && 'x-amz-checksum-crc32' in headers
          ? { ok: true }
          : 'pass';
      const older = open();
      await older.prepare();
      proxy.ledger.length = 0;
      proxy.script = ({ operation }, nth) =>
        operation === 'UploadPart' && nth === 2 ? 'flip' : 'pass';
      await older.publish(await verifiedTransfer(older, 'key', LARGE), FINAL, 'key');
      await expectDone(LARGE);
      for (const { headers } of proxy.ledger.filter(({ operation }) => operation === 'UploadPart'))
        expect(headers).toMatchObject({ 'content-md5': expect.stringMatching(/==$/) as string });
      expect(proxy.ledger.filter(({ status }) => status === 400)).toHaveLength(1);
      await older.close();
    });

    it('F137 neither a wrong login nor a missing bucket shows a secret', async () => {
      const failures: unknown[] = [];
      const refused = [open({ bucket: 'there-is-none' }), open()];
      await refused[0]!.prepare().catch((error: unknown) => failures.push(error));
      process.env['AWS_SECRET_ACCESS_KEY'] = 'canary-wrong-secret';
      try {
        for (const one of [open(), open()])
          await one.prepare().catch((error: unknown) => failures.push(error));
      } finally {
        process.env['AWS_SECRET_ACCESS_KEY'] = testCredentials.secretAccessKey;
      }
      expect(failures).toHaveLength(3);
      for (const failure of failures) {
        expect(failure).toMatchObject({ code: 'StoreUnavailable' });
        const { message, details, cause } = failure as ServiceError;
        expect(JSON.stringify({ message, details, cause: String(cause) })).not.toMatch(
          /canary|Signature=/,
        );
      }
      await Promise.all(refused.map((one) => one.close()));
    });
  });

  it('keeps the unfinished bytes of each machine on that machine', async () => {
    const other = open({ workDirectory: join(workDirectory, 'elsewhere') });
    await other.prepare();
    expect(other.partialDirectory('key')).not.toBe(store.partialDirectory('key'));
    await store.putRecord('jobs/1/plan/00000000', { products: [] });
    expect(await other.listRecords('jobs/1/plan/')).toEqual(['jobs/1/plan/00000000']);
    await mkdir(other.partialDirectory('key'), { recursive: true });
    await writeFile(join(other.partialDirectory('key'), 'part.1'), 'x');
    expect(await readdir(join(workDirectory, '.partial'))).toEqual([]);
    await other.close();
  });

  it('names files by their addresses, and takes these back', () => {
    const address = `s3://${server.bucket}/${prefix}/${FINAL}`;
    expect(store.addressOf(FINAL)).toBe(address);
    expect(store.pathOf(address)).toBe(FINAL);
    expect(store.pathOf(FINAL)).toBe(FINAL);
    expect(store.pathOf(`s3://${server.bucket}/other/${FINAL}`)).toBeNull();
    expect(store.pathOf(`s3://${server.bucket}/${prefix}/../secret`)).toBeNull();
  });
});
