/**
 * Answers that are over before, or after, they should be and look whole: nothing but their range, a later answer or what is
 * on disk tells. No digest would find what is glued together then.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createConnectionSlots, createTransferEngine } from '../../../src/transfer/index.js';
import { seeded } from '../../support/faults.js';
import {
  chunked,
  honest,
  startLyingServer,
  type Answer,
  type SeenRequest,
} from '../../support/lying-server.js';
import { bytesOf, useKits, type Kit } from '../../support/transfer-kit.js';

const MIB = 1024 * 1024;
const etag = '"one"';
const page = Buffer.from('\nFatal error: out of memory\n');
const serve = useKits();

async function exactly(kit: Kit, file: Buffer, changes = {}, limits = {}) {
  const result = await kit.fetch(kit.source(file, { checksums: [], ...changes }), {
    limits: { blockBytes: MIB, triesWithoutProgress: 5, ...limits },
  });
  expect(result.bytes).toBe(file.length);
  expect((await kit.content(result)).equals(file)).toBe(true);
  return result;
}

/** Without Content-Length: `connection` = what came before the end of the connection is all there is to it. */
function endingBy(framing: 'chunks' | 'connection', answer: Answer, body: Buffer): Answer {
  const { 'content-length': _, ...headers } = answer.headers ?? {};
  if (framing === 'connection') return { ...answer, headers, body, then: 'end' };
  return {
    ...answer,
    headers: { ...headers, 'transfer-encoding': 'chunked' },
    body: chunked(body),
  };
}

describe('F013 a part that is over before its range is, with a message at its end', () => {
  const file = bytesOf(3 * MIB);
  const faulty = (at: number, framing: 'chunks' | 'connection') => (request: SeenRequest) => {
    const answer = honest(request, file, { etag });
    if (request.index < at) return { ...answer, body: file.subarray(0, MIB), then: 'end' as const };
    if (request.index > at) return answer;
    return endingBy(framing, answer, Buffer.concat([answer.body.subarray(0, 200_000), page]));
  };
  it.each([
    ['first', 'connection', 4],
    ['first', 'chunks', 4],
    ['second', 'connection', 1],
    ['second', 'chunks', 1],
  ] as const)('the %s answer, ended by its %s, %i connections', async (which, framing, most) => {
    const kit = await serve(faulty(which === 'first' ? 0 : 1, framing), { connections: most });
    await exactly(kit, file);
  });
});

describe('F013 an answer of unknown length that brought too much before it was cut', () => {
  const file = bytesOf(MIB);
  const excess = Buffer.concat([file, ...new Array<Buffer>(300).fill(page)]);
  const first = (headers: Record<string, string>): Answer => ({
    headers: { ...headers, 'transfer-encoding': 'chunked' },
    body: chunked(excess).subarray(0, -5),
    then: 'end',
  });
  it.each([
    ['the next says how long it is', {}, { ranges: false }, null],
    ['the next is a part', {}, {}, null],
    ['the ETag stays', { etag }, { etag, ranges: false }, null],
    ['the catalogue knows its length', {}, { ranges: false }, file.length],
  ] as const)('%s', async (_, headers, honestly, expectedBytes) => {
    const kit = await serve((request) =>
      request.index === 0 ? first(headers) : honest(request, file, honestly),
    );
    await exactly(kit, file, { expectedBytes });
  });
  it('in an earlier call', async () => {
    const kit = await serve((request) =>
      request.index === 0 ? first({}) : honest(request, file, { ranges: false }),
    );
    const once = exactly(kit, file, { expectedBytes: null }, { triesWithoutProgress: 1 });
    await expect(once).rejects.toMatchObject({ code: 'SourceUnavailable' });
    await exactly(kit, file, { expectedBytes: null });
  });
});

it('a connection that is closed before the end of what is on disk says nothing of the end', async () => {
  const file = bytesOf(200_000);
  const kit = await serve((request): Answer => {
    const answer = honest(request, file, { ranges: request.index > 1 });
    if (request.index === 0) {
      const cut = chunked(file.subarray(0, 100_000)).subarray(0, -5);
      return { headers: { 'transfer-encoding': 'chunked' }, body: cut, then: 'end' };
    }
    return request.index === 1 ? endingBy('connection', answer, file.subarray(0, 50_000)) : answer;
  });
  kit.allow({ unproven: true });
  const result = await kit.fetch(kit.source(file, { checksums: [], expectedBytes: null }));
  const content = await kit.content(result);
  expect(content.equals(file) || result.checksum.level === 'none').toBe(true);
  expect(content.length, 'never the end of an answer that was cut').not.toBe(100_000);
});

describe('answers that are short', () => {
  it.each([
    ['64 KiB at a time are gone on with after a cut', 65_536, {}],
    ['and where no digest tells', 65_536, { checksums: [] }],
  ])('%s', async (_, most, changes) => {
    const file = bytesOf(MIB);
    const kit = await serve(
      (request) => {
        const answer = honest(request, file, { etag, most });
        if (request.index !== 3) return answer;
        return { ...answer, body: answer.body.subarray(0, 100), then: 'end' };
      },
      { connections: 2 },
    );
    await kit.fetch(kit.source(file, changes), { limits: { blockBytes: 16 * MIB } });
  });
  it('60 kB before each cut get there in the end', async () => {
    const file = bytesOf(500_000);
    const kit = await serve((request) => {
      const answer = honest(request, file);
      return answer.body.length > 60_000
        ? { ...answer, body: answer.body.subarray(0, 60_000), then: 'end' }
        : answer;
    });
    await kit.fetch(kit.source(file), { limits: { blockBytes: 16 * MIB } });
  });
  it('F016 a byte in each part: the whole is asked for', async () => {
    const file = bytesOf(200_000);
    const kit = await serve((request) => honest(request, file, { etag, most: 1 }), {
      connections: 2,
    });
    await kit.fetch(kit.source(file));
    expect(kit.server.requests.length).toBeLessThan(20);
  });
  it('F016 a byte more before each cut is no progress', async () => {
    const file = bytesOf(200_000);
    let end = 0;
    const kit = await serve(
      (request) => {
        const answer = honest(request, file, { etag });
        return { ...answer, body: file.subarray(request.from, ++end), then: 'end' };
      },
      { connections: 2 },
    );
    await expect(kit.fetch(kit.source(file))).rejects.toMatchObject({ code: 'SourceUnavailable' });
    expect(kit.server.requests.length).toBeLessThan(20);
  });
});

it(
  'F013 F015 whatever ends early, in whatever way, the file is exact',
  { timeout: 120_000 },
  async () => {
    const file = bytesOf(700_000);
    for (let run = 0; run < 60; run++) await once(file, 4_100 + run);
  },
);

interface Rule {
  framing: 'length' | 'chunks' | 'connection';
  isWhole: boolean;
  saysTotal: boolean;
  most: number;
  /** Share of the body after which it ends. */
  cutAt: number | null;
  message: number;
  saysEtag: boolean;
  isClean: boolean;
}

/** Accidents only, and then an honest server: the right file, or `none` where nobody ever said where it ends. */
async function once(file: Buffer, seed: number): Promise<void> {
  const random = seeded(seed);
  const pick = <T>(...all: T[]): T => all[Math.floor(random() * all.length)]!;
  const hasEtag = random() < 0.7;
  const rules = Array.from({ length: Math.floor(random() * 7) }, (): Rule => ({
    framing: pick('length', 'chunks', 'connection'),
    isWhole: random() < 0.25,
    saysTotal: random() < 0.7,
    most: pick(Infinity, 200_000, 70_000, 30_000),
    cutAt: random() < 0.6 ? random() : null,
    message: pick(0, 0, 30, 1000),
    saysEtag: random() < 0.85,
    isClean: random() < 0.5,
  }));
  const server = await startLyingServer((request) => {
    const rule = rules[request.index];
    if (!rule) return honest(request, file, { etag: hasEtag ? etag : null });
    return answerBy(rule, request, file, hasEtag && rule.saysEtag);
  });
  const engine = createTransferEngine({ hashThreads: 1, backoff: { baseMs: 1, maxMs: 2 } });
  const directory = await mkdtemp(join(tmpdir(), 'nimbus-early-'));
  try {
    const connections = pick(1, 1, 2, 4);
    const source = {
      key: 'early',
      url: server.url(),
      headers: async () => ({}),
      rejected: () => undefined,
      trustedHosts: [server.host],
      plainHttpHosts: [server.host],
      expectedBytes: pick(null, null, file.length),
      checksums: [],
      fallbackName: 'early',
      connections,
      translate: () => null,
    };
    for (let call = 0; call < 3; call++) {
      const limits = {
        blockBytes: pick(64 * 1024, MIB),
        idleMs: 1_000,
        headersMs: 1_000,
        triesWithoutProgress: pick(1, 5),
      };
      const signal = AbortSignal.timeout(15_000);
      const slots = createConnectionSlots(connections);
      const result = await engine
        .transfer(source, { directory, signal, slots, limits })
        .catch((error: { code?: string }) => error.code);
      expect(result, `seed ${seed}`).not.toBe('Cancelled');
      if (typeof result !== 'object' || result.checksum.level === 'none') continue;
      const content = await readFile(result.path);
      expect(content.equals(file), `seed ${seed}: ${content.length} bytes`).toBe(true);
    }
  } finally {
    await engine.close();
    await server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

function answerBy(rule: Rule, request: SeenRequest, file: Buffer, saysEtag: boolean): Answer {
  const isPart = request.isRanged && !rule.isWhole;
  const from = isPart ? request.from : 0;
  if (isPart && from >= file.length) return honest(request, file);
  const end = isPart
    ? Math.min(request.to ?? file.length, file.length, from + rule.most)
    : file.length;
  const announced = end - from;
  let body = file.subarray(from, end);
  if (rule.cutAt !== null) {
    // What stands at the end of a whole that a closed connection ends, nobody could tell.
    const message = rule.framing === 'connection' && !isPart ? 0 : rule.message;
    const kept = body.subarray(0, Math.floor(rule.cutAt * announced));
    const cut = Buffer.concat([kept, Buffer.alloc(message, page)]);
    body = isPart || rule.framing === 'length' ? cut.subarray(0, announced - 1) : cut;
  }
  const headers: Record<string, string> = {
    ...(saysEtag && { etag }),
    ...(isPart && {
      'content-range': `bytes ${from}-${end - 1}/${rule.saysTotal ? file.length : '*'}`,
    }),
    'content-length': String(announced),
  };
  const answer: Answer = { status: isPart ? 206 : 200, headers, body };
  const isCut = rule.cutAt !== null;
  if (rule.framing === 'length') return { ...answer, ...(isCut && { then: 'end' as const }) };
  const ended = endingBy(rule.framing, answer, body);
  if (rule.framing === 'connection' || !isCut || (rule.isClean && isPart)) return ended;
  return { ...ended, body: (ended.body as Buffer).subarray(0, -5), then: 'end' };
}
