/** Any sequence of cuts, lies and stops ends in the exact file or in a typed error; and an honest server mends it all. */
import fc from 'fast-check';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isServiceError, type ServiceError } from '../../../src/jobs/error-codes.js';
import { chunked, honest, type Answer, type SeenRequest } from '../../support/lying-server.js';
import { bytesOf, createKit, type Kit } from '../../support/transfer-kit.js';

type Lie =
  | { kind: 'cut'; at: number; hard: boolean }
  | { kind: 'status'; status: number }
  | { kind: 'page' }
  | { kind: 'flip'; at: number }
  | { kind: 'garbage tail'; at: number }
  | { kind: 'whole' }
  | { kind: 'earlier'; by: number }
  | { kind: 'later'; by: number }
  | { kind: 'chunked'; at: number }
  | { kind: 'other object'; cutAt: number }
  | { kind: 'longer' }
  | { kind: 'abort' };

const share = fc.double({ min: 0, max: 1, noNaN: true });
const lie: fc.Arbitrary<Lie> = fc.oneof(
  fc.record({ kind: fc.constant('cut' as const), at: share, hard: fc.boolean() }),
  fc.record({
    kind: fc.constant('status' as const),
    status: fc.constantFrom(500, 503, 429, 416, 204, 401),
  }),
  fc.constant({ kind: 'page' as const }),
  fc.record({ kind: fc.constant('flip' as const), at: share }),
  fc.record({ kind: fc.constant('garbage tail' as const), at: share }),
  fc.constant({ kind: 'whole' as const }),
  fc.record({ kind: fc.constant('earlier' as const), by: fc.nat(50_000) }),
  fc.record({ kind: fc.constant('later' as const), by: fc.nat(1000) }),
  fc.record({ kind: fc.constant('chunked' as const), at: share }),
  fc.record({ kind: fc.constant('other object' as const), cutAt: share }),
  fc.constant({ kind: 'longer' as const }),
  fc.constant({ kind: 'abort' as const }),
);

let file: Buffer = Buffer.alloc(0);
let etag: string | null = null;
let lies: Lie[] = [];
let stop = new AbortController();
let kit: Kit;
beforeAll(async () => {
  kit = await createKit(answer);
});
afterAll(() => kit.close());

function answer(request: SeenRequest): Answer {
  const next = lies.shift();
  const good = honest(request, file, { etag });
  const at = (part: number) => Math.floor(part * good.body.length);
  const cut = (body: Buffer): Answer => ({ ...good, body, then: 'reset' });
  switch (next?.kind) {
    case undefined:
      return good;
    case 'cut':
      return {
        ...good,
        body: good.body.subarray(0, at(next.at)),
        then: next.hard ? 'reset' : 'end',
      };
    case 'status':
      return { status: next.status, headers: { 'content-length': '0', 'retry-after': '0' } };
    case 'page':
      return { headers: { 'content-type': 'text/html' }, body: '<html>no</html>' };
    case 'flip': {
      const body = Buffer.from(good.body);
      if (body.length > 0) body[Math.min(at(next.at), body.length - 1)]! ^= 4;
      return { ...good, body };
    }
    case 'garbage tail':
      return cut(Buffer.concat([good.body.subarray(0, at(next.at)), Buffer.from('error')]));
    case 'whole':
      return honest(request, file, { etag, ranges: false });
    case 'earlier':
      return honest({ ...request, from: Math.max(0, request.from - next.by) }, file, { etag });
    case 'later':
      return honest({ ...request, from: request.from + next.by }, file, { etag });
    case 'chunked':
      return {
        headers: { 'transfer-encoding': 'chunked' },
        body: chunked(file.subarray(0, at(next.at)), file.subarray(at(next.at), at(next.at) + 1)),
      };
    case 'other object': {
      const body = bytesOf(file.length, 77).subarray(0, Math.floor(next.cutAt * file.length));
      return {
        headers: { 'content-length': String(file.length), etag: '"two"' },
        body,
        then: 'reset',
      };
    }
    case 'longer':
      return { ...good, body: Buffer.concat([good.body, Buffer.from('more')]) };
    case 'abort':
      stop.abort();
      return { silent: true };
  }
}

async function attempt(directory: string): Promise<ServiceError | null> {
  stop = new AbortController();
  try {
    const result = await kit.fetch(kit.source(file), { directory, signal: stop.signal });
    const bytes = await readFile(result.path);
    expect(bytes.equals(file), 'what is verified is exact').toBe(true);
    return null;
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return error;
  }
}

it('ends in the exact file or in a typed error', { timeout: 60_000 }, async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 150_000 }),
      fc.boolean(),
      fc.array(lie, { maxLength: 8 }),
      async (size, pinned, sequence) => {
        file = bytesOf(size, size);
        etag = pinned ? '"one"' : null;
        lies = [...sequence];
        const directory = join(kit.directory, String(++run));
        let error = await attempt(directory);
        while (error && lies.length > 0) error = await attempt(directory);
        lies = [];
        if (error) error = await attempt(directory);
        if (error?.code !== 'ChecksumDisputed') expect(error).toBeNull();
      },
    ),
    { numRuns: 60 },
  );
});
