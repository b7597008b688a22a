/** What `nimbus get` makes of a command line: digests, names, hosts, headers; and how it tells what became of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createDigestBook, parseChecksum, parseSums } from '../../../src/cli/get/digests.js';
import {
  exitCodeFor,
  reportLines,
  toFileLine,
  totalLine,
  toTotalLine,
  type FileReport,
} from '../../../src/cli/get/report.js';
import { trustSystem } from '../../../src/cli/get/trust.js';
import { createGetView, createQuietView } from '../../../src/cli/get/view.js';
import { planFiles, type WantedOptions } from '../../../src/cli/get/wanted.js';
import { toCount } from '../../../src/cli/option-values.js';
import { createPaint } from '../../../src/cli/output/paint.js';

const directory = mkdtempSync(join(tmpdir(), 'nimbus-get-plan-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const file = (name: string, content: string): string => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};
const plan = (urls: string[], options: WantedOptions = {}) =>
  planFiles(urls, options, new AbortController().signal);

const md5 = 'd41d8cd98f00b204e9800998ecf8427e';
const hex = (digits: number, digit = 'a'): string => digit.repeat(digits);

describe('parseSums', () => {
  it('reads what md5sum, sha256sum, b3sum and openssl write', () => {
    const text = [
      '# a comment',
      `${md5}  a.bin`,
      '',
      `${md5.toUpperCase()} *folder/b c.bin\r`,
      `\\${md5}  two\\nlines\\\\.bin`,
      `${hex(40)}  a.bin`,
      `${hex(64)}  a.bin`,
      `${hex(128)}  a.bin`,
      `BLAKE3 (a (1).bin) = ${hex(64, 'b')}`,
      `SHA2-256(a.bin)= ${hex(64, 'c')}`,
      `SHA3-256(a.bin)= ${hex(64, 'd')}`,
    ].join('\n');
    expect(parseSums(text, 'SUMS')).toEqual([
      { algorithm: 'md5', value: md5, path: 'a.bin' },
      { algorithm: 'md5', value: md5, path: 'folder/b c.bin' },
      { algorithm: 'md5', value: md5, path: 'two\nlines\\.bin' },
      { algorithm: 'sha1', value: hex(40), path: 'a.bin' },
      { algorithm: 'sha256', value: hex(64), path: 'a.bin' },
      { algorithm: 'sha512', value: hex(128), path: 'a.bin' },
      { algorithm: 'blake3', value: hex(64, 'b'), path: 'a (1).bin' },
      { algorithm: 'sha256', value: hex(64, 'c'), path: 'a.bin' },
      { algorithm: 'sha3-256', value: hex(64, 'd'), path: 'a.bin' },
    ]);
  });

  it.each([
    ['B3SUMS', 'blake3'],
    ['/data/sums-big.b3', 'blake3'],
    ['files.blake3', 'blake3'],
    ['b3sums.txt', 'blake3'],
    ['SHA3-256SUMS', 'sha3-256'],
    ['/b3/SHA256SUMS', 'sha256'],
    ['web3-files', 'sha256'],
  ])('takes 64 digits in %s as %s', (name, algorithm) => {
    expect(parseSums(`${hex(64)}  a`, name)).toMatchObject([{ algorithm }]);
  });

  it('takes 64 digits as told, and leaves other lengths alone', () => {
    const text = `${hex(64)}  a\n${md5}  a`;
    const found = parseSums(text, 'SHA256SUMS', 'blake3').map(({ algorithm }) => algorithm);
    expect(found).toEqual(['blake3', 'md5']);
  });

  it.each([
    ['<html>', 'line 1'],
    [`${md5}  a\n${md5}`, 'line 2'],
    [`${md5}00  a`, 'line 1'],
    [`SHA256 (a) = ${md5}`, 'line 1'],
  ])('names the line that is none: %j', (text, line) => {
    expect(() => parseSums(text, 'SUMS')).toThrow(`SUMS, ${line}: not a digest and a name`);
  });
});

describe('a book of digests', () => {
  it('gives every algorithm of a name, and nothing for others', () => {
    const book = createDigestBook([
      { algorithm: 'md5', value: md5, path: './a.bin' },
      { algorithm: 'blake3', value: hex(64), path: 'deep/a.bin' },
    ]);
    expect(book.find('a.bin', 'files/a.bin')).toEqual([
      { algorithm: 'md5', value: md5 },
      { algorithm: 'blake3', value: hex(64) },
    ]);
    expect(book.find('b.bin', 'files/b.bin')).toEqual([]);
    expect(book.algorithms).toEqual(['md5', 'blake3']);
  });

  it('tells files of one name apart by their folder, or refuses to guess', () => {
    const book = createDigestBook([
      { algorithm: 'md5', value: hex(32, '1'), path: 'one/a.bin' },
      { algorithm: 'md5', value: hex(32, '2'), path: './two/a.bin' },
    ]);
    expect(book.find('a.bin', 'data/two/a.bin')).toMatchObject([{ value: hex(32, '2') }]);
    expect(book.find('a.bin', 'data/one/a.bin')).toMatchObject([{ value: hex(32, '1') }]);
    expect(() => book.find('a.bin', 'data/a.bin')).toThrow('2 digests for a.bin');
    expect(() => book.find('a.bin', 'data/bone/a.bin')).toThrow('2 digests for a.bin');
  });
});

describe('parseChecksum', () => {
  it.each([
    [`md5:${md5.toUpperCase()}`, { algorithm: 'md5', value: md5 }],
    [`SHA-256=${hex(64)}`, { algorithm: 'sha256', value: hex(64) }],
    [`sha3-256:${hex(64)}`, { algorithm: 'sha3-256', value: hex(64) }],
    [`blake3:${hex(64)}`, { algorithm: 'blake3', value: hex(64) }],
  ])('takes %s', (text, expected) => expect(parseChecksum(text)).toEqual(expected));

  it.each(['md5', `md5:${md5}0`, `crc32:${hex(8)}`, md5, `md5:${hex(32, 'g')}`])(
    'refuses %s',
    (text) => expect(() => parseChecksum(text)).toThrow('not algorithm:digest'),
  );
});

describe('planFiles', () => {
  it('names files by their URL, safely, and shows nothing that is secret', async () => {
    const { files, plainHttpHosts } = await plan([
      'https://example.org/a/b%20c.bin?sig=secret#part',
      'http://user:pass%21@files.example.org:8080/%2e%2e%2f.bashrc',
      'http://[::1]/',
    ]);
    expect(files.map(({ name }) => name)).toEqual(['b c.bin', 'bashrc', 'download']);
    expect(files.map(({ shown }) => shown)).toEqual([
      'https://example.org/a/b%20c.bin',
      'http://files.example.org:8080/%2e%2e%2f.bashrc',
      'http://[::1]/',
    ]);
    expect(files.map(({ url }) => url.href)).toEqual([
      'https://example.org/a/b%20c.bin?sig=secret',
      'http://files.example.org:8080/%2e%2e%2f.bashrc',
      'http://[::1]/',
    ]);
    expect(files[1]?.headers).toEqual({
      authorization: `Basic ${Buffer.from('user:pass!').toString('base64')}`,
    });
    expect(plainHttpHosts).toEqual(['files.example.org:8080', '[::1]:80']);
  });

  it('finds digests by base name in several lists', async () => {
    const sums = [file('MD5SUMS', `${md5}  x/a.bin\n`), file('B3SUMS', `${hex(64)}  a.bin\n`)];
    const { files, lookUp } = await plan(['https://h/a.bin', 'https://h/b.bin'], { sums });
    expect(files.map(({ checksums, isNameSettled }) => [checksums, isNameSettled])).toEqual([
      [
        [
          { algorithm: 'md5', value: md5 },
          { algorithm: 'blake3', value: hex(64) },
        ],
        true,
      ],
      [[], false],
    ]);
    expect(lookUp?.('a.bin', files[1]!)).toHaveLength(2);
  });

  it('keeps the place of unfinished bytes when a signed URL changes, as far as a digest names them', async () => {
    const keyOf = async (url: string, options?: WantedOptions) =>
      (await plan([url], options)).files[0]!.key;
    const checksum = [`md5:${md5}`];
    const signed = (signature: number) => `https://h/a.bin?sig=${signature}`;
    expect(await keyOf(signed(1), { checksum })).toBe(await keyOf(signed(2), { checksum }));
    expect(await keyOf(signed(1))).not.toBe(await keyOf(signed(2)));
    expect(await keyOf(signed(1))).toMatch(/^[0-9a-f]{24}$/);
  });

  it('reads URLs from lists, once each', async () => {
    const input = [
      file('urls', '\n# old\nhttps://h/a\nhttps://h/b\n'),
      file('more', 'https://h/a'),
    ];
    const { files } = await plan(['https://h/b'], { input });
    expect(files.map(({ url }) => url.pathname)).toEqual(['/b', '/a']);
  });

  it('passes headers on, in lower case', async () => {
    const { files } = await plan(['https://h/a'], { header: ['X-Key: a: b ', 'Cookie:c'] });
    expect(files[0]?.headers).toEqual({ 'x-key': 'a: b', cookie: 'c' });
  });

  it.each<[string, string[], WantedOptions, number]>([
    ['No URL was given', [], {}, 2],
    ['ftp://h/a: neither http nor https', ['ftp://u:secret@h/a?secret'], {}, 2],
    ['not a URL', ['h/a'], {}, 2],
    ['--name is for a single URL', ['https://h/a', 'https://h/b'], { name: 'x' }, 2],
    [
      '--checksum is for a single URL',
      ['https://h/a', 'https://h/b'],
      { checksum: [`md5:${md5}`] },
      2,
    ],
    ['--name ../x: not a plain file name', ['https://h/a'], { name: '../x' }, 2],
    ['--header Range: the transfer sets', ['https://h/a'], { header: ['Range: bytes=0-'] }, 2],
    ['--header X: a value is one line', ['https://h/a'], { header: ['X: a\r\nY: secret'] }, 2],
    ['--header : not Name: value', ['https://h/a'], { header: ['secret'] }, 2],
    ['Cannot read', ['https://h/a'], { sums: ['/nonexistent/SUMS'] }, 65],
    ['Cannot read', [], { input: [directory] }, 65],
  ])('says "%s"', async (message, urls, options, exitCode) => {
    const failure = await plan(urls, options).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: 'CommandError', exitCode });
    expect((failure as Error).message).toContain(message);
    expect((failure as Error).message).not.toContain('secret');
  });
});

const report = (over: Partial<FileReport> = {}): FileReport => ({
  url: 'https://h/a.bin',
  name: 'a.bin',
  path: '/out/a.bin',
  outcome: 'fetched',
  bytes: 50_000_000,
  bytesFetched: 40_000_000,
  durationMs: 2_000,
  retries: 1,
  resumedFrom: 10_000_000,
  checksum: { algorithm: 'md5', value: md5, level: 'provider' },
  digests: [{ algorithm: 'md5', value: md5 }],
  error: null,
  ...over,
});
const failed = report({
  ...{ outcome: 'failed', path: null, bytes: 4_000_000, bytesFetched: 0, checksum: null },
  error: { code: 'ChecksumMismatch', message: 'The md5\n is not the announced one' },
});

describe('the report of a file', () => {
  const lines = (one: FileReport) => reportLines(one, createPaint(false));

  it('says how it went, how fast and what was proven', () => {
    expect(lines(report())).toEqual([
      '✓ a.bin  50.0 MB, went on from 10.0 MB, 2.0 s, 20.0 MB/s, md5 matches',
    ]);
    expect(lines(report({ outcome: 'reused' }))).toEqual([
      '✓ a.bin  50.0 MB, already there, md5 matches',
    ]);
    expect(lines(report({ outcome: 'stopped', path: null }))).toEqual(['– a.bin  50.0 MB kept']);
    expect(lines(failed)[0]).toBe('✗ a.bin  The md5\\u000a is not the announced one');
  });

  it('is one JSON object with units in its names', () => {
    expect(toFileLine(report())).toMatchObject({
      ...{ kind: 'file', outcome: 'fetched', bytes: 50_000_000, bytes_fetched: 40_000_000 },
      ...{ seconds: 2, mb_per_second: 20, retries: 1, resumed_from: 10_000_000, error: null },
      checksum: { algorithm: 'md5', value: md5, level: 'provider' },
    });
    expect(toFileLine(failed)['error']).toMatchObject({ code: 'ChecksumMismatch' });
  });

  it('adds up', () => {
    const totals = { reports: [report(), failed], durationMs: 4_000 };
    expect(totalLine(totals)).toBe('1 of 2 files, 50.0 MB, 4.0 s, 10.0 MB/s, 1 failed');
    expect(toTotalLine(totals)).toMatchObject({
      ...{ files: 2, fetched: 1, failed: 1, bytes: 54_000_000, bytes_fetched: 40_000_000 },
      ...{ seconds: 4, mb_per_second: 10, retries: 2 },
    });
  });

  it('decides the exit code: the one reason of all failures, else 1', () => {
    const because = (code: 'SourceUnavailable' | 'SourceGone') =>
      report({ outcome: 'failed', error: { code, message: '' } });
    expect(exitCodeFor([report()])).toBe(0);
    expect(exitCodeFor([report(), failed])).toBe(1);
    expect(exitCodeFor([because('SourceUnavailable'), report()])).toBe(69);
    expect(exitCodeFor([because('SourceUnavailable'), because('SourceGone')])).toBe(1);
  });
});

describe('createGetView', () => {
  const show = (isTTY: boolean, columns = 80): string => {
    let out = '';
    let nowMs = 0;
    const stream = { isTTY, columns, write: (text: string) => (out += text) };
    const view = createGetView(stream, createPaint(false), 2, () => (nowMs += 6_000));
    view.progress('1', 'a.bin', { bytes: 25e6, bytesTotal: 50e6, bytesPerSecond: 5e6 });
    view.progress('2', 'b\u001b[2J', { bytes: 1e6, bytesTotal: 26e6, bytesPerSecond: 5e6 });
    view.said('a.bin', 'The server answered 503');
    view.ended('1', report());
    view.end();
    return out;
  };

  it('writes plain lines where there is no terminal', () => {
    expect(show(false).split('\n')).toEqual([
      '  0 of 2 files, 25.0 MB, 5.0 MB/s',
      '  0 of 2 files, 26.0 MB, 10.0 MB/s, 5.0 s left',
      '  a.bin: The server answered 503',
      '✓ a.bin  50.0 MB, went on from 10.0 MB, 2.0 s, 20.0 MB/s, md5 matches',
      '',
    ]);
  });

  it('keeps bars at the foot of a terminal, and takes them away', () => {
    const shown = show(true);
    expect(shown).toContain('██████████          ▏  50 %  25.0 MB, 5.0 MB/s  a.bin\n');
    expect(shown).toContain('\u001b[3A\u001b[J');
    expect(shown).not.toContain('\u001b[2J');
    expect(shown.endsWith('\u001b[2A\u001b[J')).toBe(true);
  });

  it.each([20, 40, 60, 120])('never wraps a line of bars, with %i columns', (columns) => {
    const frames = show(true, columns).split('\u001b[J');
    const bars = frames.flatMap((frame) =>
      frame.split('\n').filter((line) => /^ {2}(?!a\.bin: )/.test(line)),
    );
    expect(bars.length).toBeGreaterThan(4);
    expect(Math.max(...bars.map((line) => line.length))).toBeLessThan(columns);
  });

  it('says only what went wrong when it is to be quiet', () => {
    let out = '';
    const view = createQuietView({ write: (text) => (out += text) }, createPaint(false));
    view.progress('1', 'a.bin', { bytes: 1, bytesTotal: 2, bytesPerSecond: 1 });
    view.said('a.bin', 'The server answered 503');
    view.ended('1', report());
    expect(out).toBe('');
    view.ended('2', failed);
    expect(out).toMatch(/^✗ a\.bin .*\n {4}\S.*\n$/);
  });
});

describe('trustSystem', () => {
  it('adds what the system trusts to what Node does, and takes nothing away', () => {
    const set: string[][] = [];
    trustSystem({
      getCACertificates: (type) => (type === 'system' ? ['b', 'c'] : ['a', 'b']),
      setDefaultCACertificates: (certificates) => void set.push(certificates),
    });
    expect(set).toEqual([['a', 'b', 'c']]);
  });

  it('leaves Node as it is where Node cannot ask the system', () => {
    expect(() => trustSystem({})).not.toThrow();
  });
});

describe('toCount', () => {
  it.each(['0', '65', '1.5', '', 'x'])('refuses %j', (text) =>
    expect(() => toCount(64)(text)).toThrow('from 1 to 64'),
  );
  it('takes what lies between', () => expect(toCount(64)('64')).toBe(64));
});
