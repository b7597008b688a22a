/**
 * Everything that a server may do to a client, as a catalogue: each fault has a name, says who can detect it, and turns a
 * good answer into a bad one. Random tests draw from it, so that what they found can be told as a list of names and
 * numbers and played again.
 */
import { gzipSync } from 'node:zlib';
import { chunked, honest, type Answer, type Script, type SeenRequest } from './lying-server.js';

/** One step of a script: `share` in [0, 1) and `amount` in [0, 1_000_000) mean what the kind makes of them. */
export interface Fault {
  kind: string;
  share: number;
  amount: number;
  /** The answer is cut at this share of its body, besides. */
  cutAt?: number;
  /** The body comes in slices of so many bytes. */
  sliceBytes?: number;
}

/** One file as the server has it, and what it will do wrong. */
export interface World {
  file: Buffer;
  /** Another file of the same length. */
  other: Buffer;
  etag: string | null;
  lastModified: string | null;
  servesRanges: boolean;
  /** Its parts never say how long the file is. */
  hidesTotal?: boolean;
  /** Bytes that its parts have at most. */
  most?: number;
  /** Answers come from so many machines in turn, each with an ETag of its own. */
  machines?: number;
  faults: Fault[];
  /** Tokens below this one have expired; the client sends `Bearer <number>`. */
  validToken: number;
  /** Answers that the server gives at once; to more it says 429. Null = as many as you like. */
  takes: number | null;
  /** `host:port` that nobody may connect to. */
  forbiddenHost: string;
  /** Stops the client in the middle of an answer. */
  onPause?: () => void;
}

/**
 * Who can tell that the answer is wrong, or that it is no harm: `anyone`, by the rules of HTTP; whoever knows the `length`
 * from elsewhere; or only whoever knows the `digest`.
 */
export type DetectableBy = 'anyone' | 'length' | 'digest';

interface Play {
  request: SeenRequest;
  world: World;
  /** What a good server would say. */
  good: Answer & { body: Buffer; headers: Record<string, string> };
  /** A place in the good body, from its start to its end. */
  at: number;
  share: number;
  amount: number;
  pick: <T>(...choices: T[]) => T;
}

interface Kind {
  detectableBy: DetectableBy;
  /** Costs the client one of its time limits. */
  slow?: boolean;
  play: (play: Play) => Answer;
}

const PAGE = '<!DOCTYPE html><html><body>We are sorry</body></html>';
const MAX_EVERY_MS = 400;
const MAX_SLICES = 2000;

function empty(status: number, headers: Record<string, string> = {}): Answer {
  return { status, headers: { 'content-length': '0', ...headers } };
}

/** The good answer under a head of our own making. */
function withHead(
  { good }: Play,
  { version = '1.1', eol = '\r\n', name = (it: string) => it, before = '', extra = '' },
): Answer {
  const fields = Object.entries(good.headers).map(([key, value]) => `${name(key)}: ${value}${eol}`);
  const head = `${before}HTTP/${version} ${good.status} OK${eol}${fields.join('')}${extra}${eol}`;
  return { head, body: good.body, then: 'end' };
}

function flip(body: Buffer, at: number, bit = 0): Buffer {
  const flipped = Buffer.from(body);
  const where = Math.min(at, body.length - 1);
  if (where >= 0) flipped[where] = (flipped[where] ?? 0) ^ (1 << (bit % 8));
  return flipped;
}

function claiming({ good }: Play, headers: Record<string, string>): Answer {
  return { ...good, headers: { ...good.headers, ...headers } };
}

function withoutLength({ good }: Play): Record<string, string> {
  const { 'content-length': _, ...headers } = good.headers;
  return headers;
}

/** Of a part: how long the file is. */
export function hideTotal(headers: Record<string, string>): void {
  const range = headers['content-range'];
  if (range !== undefined) headers['content-range'] = range.replace(/\/\d+$/, '/*');
}

function redirect(location: string, status = 302): Answer {
  return empty(status, { location });
}

const anyone = (play: Kind['play']): Kind => ({ detectableBy: 'anyone', play });
const slow = (play: Kind['play']): Kind => ({ detectableBy: 'anyone', slow: true, play });
const byLength = (play: Kind['play']): Kind => ({ detectableBy: 'length', play });
const byDigest = (play: Kind['play']): Kind => ({ detectableBy: 'digest', play });

export const FAULTS: Record<string, Kind> = {
  // ---- the connection
  'cut by a reset': anyone(({ good, at }) => ({
    ...good,
    body: good.body.subarray(0, at),
    then: 'reset',
  })),
  'cut by a clean end': anyone(({ good, at }) => ({
    ...good,
    body: good.body.subarray(0, at),
    then: 'end',
  })),
  'cut one byte before the end': anyone(({ good }) => ({
    ...good,
    body: good.body.subarray(0, -1),
    then: 'end',
  })),
  'cut inside the head': anyone((play) => {
    const { head } = withHead(play, {});
    return { head: String(head).slice(0, Math.floor(play.share * 60)), then: 'end' };
  }),
  'reset without a word': anyone(() => ({ head: '', then: 'reset' })),
  'closed without a word': anyone(() => ({ head: '', then: 'end' })),
  /** Played as the connection is made, by a server that asks `resetsConnection`. */
  'reset as it connects': anyone(() => ({ head: '', then: 'reset' })),
  /** Played as the connection is made, by a server that asks `greetingOf`. */
  'answers before it is asked': byDigest(({ good }) => good),
  'the client is told to stop': slow(({ good, at, world }) => {
    setTimeout(() => world.onPause?.(), 5);
    return { ...good, body: good.body.subarray(0, at), then: 'hang' };
  }),
  'silent from the start': slow(() => ({ silent: true })),
  'falls silent in the body': slow(({ good, at }) => ({
    ...good,
    body: good.body.subarray(0, at),
    then: 'hang',
  })),
  'falls silent in the head': slow((play) => ({
    head: String(withHead(play, {}).head).slice(0, 20),
    then: 'hang',
  })),
  'head byte by byte': slow((play) => ({
    ...withHead(play, {}),
    headSliceBytes: 1,
    everyMs: play.pick(1, 5, MAX_EVERY_MS),
  })),
  'body in a drip': slow(({ good, pick }) => ({
    ...good,
    sliceBytes: 1,
    everyMs: pick(20, MAX_EVERY_MS),
  })),
  'ends although it said keep-alive': anyone((play) => ({
    ...claiming(play, { connection: 'keep-alive' }),
    then: 'end',
  })),
  'resets when the body is whole': anyone(({ good }) => ({ ...good, then: 'reset' })),
  'says close and keeps': anyone((play) => ({
    ...claiming(play, { connection: 'close' }),
    then: 'keep',
  })),
  'garbage after the body': anyone(({ good, amount }) => ({
    ...good,
    body: Buffer.concat([good.body, Buffer.alloc(amount % 5000, 'x')]),
    then: amount % 2 ? 'keep' : 'end',
  })),
  'a timeout told on the idle connection': anyone(({ good }) => ({
    ...good,
    late: 'HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
  })),
  'a second answer after the body': anyone(({ good, world }) => ({
    ...good,
    body: Buffer.concat([
      good.body,
      Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${world.other.length}\r\n\r\n`),
      world.other,
    ]),
    then: 'keep',
  })),

  // ---- statuses
  'server error': anyone(({ pick }) => empty(pick(500, 502, 503, 504, 507, 520))),
  'server error with a page': anyone(({ pick }) => ({
    status: pick(500, 502, 503),
    headers: { 'content-type': 'text/html', 'content-length': String(PAGE.length) },
    body: PAGE,
  })),
  'server error of the right length': anyone(({ good, world }) => ({
    status: 500,
    headers: { ...good.headers },
    body: world.other.subarray(0, good.body.length),
  })),
  'server error with a huge body': anyone(({ world }) => ({
    status: 502,
    headers: { 'content-length': String(world.other.length * 3) },
    body: Buffer.concat([world.other, world.other, world.other]),
  })),
  'server error without an end': anyone(() => ({ status: 503, body: PAGE })),
  'too many requests': anyone(({ pick }) =>
    empty(
      pick(429, 503),
      pick<Record<string, string>>(
        { 'retry-after': '0' },
        {},
        { 'retry-after': '-1' },
        { 'retry-after': 'soon' },
        { 'retry-after': '99999999999999999999' },
        { 'retry-after': 'Thu, 01 Jan 1970 00:00:00 GMT' },
        { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' },
        { 'retry-after': '0.5' },
        { 'retry-after': '1, 2' },
      ),
    ),
  ),
  'client error': anyone(({ pick }) =>
    empty(pick(400, 403, 404, 405, 406, 408, 409, 410, 412, 418, 421, 425, 451)),
  ),
  'odd status': anyone(({ pick }) => empty(pick(201, 202, 203, 204, 205, 226, 299, 300, 304, 305))),
  'status that is none': anyone(({ pick }) => ({
    head: `${pick('HTTP/1.1 999 Odd', 'HTTP/1.1 99 Odd', 'HTTP/1.1 2000 OK', 'HTTP/1.1 000 No', 'HTTP/1.1  200 OK', 'HTTP/3 200 OK', 'HTTP/1.1', 'ICY 200 OK')}\r\ncontent-length: 0\r\n\r\n`,
    then: 'end',
  })),
  'token expires': anyone(({ world }) => {
    world.validToken++;
    return empty(401, { 'www-authenticate': 'Bearer' });
  }),
  'not satisfiable, with the size': anyone(({ world }) =>
    empty(416, { 'content-range': `bytes */${world.file.length}` }),
  ),
  'not satisfiable, without a size': byLength(() => empty(416)),
  'not satisfiable, with another size': byLength(({ request, amount }) =>
    empty(416, { 'content-range': `bytes */${amount % 2 ? request.from : amount}` }),
  ),

  // ---- which bytes
  'whole file to a range': anyone(({ request, world }) =>
    honest(request, world.file, { etag: world.etag, ranges: false }),
  ),
  'range to a plain request': anyone(({ request, world, share }) => {
    const from = request.isRanged ? request.from : Math.floor(share * world.file.length);
    return honest({ ...request, isRanged: true, from }, world.file, { etag: null });
  }),
  'starts earlier': anyone(({ request, world, amount }) =>
    honest(
      { ...request, isRanged: true, from: Math.max(0, request.from - (amount % 50_000)) },
      world.file,
      { etag: world.etag },
    ),
  ),
  'starts later': anyone(({ request, world, amount }) =>
    honest(
      {
        ...request,
        isRanged: true,
        from: Math.min(world.file.length - 1, request.from + 1 + (amount % 1000)),
      },
      world.file,
      { etag: world.etag },
    ),
  ),
  'less of the range than asked': anyone(({ request, world, share }) => {
    const end = request.to ?? world.file.length;
    const to = request.from + Math.max(1, Math.floor(share * (end - request.from)));
    return honest({ ...request, to }, world.file, { etag: world.etag });
  }),
  'more of the range than asked': anyone(({ request, world }) =>
    honest({ ...request, to: null }, world.file, { etag: world.etag }),
  ),
  'another range of the right length': byDigest((play) => {
    const { good, request, world, amount } = play;
    if (good.status !== 206) return good;
    const room = world.file.length - good.body.length;
    const from = room > 0 ? (request.from + amount) % room : request.from;
    return { ...good, body: world.file.subarray(from, from + good.body.length) };
  }),
  'Content-Range that is none': anyone((play) => {
    const { request, good, pick, world } = play;
    const end = request.from + good.body.length - 1;
    const value = pick(
      'bytes=0-…',
      'bytes',
      'bytes */*',
      `bytes */${world.file.length}`,
      `bytes ${end}-${request.from - 1}/${world.file.length}`,
      `bytes ${request.from}-${end}/${end}`,
      `items ${request.from}-${end}/${world.file.length}`,
      `bytes ${request.from}-${end}/-1`,
      'bytes 0-99999999999999999999999/99999999999999999999999',
      '',
    );
    return { ...claiming(play, { 'content-range': value }), status: 206 };
  }),
  'Content-Range with an equals sign': anyone((play) => {
    const range = play.good.headers['content-range'];
    if (range === undefined) return play.good;
    return claiming(play, { 'content-range': range.replace('bytes ', 'bytes=') });
  }),
  'Content-Range without a total': anyone((play) => {
    const range = play.good.headers['content-range'];
    if (range === undefined) return play.good;
    const headers = { ...play.good.headers };
    hideTotal(headers);
    return { ...play.good, headers };
  }),
  'Content-Range with another total': anyone((play) => {
    const range = play.good.headers['content-range'];
    if (range === undefined) return play.good;
    return {
      ...claiming(play, {
        'content-range': range.replace(/\d+$/, (it) =>
          String(Math.max(1, +it + (play.amount % 2 ? 7 : -7))),
        ),
      }),
      body: play.good.body.subarray(0, Math.floor(play.share * 1000)),
      then: 'end',
    };
  }),
  '200 with a Content-Range': anyone((play) => ({
    ...honest(play.request, play.world.file, { etag: play.world.etag, ranges: false }),
    headers: {
      'content-length': String(play.world.file.length),
      'content-range': `bytes 0-${play.world.file.length - 1}/${play.world.file.length}`,
    },
  })),
  '200 that calls itself a part': byLength(({ good, request, world }) => ({
    ...good,
    status: 200,
    headers: { ...good.headers, 'content-range': `bytes ${request.from}-/${world.file.length}` },
  })),
  'multipart ranges': anyone(({ good, request, world }) => {
    const end = request.from + good.body.length - 1;
    const body = Buffer.concat([
      Buffer.from(
        `--AaB\r\nContent-Type: application/zip\r\nContent-Range: bytes ${request.from}-${end}/${world.file.length}\r\n\r\n`,
      ),
      good.body,
      Buffer.from('\r\n--AaB--\r\n'),
    ]);
    return {
      status: 206,
      headers: {
        'content-type': 'multipart/byteranges; boundary=AaB',
        'content-length': String(body.length),
      },
      body,
    };
  }),
  'says that it has no ranges': anyone((play) => ({
    ...honest(play.request, play.world.file, { etag: play.world.etag, ranges: false }),
    headers: { 'content-length': String(play.world.file.length), 'accept-ranges': 'none' },
  })),

  // ---- other bytes
  'a flipped bit': byDigest(({ good, at, amount }) => ({
    ...good,
    body: flip(good.body, at, amount),
  })),
  'a flipped first byte': byDigest(({ good }) => ({ ...good, body: flip(good.body, 0) })),
  'a flipped last byte': byDigest(({ good }) => ({
    ...good,
    body: flip(good.body, good.body.length),
  })),
  'zeros in the middle': byDigest(({ good, at }) => ({
    ...good,
    body: Buffer.from(good.body).fill(0, at, Math.min(at + 4096, good.body.length)),
  })),
  'error text at the tail, then cut': byDigest(({ good, at }) => ({
    ...good,
    body: Buffer.concat([good.body.subarray(0, at), Buffer.from('upstream error')]).subarray(
      0,
      Math.max(0, good.body.length - 1),
    ),
    then: 'reset',
  })),
  'another file of the right length': byDigest(({ request, world }) =>
    honest(request, world.other, { etag: world.etag }),
  ),
  'another file, which says so, then cut': byDigest(({ request, world, share }) => {
    const answer = honest({ ...request, isRanged: false }, world.other, { etag: '"two"' });
    return { ...answer, body: answer.body.subarray(0, share * answer.body.length), then: 'reset' };
  }),
  'a page under 200': anyone(() => ({ headers: { 'content-type': 'text/html' }, body: PAGE })),
  'a page of the right length': byDigest(({ good }) => ({
    ...good,
    body: Buffer.from(PAGE.padEnd(good.body.length, ' ').slice(0, good.body.length)),
  })),
  'gzip, and says so': anyone((play) => {
    const body = gzipSync(play.good.body);
    return {
      ...claiming(play, { 'content-encoding': 'gzip', 'content-length': String(body.length) }),
      body,
    };
  }),
  'gzip, and hides it': byDigest((play) => {
    const body = gzipSync(play.good.body);
    return { ...claiming(play, { 'content-length': String(body.length) }), body };
  }),
  'an empty body': anyone(() => empty(200)),

  // ---- validators
  'a weak ETag': anyone((play) => claiming(play, { etag: 'W/"one"' })),
  'an ETag without quotes': anyone((play) => claiming(play, { etag: 'one' })),
  'no ETag this time': anyone(({ good }) => {
    const { etag: _, ...headers } = good.headers;
    return { ...good, headers };
  }),
  'the right bytes, called a page': anyone((play) =>
    claiming(play, { 'content-type': 'text/html; charset=utf-8' }),
  ),
  'another ETag, same bytes': anyone((play) => ({
    ...claiming(play, { etag: `"${play.amount}"` }),
    body: play.good.body.subarray(0, play.at),
    then: 'end',
  })),
  'another Last-Modified': anyone((play) => ({
    ...claiming(play, { 'last-modified': `day ${play.amount}` }),
    body: play.good.body.subarray(0, play.at),
    then: 'end',
  })),

  // ---- lengths
  'Content-Length too small': byLength((play) => {
    const length = Math.max(1, play.at);
    return claiming(play, { 'content-length': String(length) });
  }),
  'Content-Length too large': anyone((play) => ({
    ...claiming(play, { 'content-length': String(play.good.body.length + 1 + play.amount) }),
    then: 'end',
  })),
  'Content-Length that is none': anyone((play) =>
    claiming(play, {
      'content-length': play.pick(
        '',
        '-1',
        '1e3',
        '0x10',
        '+5',
        '1 2',
        '99999999999999999999',
        'x',
      ),
    }),
  ),
  'two Content-Lengths': anyone((play) => ({
    ...play.good,
    headers: { ...play.good.headers, 'content-length': [String(play.good.body.length), '7'] },
    then: 'end',
  })),
  'the same Content-Length twice': anyone((play) => {
    const length = String(play.good.body.length);
    return { ...play.good, headers: { ...play.good.headers, 'content-length': [length, length] } };
  }),
  'no Content-Length': anyone((play) => ({
    ...play.good,
    headers: withoutLength(play),
    then: 'end',
  })),
  'no Content-Length, and ends early': byLength((play) => ({
    ...play.good,
    headers: withoutLength(play),
    body: play.good.body.subarray(0, play.at),
    then: 'end',
  })),

  // ---- chunks
  chunked: anyone((play) => ({
    ...play.good,
    headers: { ...withoutLength(play), 'transfer-encoding': 'chunked' },
    body: chunked(...split(play.good.body, play.at)),
  })),
  'chunked, with extensions and trailers': anyone((play) => ({
    ...play.good,
    headers: { ...withoutLength(play), 'transfer-encoding': 'Chunked' },
    body: Buffer.concat([
      Buffer.from(`${play.good.body.length.toString(16).toUpperCase()} ;a=b;c="d e"\r\n`),
      play.good.body,
      Buffer.from('\r\n000;last\r\nx-checksum: 1\r\nx-more: 2\r\n\r\n'),
    ]),
    then: 'keep',
  })),
  'chunked, ends early with a valid last chunk': byLength((play) => ({
    ...play.good,
    headers: { ...withoutLength(play), 'transfer-encoding': 'chunked' },
    body: chunked(...split(play.good.body.subarray(0, play.at), play.at >> 1)),
  })),
  'chunked, without a last chunk': anyone((play) => ({
    ...play.good,
    headers: { ...withoutLength(play), 'transfer-encoding': 'chunked' },
    body: chunked(play.good.body).subarray(0, -5),
    then: 'end',
  })),
  'chunked, with a wrong size': anyone((play) => ({
    ...play.good,
    headers: { ...withoutLength(play), 'transfer-encoding': 'chunked' },
    body: Buffer.concat([
      Buffer.from(play.pick('-5', 'zz', '0x5', 'fffffffffffffffff', '', '5 5', ' 5')),
      Buffer.from('\r\n'),
      play.good.body,
      Buffer.from('\r\n0\r\n\r\n'),
    ]),
    then: 'end',
  })),
  'chunked, where a chunk is longer than it says': byLength((play) => ({
    ...play.good,
    headers: { ...withoutLength(play), 'transfer-encoding': 'chunked' },
    body: Buffer.concat([
      Buffer.from(`${Math.floor(play.good.body.length / 2).toString(16)}\r\n`),
      play.good.body,
      Buffer.from('\r\n0\r\n\r\n'),
    ]),
    then: 'end',
  })),
  'chunks and a length': anyone((play) => ({
    ...claiming(play, { 'transfer-encoding': 'chunked' }),
    body: chunked(play.good.body),
    then: 'end',
  })),
  'another transfer coding': anyone((play) => ({
    ...play.good,
    headers: {
      ...withoutLength(play),
      'transfer-encoding': play.pick('gzip, chunked', 'identity', 'chunked, chunked', 'x'),
    },
    then: 'end',
  })),

  // ---- heads
  'HTTP/1.0': anyone((play) => withHead(play, { version: '1.0' })),
  'names in capitals': anyone((play) => withHead(play, { name: (it) => it.toUpperCase() })),
  'names in odd case': anyone((play) =>
    withHead(play, {
      name: (it) => it.replace(/./g, (c, i) => ((i as number) % 2 ? c.toUpperCase() : c)),
    }),
  ),
  'a folded header': anyone((play) => withHead(play, { extra: 'x-folded: one\r\n two\r\n' })),
  'bare line feeds': anyone((play) => withHead(play, { eol: '\n' })),
  'spaces before the colon': anyone((play) => withHead(play, { name: (it) => `${it} ` })),
  'a header without a colon': anyone((play) => withHead(play, { extra: 'nonsense\r\n' })),
  'a NUL in a header': anyone((play) => withHead(play, { extra: 'x-nul: a\0b\r\n' })),
  '__proto__ as a header': anyone((play) =>
    withHead(play, { extra: '__proto__: x\r\nconstructor: y\r\n' }),
  ),
  'no reason phrase': anyone((play) => ({
    ...withHead(play, {}),
    head: String(withHead(play, {}).head).replace(' OK\r\n', '\r\n'),
  })),
  'interim answers first': anyone((play) =>
    withHead(play, {
      before: 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'.repeat(1 + (play.amount % 5)),
    }),
  ),
  'an interim answer, then silence': slow(() => ({
    head: 'HTTP/1.1 102 Processing\r\n\r\n',
    then: 'hang',
  })),
  'a flood of interim answers': anyone((play) => ({
    ...withHead(play, { before: 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100_000) }),
  })),
  'switching protocols': anyone(() => ({
    head: 'HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n',
    then: 'end',
  })),
  'huge headers': anyone((play) =>
    withHead(play, { extra: `x-huge: ${'x'.repeat(200_000)}\r\n`.repeat(3) }),
  ),
  'thousands of headers': anyone((play) => withHead(play, { extra: 'x-a: b\r\n'.repeat(20_000) })),
  'not HTTP at all': anyone(({ pick }) => ({
    head: pick<Buffer | string>(
      Buffer.from([0x15, 3, 1, 0, 2, 2, 0x28]),
      'SSH-2.0-OpenSSH_9.6\r\n',
      PAGE,
      Buffer.alloc(100_000, 0),
      '\r\n\r\n\r\n\r\n',
    ),
    then: 'end',
  })),

  // ---- elsewhere
  'redirect without an end': slow(() => ({
    status: 302,
    headers: { location: 'moved' },
    then: 'hang',
  })),
  'redirect to itself': anyone(({ request }) => redirect(request.path)),
  'redirect to another path': anyone(({ request, pick }) => {
    const folder = request.path.replace(/[^/]*$/, '');
    return redirect(
      pick(
        'moved',
        './moved?a=b',
        `${folder}moved#part`,
        `//${request.headers.host}${folder}moved`,
      ),
      pick(301, 302, 303, 307, 308),
    );
  }),
  'redirect to a host that nobody named': anyone(({ world, pick }) =>
    redirect(`${pick('http:', 'https:', '')}//${world.forbiddenHost}/file`),
  ),
  'redirect into the private network': anyone(({ pick }) =>
    redirect(
      pick(
        'https://10.0.0.1/file',
        'http://169.254.169.254/latest/meta-data',
        'https://[::1]/file',
        'https://2130706433/',
        'https://0x7f.1/',
      ),
    ),
  ),
  'redirect with credentials': anyone(({ request }) =>
    redirect(`http://user:word@${request.headers.host}/file`),
  ),
  'redirect to another scheme': anyone(({ pick }) =>
    redirect(pick('file:///etc/passwd', 'ftp://x/file', 'data:,x', 'javascript:0', 'about:blank')),
  ),
  'redirect to nowhere': anyone(({ pick }) =>
    pick(redirect(''), redirect('http://[::'), empty(302), redirect('//')),
  ),
};

export const KINDS = Object.keys(FAULTS);

/** Kinds that a client can survive knowing no more than this. */
export function kindsFor(knows: { digest: boolean; length: boolean }): string[] {
  return KINDS.filter((kind) => {
    const by = FAULTS[kind]?.detectableBy;
    return by === 'anyone' || (by === 'length' && knows.length) || knows.digest;
  });
}

/** Answers each request with the world's next fault, and honestly when there is none left. */
export function scripted(worldOf: (request: SeenRequest) => World | undefined): Script {
  return (request) => {
    const world = worldOf(request);
    if (!world) return empty(404);
    if (world.machines) world.etag = `"machine-${request.index % world.machines}"`;
    const good = honest(request, world.file, {
      etag: world.etag,
      ranges: world.servesRanges,
      ...(world.lastModified !== null && { headers: { 'last-modified': world.lastModified } }),
      ...(world.most !== undefined && { most: world.most }),
    });
    if (world.hidesTotal) hideTotal(good.headers);
    const token = Number(/^Bearer (\d+)/.exec(request.headers.authorization ?? '')?.[1] ?? -1);
    if (token < world.validToken) return empty(401);
    if (world.takes !== null && request.atOnce > world.takes)
      return empty(429, { 'retry-after': '0' });
    const fault = world.faults.shift();
    return fault ? playFault(fault, request, world, good) : good;
  };
}

/** Is the world's next fault one of the connection itself? Then it is used up. */
export function resetsConnection(world: World): boolean {
  if (world.faults[0]?.kind !== 'reset as it connects') return false;
  world.faults.shift();
  return true;
}

/** Does the world's next fault speak before anybody asked? Then it is used up. */
export function greetingOf(world: World): Buffer | null {
  if (world.faults[0]?.kind !== 'answers before it is asked') return null;
  world.faults.shift();
  const head = `HTTP/1.1 200 OK\r\ncontent-length: ${world.other.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), world.other]);
}

/** What a fault makes of the good answer, and what it brings with it besides. */
function playFault(fault: Fault, ...rest: [SeenRequest, World, Play['good']]): Answer {
  const answer = playKind(fault, ...rest);
  if (!Buffer.isBuffer(answer.body)) return answer;
  if (fault.sliceBytes !== undefined)
    answer.sliceBytes ??= Math.max(fault.sliceBytes, Math.ceil(answer.body.length / MAX_SLICES));
  if (fault.cutAt === undefined) return answer;
  const then = fault.amount % 2 ? 'reset' : 'end';
  // What is said later would be taken for the rest of the body, and nobody could tell.
  delete answer.late;
  return { ...answer, body: answer.body.subarray(0, fault.cutAt * answer.body.length), then };
}

function playKind(
  { kind, share, amount }: Fault,
  request: SeenRequest,
  world: World,
  good: Play['good'],
): Answer {
  const known = FAULTS[kind];
  if (!known) throw new Error(`There is no fault named ${kind}`);
  const at = Math.floor(share * good.body.length);
  const pick = <T>(...choices: T[]): T => choices[amount % choices.length] as T;
  return known.play({ request, world, good, at, share, amount, pick });
}

function split(body: Buffer, at: number): Buffer[] {
  return [body.subarray(0, at), body.subarray(at)].filter((part) => part.length > 0);
}

/** The same numbers in [0, 1) for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
